"""The flat and the inverted-file index over codes: budgets, lists, two levels, traffic, damaged files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval_bench.codecs import registered
from retrieval_bench.errors import ArtifactError, BudgetError, DataError, UnknownNameError
from retrieval_bench.indexes._nearest import Nearest
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, Metric, Queries, RowIds

N, D = 900, 24


def _vectors(n: int = N, seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((20, D)) + 1
    return (centres[np.arange(n) % 20] + 0.5 * generator.standard_normal((n, D))).astype(np.float32)


def _build(
    name: str, vectors: FloatArray | None = None, *, budget: Budget | None = None, metric: Metric = "ip", **params: Any
) -> Any:
    vectors = _vectors() if vectors is None else vectors
    index = indexes.get(name)()
    corpus = Corpus(ids=RowIds(len(vectors)), vectors=vectors)
    index.build(corpus, index.BuildParams(**params), budget or Budget(), metric=metric, seed=0)
    return index


def _search(index: Any, vectors: FloatArray, k: int = 5, **params: Any) -> Hits:
    hits: Hits = index.search(Queries(ids=RowIds(len(vectors)), vectors=vectors), k, index.SearchParams(**params))
    return hits


def _exact(vectors: FloatArray, queries: FloatArray, metric: Metric) -> FloatArray:
    products: FloatArray = queries @ vectors.T
    if metric == "l2":
        products = 2 * products - (vectors**2).sum(1) - (queries**2).sum(1)[:, None]
    return products


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", ["coded", "coded_ivf"])
def test_codes_that_lose_nothing_answer_exactly(name: str, metric: Metric) -> None:
    vectors, queries = _vectors(), _vectors(30, seed=1)
    index = _build(name, vectors, metric=metric, codec="pca", bytes=4 * D + 60)
    hits = _search(index, queries, k=N, **({"nprobe": index.params.lists} if name == "coded_ivf" else {}))
    exact = _exact(vectors, queries, metric)
    np.testing.assert_array_equal(np.sort(hits.rows, axis=1), np.broadcast_to(np.arange(N), (30, N)))
    np.testing.assert_allclose(hits.scores, np.take_along_axis(exact, hits.rows, axis=1), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("codec", registered.names())
@pytest.mark.parametrize("name", ["coded", "coded_ivf"])
def test_every_codec_works_under_both_within_the_budget(name: str, codec: str, tmp_path: Path) -> None:
    queries = _vectors(20, seed=1)
    index = _build(name, budget=Budget(bytes_per_vector=40), codec=codec)
    assert 0 < index.memory().total <= 40 * N
    hits = _search(index, queries)
    assert ((hits.rows >= 0) & (hits.rows < N)).all()
    index.save(tmp_path)
    loaded: Any = indexes.get(name).load(tmp_path)
    np.testing.assert_array_equal(_search(loaded, queries).scores, hits.scores)
    assert loaded.memory() == index.memory()
    assert loaded.params == index.params
    saved = sum(file.stat().st_size for file in tmp_path.glob("*.npy"))
    assert index.memory().total <= saved <= index.memory().total + 16_384


def test_bytes_that_were_asked_for_are_not_stretched() -> None:
    with pytest.raises(BudgetError, match="at least"):
        _build("coded", codec="int8", bytes=24, budget=Budget(bytes_per_vector=20))
    with pytest.raises(BudgetError):
        _build("coded", budget=Budget(index_bytes=40), codec="fp16")
    with pytest.raises(BudgetError):
        _build("coded_ivf", budget=Budget(bytes_per_vector=4), codec="int4")
    assert _build("coded", codec="int8", bytes=12.5).params.bytes == 12.5
    assert _build("coded", budget=Budget(bytes_per_vector=20)).params.bytes == pytest.approx(20)


def test_scarce_bytes_mean_fewer_lists() -> None:
    many, few = (_build("coded_ivf", budget=Budget(bytes_per_vector=b)).params.lists for b in (200, 10))
    assert many > few >= 1
    index = _build("coded_ivf", budget=Budget(bytes_per_vector=200))
    every, more = (_search(index, _vectors(2), nprobe=nprobe).rows for nprobe in (many, many + 1))
    assert np.array_equal(every, more)
    with pytest.raises(DataError, match="too few to train lists"):
        _build("coded_ivf", _vectors(10), lists=11)


def test_more_lists_find_more() -> None:
    vectors, queries = _vectors(), _vectors(50, seed=1)
    index = _build("coded_ivf", vectors, lists=16)
    exact = np.argsort(-_exact(vectors, queries, "ip"), axis=1)[:, :5]
    recalls = [
        np.mean([np.isin(a, b).mean() for a, b in zip(exact, _search(index, queries, nprobe=p).rows, strict=True)])
        for p in (1, 4, 16)
    ]
    assert recalls[0] < recalls[1] < recalls[2]
    assert recalls[2] > 0.95


@pytest.mark.parametrize("name", ["coded", "coded_ivf"])
def test_refining_finds_what_bits_alone_do_not(name: str) -> None:
    vectors, queries = _vectors(), _vectors(50, seed=1)
    index = _build(name, vectors, codec="binary", metric="l2")
    exact = np.argsort(-_exact(vectors, queries, "l2"), axis=1)[:, :5]

    def recall(refine: int) -> float:
        rows = _search(index, queries, refine=refine, **({"nprobe": 8} if name == "coded_ivf" else {})).rows
        return float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, rows, strict=True)]))

    assert recall(100) > recall(1)
    assert recall(100) > 0.95


def test_traffic_reaches_the_codec_in_the_order_of_the_lists(tmp_path: Path) -> None:
    vectors, traffic = _vectors(), np.ones(N)
    hot = np.arange(0, N, 30)
    traffic[hot] = 500
    np.save(tmp_path / "traffic.npy", traffic)
    index = _build("coded_ivf", vectors, codec="mixed", bytes=16, traffic=str(tmp_path / "traffic.npy"))
    hits = _search(index, vectors[:100], k=N, nprobe=index.params.lists)
    found = np.take_along_axis(hits.scores, np.argsort(hits.rows, axis=1), axis=1)
    error = np.abs(found - _exact(vectors, vectors[:100], "ip"))
    assert error[:, hot].mean() < 0.5 * np.delete(error, hot, axis=1).mean()
    (tmp_path / "saved").mkdir()
    index.save(tmp_path / "saved")
    assert indexes.get("coded_ivf").load(tmp_path / "saved").params == index.params
    with pytest.raises(DataError, match="one for each of the 100 rows"):
        _build("coded", vectors[:100], codec="mixed", traffic=str(tmp_path / "traffic.npy"))


def test_an_unknown_codec_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="rabitq"):
        _build("coded", codec="rabit")


@pytest.mark.parametrize("name", ["coded", "coded_ivf"])
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    _build(name).save(tmp_path)
    for file in ("lists.centroids.npy", "codes.codes.npy"):
        array, whole = tmp_path / file, (tmp_path / file).read_bytes()
        for damaged in (b"", whole[:40], whole[: len(whole) // 2]):
            array.write_bytes(damaged)
            with pytest.raises(ArtifactError, match="build the index again"):
                indexes.get(name).load(tmp_path)
        array.write_bytes(whole)
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(ArtifactError):
        indexes.get(name).load(tmp_path)


def test_constant_vectors_are_all_alike() -> None:
    index = _build("coded", np.ones((N, D), np.float32), metric="l2")
    hits = _search(index, np.ones((2, D), np.float32))
    np.testing.assert_allclose(hits.scores, 0, atol=1e-5)


def test_the_nearest_of_blocks_are_those_of_the_whole() -> None:
    scores = np.random.default_rng(0).standard_normal((6, 100)).astype(np.float32)
    best = Nearest(6, 8)
    for first in range(0, 100, 7):
        best.add(slice(None), scores[:, first : first + 7], first)
    np.testing.assert_array_equal(np.sort(best.rows, axis=1), np.sort(np.argsort(-scores, axis=1)[:, :8], axis=1))
    np.testing.assert_array_equal(np.take_along_axis(scores, best.rows, axis=1), best.scores)
