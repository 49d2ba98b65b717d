"""Encoders: order, precision, prompts, errors; and the cache of vectors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from retrieval_bench.encoders import cache, cached_encode, encode_queries, load_encoder
from retrieval_bench.encoders._models import find_model
from retrieval_bench.encoders.sentence import SentenceEncoder
from retrieval_bench.errors import DataError, UnavailableError, UsageError
from retrieval_bench.files import home
from retrieval_bench.types import FloatArray

PRECISIONS: tuple[Literal["float32"], Literal["bfloat16"]] = ("float32", "bfloat16")
TEXTS = [
    "a crane lifts",
    "birds " * 300,
    "",
    "Ünïcödé 日本 🙂",
    "lone \ud800 surrogate",
    "sort a list in place " * 9,
    "x",
]


@pytest.fixture(scope="module")
def minilm() -> SentenceEncoder:
    return load_encoder(precision="float32", device="cpu")


@pytest.fixture(scope="module")
def half() -> SentenceEncoder:
    return load_encoder(precision="bfloat16", device="cpu")


def cosines(a: FloatArray, b: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / lengths, np.float32)


def linked_model(folder: Path) -> Path:
    """A model folder whose files are links to the packaged ones, so that one of them can be replaced."""
    source = find_model("minilm")
    for path in source.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    return folder


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_order_is_that_of_the_texts(minilm: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm._texts.batches, "budget", 40)
    together = minilm.encode(TEXTS)
    alone = np.concatenate([minilm.encode([text]) for text in TEXTS])
    assert together.shape == (len(TEXTS), 384)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(together, minilm.encode(TEXTS))


def test_no_texts_give_no_vectors(minilm: SentenceEncoder) -> None:
    assert minilm.encode([]).shape == (0, 384)
    assert cached_encode(minilm, []).shape == (0, 384)


def test_bfloat16_is_close_to_float32_and_of_length_one(minilm: SentenceEncoder, half: SentenceEncoder) -> None:
    exact, rounded = minilm.encode(TEXTS), half.encode(TEXTS)
    assert cosines(exact, rounded).min() > 0.999
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(np.linalg.norm(rounded, axis=1), 1, atol=1e-5)
    assert half.nbytes * 2 == pytest.approx(minilm.nbytes, rel=0.01)


def test_revision_follows_weights_and_settings(minilm: SentenceEncoder, half: SentenceEncoder, tmp_path: Path) -> None:
    assert minilm.revision == load_encoder(precision="float32", device="cpu").revision
    folder = linked_model(tmp_path / "other")
    same = load_encoder(str(folder), precision="float32", device="cpu")
    assert same.revision == minilm.revision  # the name it is asked for by does not matter
    shorter = load_encoder(precision="float32", max_length=16, device="cpu")
    replaced(folder / "vocab.txt", b"[PAD]\n")
    changed = load_encoder(str(folder), precision="float32", device="cpu")
    assert len({minilm.revision, half.revision, shorter.revision, changed.revision}) == 4


def test_max_length_cuts_texts(minilm: SentenceEncoder) -> None:
    assert minilm.max_length == 256
    shorter = load_encoder(precision="float32", max_length=5, device="cpu")
    vectors = shorter.encode(["one two three four five", "one two three"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    longer = load_encoder(precision="float32", max_length=512, device="cpu")
    text = "one two " * 200 + "three " * 80
    assert cosines(longer.encode([text]), minilm.encode([text]))[0] < 0.9999


@pytest.mark.parametrize("length", [2, 513])
def test_max_length_that_cannot_be_read_is_refused(length: int) -> None:
    with pytest.raises(UsageError, match=f"max_length = {length}.*256"):
        load_encoder(max_length=length, device="cpu")


def test_prompts_of_the_model_are_used(minilm: SentenceEncoder, tmp_path: Path) -> None:
    folder = linked_model(tmp_path / "prompted")
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    replaced(folder / "config_sentence_transformers.json", json.dumps(prompts).encode())
    prompted = load_encoder(str(folder), precision="float32", device="cpu")
    np.testing.assert_allclose(encode_queries(prompted, ["cranes"]), minilm.encode(["query: cranes"]), atol=1e-5)
    np.testing.assert_allclose(prompted.encode(["cranes"]), minilm.encode(["passage: cranes"]), atol=1e-5)
    asked, stored = cached_encode(prompted, ["cranes"], queries=True), cached_encode(prompted, ["cranes"])
    assert not np.array_equal(asked, stored)


def test_a_word_level_model_with_a_head_runs_in_both_precisions(minilm: SentenceEncoder, tmp_path: Path) -> None:
    words = StaticEmbedding(minilm._model.tokenizer, embedding_dim=32)
    SentenceTransformer(modules=[words, Dense(32, 8)], device="cpu").save(str(tmp_path / "static"))
    exact, rounded = (load_encoder(str(tmp_path / "static"), precision=p, device="cpu") for p in PRECISIONS)
    texts = ["cranes lift", "x", "a long text " * 1000]
    assert exact.encode(texts).shape == (3, exact.dim) == (3, 8)
    assert cosines(exact.encode(texts), rounded.encode(texts)).min() > 0.999
    with pytest.raises(UsageError, match="max_length = 16"):
        load_encoder(str(tmp_path / "static"), max_length=16, device="cpu")


def test_unknown_models_are_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"'no-owner/no-model'.*use 'minilm', or copy"):
        load_encoder("no-owner/no-model")
    with pytest.raises(UnavailableError, match=r"unknown encoder 'bad name!!'"):
        load_encoder("bad name!!")
    with pytest.raises(DataError, match="there is no such folder"):
        load_encoder("./nowhere")
    with pytest.raises(DataError, match="holds no model weights"):
        load_encoder(str(tmp_path))


def test_broken_weights_are_one_clear_line(tmp_path: Path) -> None:
    folder = linked_model(tmp_path / "broken")
    replaced(folder / "model.safetensors", b"\x10\0\0\0\0\0\0\0not safetensors!")
    with pytest.raises(DataError, match=r"broken: cannot be loaded as a sentence-transformers model: .*") as caught:
        load_encoder(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match="'nonsense' is not one that torch knows"):
        load_encoder(device="nonsense")
    with pytest.raises(UnavailableError, match="torch sees"):
        load_encoder(device="cuda:99")


def test_torch_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, retrieval_bench.encoders as e; e.cached_encode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0


class Counting:
    """An encoder that counts the texts it is given, and can be stopped."""

    name, revision, dim = "counting", "r1", 3

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen = 0
        self._stop_at = stop_at

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
        if self._stop_at is not None and self.seen >= self._stop_at:
            raise KeyboardInterrupt
        self.seen += len(texts)
        return np.array([[len(t), sum(map(ord, t)), 1] for t in texts], np.float32).reshape(-1, 3)


def files() -> list[Path]:
    return sorted(p for p in (home() / "vectors").rglob("*") if p.is_file())


def test_a_hit_does_not_call_the_encoder() -> None:
    encoder, texts = Counting(), ["ab", "c"]
    first = cached_encode(encoder, texts)
    second = cached_encode(encoder, texts)
    assert encoder.seen == 2
    np.testing.assert_array_equal(first, second)
    assert isinstance(second, np.memmap)
    assert not second.flags.writeable
    cached_encode(encoder, ["a", "bc"])  # the same characters, cut elsewhere
    assert encoder.seen == 4
    encoder.revision = "r2"
    cached_encode(encoder, texts)
    assert encoder.seen == 6


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "other shape", "header"])
def test_a_damaged_file_is_made_anew(damage: str) -> None:
    encoder, texts = Counting(), ["ab", "c", "\ud800"]
    good = np.array(cached_encode(encoder, texts))
    (path,) = files()
    data = path.read_bytes()
    if damage == "other shape":
        np.save(path, np.zeros((3, 4), np.float32))
    else:
        broken = {
            "truncated": data[:-5],
            "garbage": b"\x80\x04." * 50,
            "empty": b"",
            "header": data[:20] + b"(" + data[21:],
        }
        path.write_bytes(broken[damage])
    np.testing.assert_array_equal(cached_encode(encoder, texts), good)
    assert encoder.seen == 6
    assert path.read_bytes() == data


def test_an_interrupted_encoding_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD", 4)
    texts = [f"text {i}" for i in range(18)]
    stopped = Counting(stop_at=8)
    with pytest.raises(KeyboardInterrupt):
        cached_encode(stopped, texts)
    assert len(files()) == 2
    resumed = Counting()
    vectors = cached_encode(resumed, texts)
    assert resumed.seen == 18 - 8
    np.testing.assert_array_equal(vectors, Counting().encode(texts))
    assert len(files()) == 1  # the shards have done their work


def test_shards_taken_away_by_another_process_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD", 4)
    texts = [f"text {i}" for i in range(10)]

    class Disturbed(Counting):
        def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
            shutil.rmtree(home() / "vectors", ignore_errors=True)  # what the winner of a race leaves
            return super().encode(texts, progress=progress)

    np.testing.assert_array_equal(cached_encode(Disturbed(), texts), Counting().encode(texts))


def test_an_encoder_of_another_shape_is_an_error() -> None:
    class Wrong(Counting):
        def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
            return super().encode(texts)[:, :2]

    with pytest.raises(DataError, match=r"'counting': gave \(1, 2\)"):
        cached_encode(Wrong(), ["a"])
    assert not files()
