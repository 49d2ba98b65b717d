"""The indexes of reduced vectors: budgets, exact bytes, equal answers with and without the kernel, and bad input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from retrieval_bench.datasets import exact_neighbors, load_dataset
from retrieval_bench.errors import ArtifactError, BudgetError, DataError, UsageError
from retrieval_bench.kernels import _native
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, Metric, Queries, RowIds

N, D = 1500, 96
BACKENDS = ["leanvec", "leanvec_ivf"]
SECONDARIES = ["lvq8+float32", "float32", "fp16", "lvq8", "none"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def _vectors(n: int = N, d: int = D, seed: int = 0) -> FloatArray:
    """Clusters within a third of the dimensions, off the origin, and a little noise in all."""
    generator = np.random.default_rng([seed, d])
    turn = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0][: d // 3]
    centres = np.random.default_rng(1).standard_normal((20, d // 3))
    inner = centres[np.arange(n) % 20] + 0.5 * generator.standard_normal((n, d // 3))
    return np.asarray(inner @ turn + 0.1 * generator.standard_normal((n, d)) + 0.2, np.float32)


def _asked(vectors: FloatArray) -> Queries:
    return Queries(ids=RowIds(len(vectors)), vectors=vectors)


def _build(
    name: str,
    vectors: FloatArray | None = None,
    *,
    budget: Budget | None = None,
    metric: Metric = "ip",
    queries: FloatArray | None = None,
    **params: Any,
) -> Any:
    vectors = _vectors() if vectors is None else vectors
    backend = indexes.get(name)
    index = backend()
    corpus = Corpus(ids=RowIds(len(vectors)), vectors=vectors)
    learn = None if queries is None else _asked(queries)
    index.build(corpus, backend.BuildParams(**params), budget or Budget(), metric=metric, queries=learn, seed=0)
    return index


def _search(index: Any, vectors: FloatArray, k: int = 10, **params: Any) -> Hits:
    hits: Hits = index.search(_asked(vectors), k, index.SearchParams(**params))
    return hits


def _recall(hits: Hits, vectors: FloatArray, queries: FloatArray, metric: Metric) -> float:
    exact = exact_neighbors(vectors, queries, hits.rows.shape[1], metric).rows
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, hits.rows, strict=True)]))


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("secondary", SECONDARIES)
@pytest.mark.parametrize("name", BACKENDS)
def test_every_form_finds_near_vectors_and_tells_their_scores(name: str, secondary: str, metric: Metric) -> None:
    vectors, queries = _vectors(), _vectors(40, seed=1)
    index = _build(name, vectors, metric=metric, dim=48, secondary=secondary)
    wide = {} if name == "leanvec" else {"nprobe": index.params.lists}
    hits = _search(index, queries, rerank=100, **wide)
    assert _recall(hits, vectors, queries, metric) >= (0.85 if secondary == "none" else 0.98)
    true = exact_neighbors(vectors, queries, 10, metric).scores
    # Codes of 48 dimensions lack what the others add, which is all noise here.
    assert np.abs(hits.scores - true).max() <= (
        0.15 * np.abs(true).max() if secondary == "none" else 0.01 * np.abs(true).max()
    )


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", BACKENDS)
def test_reranking_everything_is_exact(name: str, metric: Metric) -> None:
    vectors, queries = _vectors(300), _vectors(20, seed=1)
    index = _build(name, vectors, metric=metric, dim=16, secondary="float32")
    wide = {} if name == "leanvec" else {"nprobe": index.params.lists}
    hits, exact = _search(index, queries, rerank=300, **wide), exact_neighbors(vectors, queries, 10, metric)
    np.testing.assert_array_equal(hits.rows, exact.rows)
    np.testing.assert_allclose(hits.scores, exact.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("secondary", ["lvq8+float32", "none"])
@pytest.mark.parametrize("name", BACKENDS)
def test_numpy_answers_as_the_kernel_does(
    name: str, secondary: str, metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    if _native.library() is None:
        pytest.skip(f"no native kernel: {_native.description()}")
    index, queries = _build(name, metric=metric, secondary=secondary), _vectors(70, seed=1)
    native = _search(index, queries)
    alone = [_search(index, queries[i : i + 1]) for i in range(5)]
    with threadpool_limits(4):
        together = _search(index, queries)
    monkeypatch.setattr(_native, "library", lambda: None)
    plain = _search(index, queries)
    np.testing.assert_array_equal(native.rows, plain.rows)
    np.testing.assert_allclose(native.scores, plain.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(native.rows, together.rows)
    np.testing.assert_array_equal(native.rows[:5], np.concatenate([hits.rows for hits in alone]))


def test_training_queries_choose_the_projection() -> None:
    alike, data = _vectors(400, seed=2), load_dataset("synthetic-ood", rows=3000)
    assert _build("leanvec").params.projection == "pca"
    assert _build("leanvec", queries=alike).params.projection == "pca"
    asked = {split: data.queries[split].require_vectors() for split in ("train", "test")}
    vectors = data.corpus.require_vectors()
    recalls = {}
    for projection in ("auto", "pca"):
        index = _build("leanvec", vectors, queries=asked["train"], dim=20, projection=projection)
        recalls[index.params.projection] = _recall(
            _search(index, asked["test"], rerank=15), vectors, asked["test"], "ip"
        )
    assert recalls["query_aware"] > recalls["pca"] + 0.02


def test_drift_is_told_by_the_index_also_after_loading(tmp_path: Path) -> None:
    train, same = _vectors(600, seed=2), _vectors(300, seed=3)
    index = _build("leanvec_ivf", queries=train)
    index.save(tmp_path)
    loaded: Any = indexes.get("leanvec_ivf").load(tmp_path)
    for told in (index, loaded):
        assert not told.drift(_asked(same)).drifted
        assert told.drift(_asked(same + 0.5)).drifted
    with pytest.raises(DataError, match="fewer than 40 training queries"):
        _build("leanvec").drift(_asked(same))


def test_memory_is_counted_to_the_byte() -> None:
    slots, dim = 1504, 64  # 1,500 rows in groups of 16
    parts = {"projection": 4 * (D * dim + D + dim), "codes": slots * dim, "lists": 2 * 16}
    assert _build("leanvec", dim=dim, secondary="none").memory().parts == parts
    assert _build("leanvec", dim=dim - 3, secondary="none").memory().parts["codes"] == slots * dim
    kept = {"originals": slots * 4 * D, "coded": slots * (D + 8)}
    assert _build("leanvec", dim=dim, secondary="lvq8+float32").memory().parts == parts | kept
    assert _build("leanvec", dim=dim, secondary="fp16", metric="l2").memory().parts == (
        parts | {"originals": slots * 2 * D, "bias": slots * 4}
    )
    index = _build("leanvec_ivf", dim=dim, secondary="none", lists=20)
    held = 16 * int((-(-index._stored.rows // 16)).sum())
    assert index.memory().parts == {
        "projection": 4 * (D * dim + D + dim), "codes": held * dim, "ids": held * 4, "lists": 20 * 16,
        "centroids": 32 * dim,
    }  # fmt: skip


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", BACKENDS)
def test_budgets_choose_what_is_kept(name: str, metric: Metric) -> None:
    vectors = _vectors(3000)
    chosen = []
    for tier in (10_000, 500, 300, 200, 100, 50):
        index = _build(name, vectors, metric=metric, budget=Budget(bytes_per_vector=tier))
        assert index.memory().total <= tier * len(vectors)
        chosen.append(index.params.secondary)
    assert chosen[0] == "lvq8+float32"
    assert chosen[-1] == "none"
    ranks = [SECONDARIES.index(secondary) for secondary in chosen]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_smallest_size_that_an_error_names_can_be_built(name: str) -> None:
    with pytest.raises(BudgetError, match=r"needs at least (\d+) bytes") as refused:
        _build(name, budget=Budget(bytes_per_vector=1))
    smallest = int(str(refused.value).split("needs at least ")[1].split()[0])
    assert _build(name, budget=Budget(index_bytes=smallest)).memory().total <= smallest


@pytest.mark.parametrize(
    "params",
    [{"dim": 80}, {"secondary": "float32"}, {"dim": 32, "secondary": "lvq8"}, {"dim": 90, "secondary": "none"}],
)
@pytest.mark.parametrize("tier", [20, 60, 120, 300])
def test_explicit_parameters_are_never_changed_to_fit(params: dict[str, Any], tier: int) -> None:
    try:
        used = _build("leanvec", budget=Budget(bytes_per_vector=tier), **params).params
    except BudgetError:
        return
    assert {key: getattr(used, key) for key in params} == params


@pytest.mark.parametrize("name", BACKENDS)
def test_bad_input_is_refused_by_what_is_wrong(name: str) -> None:
    with pytest.raises(UsageError, match=r"dim = 97, but the vectors have 96 dimensions"):
        _build(name, dim=97)
    with pytest.raises(DataError, match="learns from training queries"):
        _build(name, projection="query_aware")
    with pytest.raises(DataError, match="do not fit into fp16"):
        _build(name, _vectors() * 1e6, secondary="fp16")
    with pytest.raises(UsageError, match=r"rerank = 5 candidates cannot give k = 10"):
        _search(_build(name), _vectors(2), rerank=5)
    with pytest.raises(UsageError, match=r"exact = 5 candidates cannot give k = 10"):
        _search(_build(name), _vectors(2), exact=5)


def test_lists_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="1500 vectors are too few to train lists = 2000"):
        _build("leanvec_ivf", lists=2000)


def test_more_lists_than_there_are_means_all() -> None:
    index = _build("leanvec_ivf", lists=8)
    every, more = (_search(index, _vectors(2), nprobe=nprobe).rows for nprobe in (8, 9))
    assert np.array_equal(every, more)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", BACKENDS)
def test_duplicates_zeros_and_outliers_are_served(name: str, metric: Metric) -> None:
    vectors = _vectors()
    vectors[100:400] = vectors[0]
    vectors[400:410] = 0
    vectors[410] *= 50
    index = _build(name, vectors, metric=metric)
    queries = np.concatenate([vectors[:1], np.zeros((1, D), np.float32), _vectors(5, seed=1)])
    hits = _search(index, queries, rerank=400, **({} if name == "leanvec" else {"nprobe": index.params.lists}))
    assert (hits.rows >= 0).all()
    assert np.isfinite(hits.scores).all()
    if metric == "l2":
        np.testing.assert_array_equal(hits.rows[0], [0, *range(100, 109)])


def test_short_answers_are_padded_at_the_end() -> None:
    index = _build("leanvec_ivf", lists=40)
    hits = _search(index, _vectors(30, seed=1), k=100, nprobe=1)
    missing = hits.rows < 0
    assert missing.any()
    assert (~missing[:, :-1] | missing[:, 1:]).all()
    assert (hits.scores[missing] == -np.inf).all()


@pytest.mark.parametrize("name", BACKENDS)
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    index = _build(name)
    for file in ("index.json", "codes.npy", "matrix.npy", "starts.npy"):
        for damage in ("cut", "gone"):
            folder = tmp_path / f"{file}-{damage}"
            folder.mkdir()
            index.save(folder)
            whole = (folder / file).read_bytes()
            (folder / file).unlink()
            if damage == "cut":
                (folder / file).write_bytes(whole[: len(whole) // 2])
            with pytest.raises(ArtifactError, match="build the index again"):
                indexes.get(name).load(folder)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("secondary", SECONDARIES)
def test_every_form_answers_the_same_after_loading(secondary: str, metric: Metric, tmp_path: Path) -> None:
    index, queries = _build("leanvec_ivf", secondary=secondary, metric=metric), _vectors(20, seed=1)
    index.save(tmp_path)
    before, after = (_search(i, queries) for i in (index, indexes.get("leanvec_ivf").load(tmp_path)))
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_arrays_of_another_index_are_refused(tmp_path: Path) -> None:
    _build("leanvec_ivf").save(tmp_path)
    np.save(tmp_path / "originals.npy", np.zeros((10, D), np.float32))
    with pytest.raises(ArtifactError, match="originals"):
        indexes.get("leanvec_ivf").load(tmp_path)
