"""The frame changes no answer, brings scores back, costs ordinary data nothing; what float32 cannot hold is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import retrieval_bench as rb
from retrieval_bench.datasets import exact_neighbors
from retrieval_bench.errors import ArtifactError, DataError
from retrieval_bench.frame import Frame
from retrieval_bench.runner.prepared import frame_of, opened, store
from retrieval_bench.types import Budget, Corpus, Dataset, MemoryReport, Metric, Queries, RowIds

X = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
Q = np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
K = 5


def right(x: npt.NDArray[Any], q: npt.NDArray[Any], metric: Metric) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The K best rows and their scores, in float64 all through."""
    x, q = x.astype(np.float64), q.astype(np.float64)
    if metric == "l2":
        scores = -((q[:, None] - x[None]) ** 2).sum(-1)
    else:
        if metric == "cos":
            x, q = (v / np.abs(v).max(axis=1, keepdims=True) for v in (x, q))
            x, q = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, q))
        scores = q @ x.T
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return rows, np.take_along_axis(scores, rows, axis=1)


CASES: list[tuple[str, npt.NDArray[Any], npt.NDArray[Any], Metric]] = [
    ("far away", X + 3000, Q + 3000, "l2"),
    ("far away, float64", X.astype(np.float64) * 1e-3 + 1e6, Q.astype(np.float64) * 1e-3 + 1e6, "l2"),
    ("far away, integers", (X * 1000).astype(np.int64) + 10**12, (Q * 1000).astype(np.int64) + 10**12, "l2"),
    ("far away, one long row", np.vstack([X, X[:1] * 1e4]) + 3000, Q + 3000, "l2"),
    ("far away, mostly equal", np.vstack([X[:100], np.tile(X[:1], (200, 1))]) + 3000, Q + 3000, "l2"),
    *[(f"{scale:g} {metric}", X * np.float32(scale), Q * np.float32(scale), metric)
      for scale in (1e-16, 1e-6, 1e6, 1e17) for metric in ("l2", "ip", "cos")],
    ("all one way", X + 500, Q + 500, "cos"),
    ("all very much one way, float64", X.astype(np.float64) + 1e5, Q.astype(np.float64) + 1e5, "cos"),
    ("tiny queries", X, Q * np.float32(1e-30), "ip"),
    ("huge queries", X, Q * np.float32(1e30), "ip"),
    ("float64 beyond float32", X.astype(np.float64) * 1e200, Q.astype(np.float64) * 1e-180, "cos"),
    ("bytes", np.clip(X * 40 + 128, 0, 255).astype(np.uint8), np.clip(Q * 40 + 128, 0, 255).astype(np.uint8), "l2"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "q", "metric"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_framed_rows_have_the_order_and_give_the_scores_of_the_users(
    x: npt.NDArray[Any], q: npt.NDArray[Any], metric: Metric, tmp_path: Path
) -> None:
    with np.errstate(all="raise"):
        frame = Frame.of(x, metric, source="x")
        asked, factor = frame.queries(q)
        framed = frame.rows(x)
    assert framed.dtype == asked.dtype == np.float32
    assert 2**-12 < np.median(np.abs(framed).max(axis=1)) < 2**16
    hits = exact_neighbors(framed, asked, K, frame.served)
    rows, scores = right(x, q, metric)
    assert (hits.rows == rows).mean() > 0.98
    np.testing.assert_allclose(frame.scores(hits.scores, factor), scores, rtol=2e-4, atol=1e-6 * np.abs(scores).max())
    frame.write(tmp_path)
    read = Frame.read(tmp_path, asked=metric, exponent=frame.exponent, dim=8)
    assert np.array_equal(read.rows(x), framed)
    assert read.digest == frame.digest


def test_ordinary_data_is_left_alone() -> None:
    for metric in ("l2", "ip"):
        frame = Frame.of(X, metric, source="x")
        asked, factor = frame.queries(Q)
        assert frame.rows(X) is X
        assert asked is Q
        assert frame.scores(scores := np.zeros((2, 3), np.float32), factor) is scores
        assert frame.nbytes == 0


def test_moving_float32_vectors_rounds_nothing() -> None:
    far = X + np.float32(3000)
    frame = Frame.of(far, "l2", source="x")
    assert frame.shift is not None
    assert np.array_equal(frame.rows(far).astype(np.float64) + frame.shift, far.astype(np.float64))


@pytest.mark.parametrize(
    ("x", "metric", "message"),
    [
        (X * np.float32(1e19), "l2", "values near .e.19 do not fit float32 scores; divide"),
        (X * np.float32(1e-30), "l2", "do not fit float32 scores; multiply"),
        (np.vstack([X, X[:1] * np.float32(1e30)]), "ip", r"row 300 has values near .e.30, a typical row"),
    ],
)
def test_vectors_whose_scores_float32_cannot_hold_are_refused(x: Any, metric: Metric, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rb.build("flat", x, metric=metric)


def test_queries_whose_scores_float32_cannot_hold_are_refused() -> None:
    near, far = rb.build("flat", X, metric="l2"), rb.build("flat", X * np.float32(1e-30), metric="ip")
    with pytest.raises(DataError, match=r"queries: row 1 has values near .e\+25, so far"):
        near.search(np.vstack([Q[:1], Q[:1] * np.float32(1e25)]))
    with pytest.raises(DataError, match=r"the scores of row 0, near .*, do not fit float32; multiply"):
        far.search(Q * np.float32(1e-30))
    assert np.isfinite(far.search(Q).scores).all()
    huge = rb.build("flat", X * np.float32(1e30), metric="ip")
    with pytest.raises(DataError, match="do not fit float32; divide"):
        huge.search(Q * np.float32(1e30))


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_an_exported_index_keeps_its_frame(tmp_path: Path, metric: Metric) -> None:
    x, q = (X.astype(np.float64) * 1e-9 + 5, Q.astype(np.float64) * 1e-9 + 5) if metric == "l2" else (X * 1e-9, Q)
    built = rb.build("flat", x, metric=metric)
    built.save(tmp_path / "a")
    loaded = rb.load(tmp_path / "a")
    rows, scores = right(x, q, metric)
    for searcher in (built, loaded):
        found = searcher.search(q, K)
        assert np.array_equal(found.rows, rows)
        np.testing.assert_allclose(found.scores, scores, rtol=1e-4)
    assert loaded.manifest.exponent > 20
    assert loaded.memory() == built.memory()
    assert ("frame" in loaded.memory().parts) == ("shift.npy" in loaded.manifest.files) == (metric == "l2")


def test_a_shift_that_is_none_is_refused(tmp_path: Path) -> None:
    for wrong in (np.zeros(7), np.zeros(8, np.float32), np.full(8, np.nan)):
        np.save(tmp_path / "shift.npy", wrong)
        with pytest.raises(ArtifactError, match=r"shift\.npy"):
            Frame.read(tmp_path, asked="l2", exponent=0, dim=8)


def test_the_frame_counts_in_memory_and_budget() -> None:
    frame = Frame.of(X + 3000, "l2", source="x")
    assert frame.counted(MemoryReport(parts={"vectors": 100})).total == 164
    assert frame.left(Budget(bytes_per_vector=16), 300).index_bytes == 4800 - 64
    assert frame.left(Budget(), 300) == Budget()


def test_prepared_data_is_framed_and_so_are_its_neighbors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path))
    x, q = X.astype(np.float64) * 1e-3 + 48.1, Q.astype(np.float64) * 1e-3 + 48.1
    corpus = Corpus(ids=RowIds(len(x)), vectors=x)  # type: ignore[arg-type]
    asked = Queries(ids=RowIds(len(q)), vectors=q)  # type: ignore[arg-type]
    folder = store(Dataset(name="d", fingerprint="f", corpus=corpus, queries={"test": asked}, metric="l2"))
    data, frame = opened(folder), frame_of(folder)
    rows, scores = right(x, q, "l2")
    assert np.array_equal(data.neighbors["test"].rows[:, :K], rows)
    np.testing.assert_allclose(frame.scores(data.neighbors["test"].scores[:, :K], frame.queries(q)[1]), scores, 1e-4)
    assert (frame.asked, data.metric) == ("l2", "l2")
    assert np.array_equal(data.corpus.require_vectors(), frame.rows(x))
