"""Vectors on which one centre or one step would not do, under the indexes of codes; and when a division is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from retrieval_bench.indexes._cells import find_cells
from retrieval_bench.kernels import _native
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, Metric, Queries, RowIds

N, D, M, K = 1_500, 32, 20, 10
Kind = Callable[[FloatArray, np.random.Generator], FloatArray]


def _plain(seed: int) -> FloatArray:
    """Rows and then queries."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(30, D)) * 2
    return np.asarray(centres[generator.integers(0, 30, N + M)] + generator.normal(size=(N + M, D)), np.float32)


def _one_long(x: FloatArray, generator: np.random.Generator) -> FloatArray:
    return x * np.where(np.arange(len(x)) == 5, np.float32(3e4), np.float32(1))[:, None]


def _lengths(x: FloatArray, generator: np.random.Generator) -> FloatArray:
    x[:N] *= generator.lognormal(0, 2, (N, 1)).astype(np.float32)
    return x


def _wide(x: FloatArray, generator: np.random.Generator) -> FloatArray:
    return x * np.where(np.arange(D) == 3, np.float32(300), np.float32(1))


def _groups(x: FloatArray, generator: np.random.Generator) -> FloatArray:
    away = generator.normal(size=(3, D)) * 500
    return np.asarray(x + away[generator.choice(3, len(x), p=(0.7, 0.25, 0.05))], np.float32)


def _repeated(x: FloatArray, generator: np.random.Generator) -> FloatArray:
    x[:N] = np.repeat(x[:5], N // 5, axis=0)
    return x


def _equal(x: FloatArray, generator: np.random.Generator) -> FloatArray:
    x[:N] = x[0]
    return x


KINDS: dict[str, Kind] = {f.__name__[1:]: f for f in (_one_long, _lengths, _wide, _groups, _repeated, _equal)}


def _made(kind: str, seed: int, metric: Metric) -> tuple[FloatArray, FloatArray]:
    x = KINDS[kind](_plain(seed), np.random.default_rng(seed)) if kind != "plain" else _plain(seed)
    if metric == "cos":
        x = np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)
    return np.ascontiguousarray(x[:N]), np.ascontiguousarray(x[N:])


def _answers(name: str, x: FloatArray, q: FloatArray, metric: Metric, build: dict[str, Any], depth: int) -> Hits:
    backend = indexes.get(name)
    index: Any = backend()
    served: Metric = "l2" if metric == "l2" else "ip"
    with threadpool_limits(1):
        index.build(Corpus(ids=RowIds(N), vectors=x), backend.BuildParams(**build), Budget(), metric=served, seed=0)
        most = {"nprobe": index.params.lists} if name.endswith("_ivf") else {}
        most["refine" if name.startswith("coded") else "rerank"] = depth
        hits: Hits = index.search(Queries(ids=RowIds(M), vectors=q), K, backend.SearchParams(**most))
    return hits


def _recall(hits: Hits, x: FloatArray, q: FloatArray, metric: Metric) -> float:
    """Against float64; a tie with the tenth counts."""
    rows, asked = x.astype(np.float64), q.astype(np.float64)
    true = asked @ rows.T if metric != "l2" else -np.square(asked[:, None] - rows).sum(axis=2)
    assert (hits.rows >= 0).all()
    found = np.take_along_axis(true, hits.rows, axis=1)
    tenth = -np.sort(-true, axis=1)[:, K - 1 : K]
    return float((found >= tenth - 1e-9 * np.abs(tenth)).mean())


@pytest.mark.parametrize("metric", ["l2", "ip", "cos"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["leanvec", "leanvec_ivf"])
def test_originals_find_the_neighbors_among_few_candidates(name: str, kind: str, metric: Metric) -> None:
    x, q = _made(kind, 1, metric)
    build = {"lists": 40} if name == "leanvec_ivf" else {}
    assert _recall(_answers(name, x, q, metric, build, 120), x, q, metric) >= 0.99


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("kind", ["one_long", "groups", "wide"])
def test_numpy_finds_them_too(kind: str, metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    x, q = _made(kind, 2, metric)
    native = _answers("leanvec_ivf", x, q, metric, {"lists": 30}, 120)
    monkeypatch.setattr(_native, "library", lambda: None)
    plain = _answers("leanvec_ivf", x, q, metric, {"lists": 30}, 120)
    np.testing.assert_array_equal(plain.rows, native.rows)
    np.testing.assert_allclose(plain.scores, native.scores, rtol=1e-5)


@pytest.mark.parametrize("metric", ["l2", "ip", "cos"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["coded", "coded_ivf"])
def test_codes_alone_lose_no_more_than_on_plain_vectors(name: str, kind: str, metric: Metric) -> None:
    recalls = []
    for made in ("plain", kind):
        x, q = _made(made, 1, metric)
        build = {"codec": "int8"} | ({"lists": 40} if name == "coded_ivf" else {})
        recalls.append(_recall(_answers(name, x, q, metric, build, 16), x, q, metric))
    assert recalls[1] >= recalls[0] - 0.05


@pytest.mark.parametrize("secondary", ["fp16", "lvq8", "none"])
def test_every_form_takes_groups_from_their_own_centres(secondary: str) -> None:
    x, q = _made("groups", 1, "l2")
    floor = {"fp16": 0.95, "lvq8": 0.9, "none": 0.6}[secondary]
    assert _recall(_answers("leanvec", x, q, "l2", {"secondary": secondary}, 120), x, q, "l2") >= floor


def test_ordinary_vectors_have_one_cell_and_are_moved_nowhere() -> None:
    x, _ = _made("plain", 0, "ip")
    cells = find_cells(x, 0)
    assert len(cells) == 1
    assert not cells.uneven
    assert not cells.away
    np.testing.assert_array_equal(cells.centres[0], x.mean(axis=0, dtype=np.float64).astype(np.float32))
    np.testing.assert_allclose(cells.lengths, np.linalg.norm(x - cells.centres[0], axis=1), rtol=1e-6)


def test_long_rows_move_no_centre_and_small_groups_get_their_own() -> None:
    plain, long = _made("plain", 0, "l2")[0], _made("one_long", 0, "l2")[0]
    cells = find_cells(long, 0)
    assert len(cells) == 1
    assert cells.uneven
    np.testing.assert_allclose(cells.centres[0], plain.mean(axis=0), atol=0.1)
    groups = find_cells(_made("groups", 0, "l2")[0], 0)
    assert len(groups) > 1
    assert groups.lengths.max() < 60  # of 500 between them
