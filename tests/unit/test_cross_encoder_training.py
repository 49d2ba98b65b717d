"""Training a cross-encoder: it learns, starts where its dual encoder stands, and its folder is a scorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("bm25s")

from made_up_training import toy_collection  # noqa: E402

from retrieval_bench.datasets import load_dataset  # noqa: E402
from retrieval_bench.scorers import load_scorer  # noqa: E402
from retrieval_bench.training.batches import Batch  # noqa: E402
from retrieval_bench.training.cross_encoder import CrossEncoderSettings, CrossEncoding, train_cross_encoder  # noqa: E402
from retrieval_bench.training.folder import Trained  # noqa: E402
from retrieval_bench.training.hard_negatives import HardPairs  # noqa: E402
from retrieval_bench.training.text_encoder import TextEncoder  # noqa: E402

SETTINGS = CrossEncoderSettings(
    batch=8, epochs=2, learning_rate=2e-3, frozen_layers=0, query_tokens=16, document_tokens=16, negatives=3
)

QUICK = SETTINGS.model_copy(update={"epochs": 1})


def test_it_learns_and_its_folder_is_a_scorer(
    tiny: str, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "trained"
    done = train_cross_encoder(toy, out, settings=SETTINGS, start=tiny, depth=5, queries=8, device="cpu")
    assert np.mean(done.losses[-3:]) < np.mean(done.losses[:3])
    assert {(gain.metric, gain.queries, gain.over) for gain in done.gains} == {("nDCG@10", 8, tiny), ("MRR", 8, tiny)}
    assert "the 5 best of" in (out / "README.md").read_text()
    assert sorted(path.suffix for path in out.rglob("*.bin")) == []
    scorer = load_scorer("cross_encoder", {"model": str(out), "precision": "float32"}, where="here")
    assert np.isfinite(scorer.score(["a", "b"], ["c", "d"])).all()
    monkeypatch.setattr("retrieval_bench.training.cross_encoder.fit", lambda *_, **__: pytest.fail("trained again"))
    again = train_cross_encoder(toy, out, settings=SETTINGS, start=tiny, depth=5, queries=8, device="cpu")
    assert again.gains == done.gains


def test_a_finished_model_is_measured_as_asked(tiny: str, toy: str, tmp_path: Path) -> None:
    other = str(toy_collection(tmp_path / "other", seed=1))

    def trained(**asked: Any) -> Trained:
        wanted = {"depth": 5, "queries": 8, **asked}
        return train_cross_encoder(toy, tmp_path / "m", settings=QUICK, start=tiny, device="cpu", **wanted)

    first = trained()
    fewer = trained(queries=4)
    assert [gain.queries for gain in fewer.gains] == [4, 4]
    assert fewer.losses == first.losses
    deeper = trained(depth=16)
    assert deeper.facts == {"reranked": 16, "queries": 8}
    assert deeper.gains != first.gains
    assert trained().gains == first.gains
    more = trained(evaluate=[other])
    assert more.gains[:2] == first.gains
    assert [gain.dataset for gain in more.gains] == [toy, toy, other, other]


def test_the_scorer_gives_the_scores_that_training_saw(tiny: str, toy: str, tmp_path: Path) -> None:
    objective = CrossEncoding(TextEncoder(tiny, device="cpu"), SETTINGS).eval()
    batch = HardPairs(load_dataset(toy), SETTINGS, encoder=tiny).batch(0, 0)
    pairs = list(zip(batch.queries, batch.documents, strict=False))
    with torch.no_grad():
        seen = objective._scores([list(pair) for pair in pairs]).numpy()
    objective.save(tmp_path)
    scorer = load_scorer("cross_encoder", {"model": str(tmp_path), "precision": "float32"}, where="here")
    np.testing.assert_allclose(scorer.score(*zip(*pairs, strict=True)), seen, atol=1e-4)


def test_another_relevant_candidate_is_no_negative(tiny: str) -> None:
    objective = CrossEncoding(TextEncoder(tiny, device="cpu"), SETTINGS).eval()
    texts = ["one two", "three", "one two", "four"]
    batch = Batch(
        queries=["one two", "three"], query_rows=np.arange(2), documents=texts, document_rows=np.arange(4),
        relevant=np.array([[True, False, True, False], [False, True, False, False]]),
    )  # fmt: skip
    with torch.no_grad():
        scores = objective._scores([["one two", texts[0]], ["three", texts[1]], ["three", texts[3]]])
        expected = torch.nn.functional.cross_entropy(scores[None, 1:], torch.zeros(1, dtype=torch.long)) / 2
        assert float(objective(batch, np.random.default_rng(0))) == pytest.approx(float(expected), abs=1e-5)


def test_hard_negatives_are_no_relevant_documents_and_come_from_both(tiny: str, toy: str) -> None:
    dataset = load_dataset(toy)
    source = HardPairs(dataset, SETTINGS, encoder=tiny)
    for row in source._asked.tolist():
        assert not np.isin(source._negatives[row], source._relevant[row]).any()
        assert len(source._negatives[row])
