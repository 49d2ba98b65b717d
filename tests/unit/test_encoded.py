"""Which encoder made the vectors of a collection: another one's do not serve, however like they look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval_bench import registry
from retrieval_bench.datasets import load_dataset
from retrieval_bench.encoders import encoded_by
from retrieval_bench.errors import DataError
from retrieval_bench.runner.prepared import encoded, opened, store
from retrieval_bench.specs import params
from retrieval_bench.types import Budget, Corpus, EncoderInfo, Examples, FloatArray, Qrels, Queries

TEXTS = ["crane lifts steel", "a bird dances", "sorting a list", "binary search in a sorted list", "steel beams"]
ASKED = ["bird", "lifting steel", "sort lists"]


class Letters:
    """Encodes a text by its letters."""

    name, revision, dim, precision, nbytes = "letters", "r1", 26, "float32", 1000

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
        return np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)


class Backwards(Letters):
    """The same letters in the opposite order: vectors of one size, and another meaning."""

    name, revision = "backwards", "r2"

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
        return super().encode(texts)[:, ::-1]


def of(encoder: Letters) -> EncoderInfo:
    return EncoderInfo(name=encoder.name, revision=encoder.revision)


def corpus(made_by: Letters | None = None, *, known: bool = True) -> Corpus:
    plain = Corpus(ids=[f"d{i}" for i in range(len(TEXTS))], texts=TEXTS)
    if made_by is None:
        return plain
    return replace(plain, vectors=made_by.encode(TEXTS), encoder=of(made_by) if known else None)


def queries(texts: Sequence[str] = ASKED) -> Queries:
    return Queries(ids=[f"q{i}" for i in range(len(texts))], texts=texts)


@pytest.mark.parametrize("part", [corpus(), queries()])
def test_only_another_encoders_vectors_are_made_anew(part: Corpus | Queries) -> None:
    letters, other = Letters(), Backwards()
    own = encoded_by(letters, part)
    assert own.encoder == of(letters)
    np.testing.assert_array_equal(own.require_vectors(), letters.encode(part.require_texts()))
    assert encoded_by(letters, own) is own
    given = replace(own, encoder=None)
    assert encoded_by(other, given) is given
    again = encoded_by(other, own)
    assert again.encoder == of(other)
    np.testing.assert_array_equal(again.require_vectors(), other.encode(part.require_texts()))
    with pytest.raises(DataError, match="vectors of 5 dimensions, the encoder 'letters' makes 26; name the encoder"):
        encoded_by(letters, replace(part, vectors=np.ones((len(part), 5), np.float32)))


def examples() -> Examples:
    qrels = Qrels(offsets=np.arange(4), rows=np.array([1, 0, 2]), grades=np.ones(3, np.int64))
    return Examples(queries=queries(), qrels=qrels)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dense", {"encoder": "letters"}),
        ("hybrid", {"rankers": ["bm25", {"ranker": "dense", "build": {"encoder": "letters"}}]}),
        ("ltr", {"encoder": "letters", "least": 1, "depth": 4}),
    ],
)
def test_a_ranker_with_an_encoder_of_its_own_searches_its_own_vectors(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("dense", "ltr"):
        registry.rankers.get(module)  # imports it
        monkeypatch.setattr(f"retrieval_bench.rankers.{module}.load_encoder", lambda name, **_: Letters())
    found = []
    for documents in (corpus(), corpus(Letters()), corpus(Backwards()), corpus(Backwards(), known=False)):
        ranker: Any = registry.rankers.get(name)()
        wanted = params(ranker.BuildParams, settings, where="test")
        ranker.build(documents, wanted, Budget(), examples=examples())
        # Trees that learned from three questions order nothing, so of ltr the vectors themselves are compared.
        found.append(ranker._vectors if name == "ltr" else ranker.rank(queries(), 5).scores)
    plain, same, other, unknown = found
    np.testing.assert_array_equal(same, plain)
    np.testing.assert_array_equal(other, plain)
    assert not np.array_equal(unknown, plain)  # given as data: nobody knows that they are wrong


def test_an_index_learns_from_questions_of_its_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, flat = registry.rankers.get("dense"), registry.indexes.get("flat")
    monkeypatch.setattr("retrieval_bench.rankers.dense.load_encoder", lambda name, **_: Letters())
    seen: list[FloatArray] = []
    build = flat.build

    def watched(self: Any, *given: Any, queries: Queries, **settings: Any) -> None:
        seen.append(queries.require_vectors())
        build(self, *given, queries=queries, **settings)

    monkeypatch.setattr(flat, "build", watched)
    for asked in (examples().queries, encoded_by(Backwards(), examples().queries)):
        dense().build(corpus(), dense.BuildParams(), Budget(), examples=Examples(queries=asked))
    np.testing.assert_array_equal(seen[0], seen[1])


def test_preparation_keeps_the_encoder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", TEXTS), ("queries", ASKED)):
        lines = [json.dumps({"_id": f"{name}{i}", "text": text}) for i, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nqueries0\tcorpus1\t1\n", encoding="utf-8")
    data = load_dataset(str(folder))
    for whole in (True, False):
        again = opened(store(encoded(data, Letters())), texts=whole)
        assert again.corpus.encoder == again.queries["test"].take(slice(1)).encoder == of(Letters())
    assert opened(store(data)).corpus.encoder is None
