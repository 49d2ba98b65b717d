"""AdANNS backends: dimensions chosen apart and late, budgets of a search, bytes, bad input, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from retrieval_bench.errors import ArtifactError, BudgetError, DataError, UsageError
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, Metric, Queries, RowIds

N, D = 1200, 24
BACKENDS = ["adanns_ivf", "adanns_opq", "adanns_ivf_opq", "adanns_hnsw"]
METRICS: list[Metric] = ["ip", "l2"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def _vectors(n: int = N, d: int = D, seed: int = 0) -> FloatArray:
    """Variance falls along directions that are not the axes, and the mean is not zero, as with text vectors."""
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(99).standard_normal((d, d)))
    spread = generator.standard_normal((n, d)) * np.geomspace(2, 0.2, d)
    vectors: FloatArray = (spread @ turn + 0.3).astype(np.float32)
    return vectors


def _queries(m: int = 40, seed: int = 1) -> Queries:
    return Queries(ids=RowIds(m), vectors=_vectors(m, seed=seed))


def _build(
    name: str, vectors: FloatArray | None = None, *, budget: Budget | None = None, metric: Metric = "ip", **params: Any
) -> Any:
    vectors = _vectors() if vectors is None else vectors
    backend = indexes.get(name)
    index = backend()
    corpus = Corpus(ids=RowIds(len(vectors)), vectors=vectors)
    learn = Queries(ids=RowIds(50), vectors=_vectors(50, vectors.shape[1], seed=7))
    index.build(corpus, backend.BuildParams(**params), budget or Budget(), metric=metric, queries=learn, seed=0)
    return index


@cache
def _built(name: str, metric: Metric = "ip") -> Any:
    return _build(name, metric=metric)


def _search(index: Any, k: int = 10, **params: Any) -> Hits:
    hits: Hits = index.search(_queries(), k, index.SearchParams(**params))
    return hits


def _exact(metric: Metric, width: int = D) -> FloatArray:
    asked, vectors = _queries().require_vectors()[:, :width], _vectors()[:, :width]
    if metric == "ip":
        return asked @ vectors.T
    scores: FloatArray = -((asked[:, None] - vectors[None]) ** 2).sum(axis=2)
    return scores


def _recall(hits: Hits, metric: Metric = "ip") -> float:
    truth = np.argsort(-_exact(metric), axis=1)[:, : hits.rows.shape[1]]
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, hits.rows, strict=True)]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d_s", [3, 10, D])
def test_all_lists_and_all_candidates_are_exact_whatever_is_scanned(metric: Metric, d_s: int) -> None:
    index = _built("adanns_ivf", metric)
    hits = _search(index, nprobe=index.params.lists, d_s=d_s, d_r=D, refine_factor=N // 10)
    scores = _exact(metric)
    np.testing.assert_array_equal(hits.rows, np.argsort(-scores, axis=1, kind="stable")[:, :10])
    np.testing.assert_allclose(hits.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", BACKENDS)
def test_re_ranked_scores_are_those_of_the_whole_vectors(name: str, metric: Metric) -> None:
    hits = _search(_built(name, metric))
    true = np.take_along_axis(_exact(metric), hits.rows, axis=1)
    np.testing.assert_allclose(hits.scores, true, rtol=1e-3, atol=1e-3)
    assert _recall(_search(_built(name, metric), refine_factor=16), metric) > 0.8


@pytest.mark.parametrize("metric", METRICS)
def test_a_prefix_is_scored_as_a_prefix(metric: Metric) -> None:
    index = _build("adanns_ivf", metric=metric, nesting="prefix", lists=4, d_c=20)
    hits = _search(index, nprobe=4, d_s=5, d_r=9, refine_factor=N // 10)
    scores = _exact(metric, width=9)
    np.testing.assert_array_equal(hits.rows, np.argsort(-scores, axis=1, kind="stable")[:, :10])
    np.testing.assert_allclose(hits.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-4, atol=1e-4)


def test_principal_components_say_more_than_a_plain_prefix() -> None:
    setting = {"nprobe": 4, "d_s": 6, "d_r": 6}
    plain, turned = (_search(_build("adanns_ivf", nesting=kind, lists=4), **setting) for kind in ("prefix", "pca"))
    assert _recall(turned) > _recall(plain) + 0.2


def test_a_search_may_be_narrower_than_any_setting_of_the_build() -> None:
    index = _built("adanns_ivf")
    recalls = [_recall(_search(index, nprobe=index.params.lists, d_s=w, d_r=w)) for w in (1, 7, 13, D)]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1


@pytest.mark.parametrize("name", BACKENDS)
def test_a_larger_budget_of_bytes_reads_no_more_than_it_and_finds_no_less(name: str) -> None:
    index = _built(name)
    rows = index._calibration.rows
    assert [row.recall for row in rows] == sorted(row.recall for row in rows)
    found = []
    for row in (rows[0], rows[len(rows) // 2], rows[-1]):
        allowed = int(np.ceil(row.cost.bytes_read(10)))
        chosen = index.setting(10, index.SearchParams(bytes_read=allowed))
        assert index.cost(_queries(), chosen).bytes_read(10) <= 1.3 * allowed  # other queries probe other lists
        found.append(_recall(_search(index, bytes_read=allowed)))
    assert found[0] <= found[1] + 0.02 <= found[2] + 0.04
    assert found[-1] > 0.9


def test_the_cost_is_what_is_read() -> None:
    index = _build("adanns_ivf", lists=4, d_c=6)
    cost = index.cost(_queries(), index.SearchParams(nprobe=4, d_s=10, d_r=15, refine_factor=3))
    assert cost.fixed == 4 * 4 * 6 + 4 * N * 10
    assert cost.bytes_read(10) == cost.fixed + 10 * 3 * 4 * 5


def test_a_latency_budget_takes_a_calibrated_setting() -> None:
    index = _built("adanns_ivf")
    slowest = max(row.milliseconds for row in index._calibration.rows)
    assert index.setting(10, index.SearchParams(latency_ms=slowest)).d_s == index._calibration.rows[-1].setting["d_s"]


def test_budgets_that_cannot_be_kept_are_refused() -> None:
    index = _built("adanns_ivf")
    with pytest.raises(UsageError, match=r"bytes_read = 1, .* at least \d+ bytes"):
        _search(index, bytes_read=1)
    with pytest.raises(UsageError, match="latency_ms = 1e-09"):
        _search(index, latency_ms=1e-9)
    with pytest.raises(UsageError, match="choose d_s: give one or the other"):
        _search(index, bytes_read=10_000, d_s=4)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_smallest_size_that_an_error_names_can_be_built(name: str) -> None:
    with pytest.raises(BudgetError, match=f"^{name} ") as refused:
        _build(name, budget=Budget(bytes_per_vector=1))
    found = re.search(r"at least (\d+) bytes", str(refused.value))
    assert found is not None
    needed = int(found[1])
    assert _build(name, budget=Budget(index_bytes=needed)).memory().total <= needed
    with pytest.raises(BudgetError):
        _build(name, budget=Budget(index_bytes=needed - 1))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_byte_budget_is_used_and_kept(name: str) -> None:
    whole = _built(name).memory().total
    share = 0.8 if name == "adanns_hnsw" else 0.6  # most of a graph of few dimensions is links
    tight = _build(name, budget=Budget(index_bytes=int(share * whole)))
    assert 0.5 * share * whole < tight.memory().total <= share * whole
    assert tight.params.dim < D or tight.params.refine != "float32"
    fixed = {"dim": D} if name in ("adanns_ivf", "adanns_hnsw") else {"refine": "float32"}
    with pytest.raises(BudgetError):
        _build(name, budget=Budget(index_bytes=int(0.5 * share * whole)), **fixed)


def test_memory_is_counted_to_the_byte() -> None:
    parts = _build("adanns_ivf", lists=10, d_c=6, dim=20).memory().parts
    assert {name: parts[name] for name in ("vectors", "ids", "centroids", "lists", "nesting")} == {
        "vectors": 4 * 20 * N,
        "ids": 4 * N,
        "centroids": 4 * 6 * 10,
        "lists": 8 * 11,
        "nesting": 4 * D * 20 + 4 * D,
    }
    parts = _build("adanns_opq", code_bytes=5, d_s=12, refine="int8").memory().parts
    del parts["calibration"], parts["nesting"]
    assert parts == {"codes": 5 * N, "codebooks": 4 * 256 * 15, "rotation": 4 * 12 * 15, "originals": N * D + 8 * D}
    parts = _build("adanns_hnsw", d_s=10, nesting="prefix").memory().parts
    assert (parts["codes"], parts["rest"], parts["nesting"]) == (4 * 10 * N, 4 * 14 * N, 0)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("refine", ["fp16", "int8", "none"])
def test_vectors_kept_less_exactly_score_nearly_the_same(refine: str, metric: Metric) -> None:
    hits = _search(_build("adanns_opq", metric=metric, refine=refine, code_bytes=6, d_s=D), refine_factor=8)
    true = np.take_along_axis(_exact(metric), hits.rows, axis=1)
    error = np.abs(hits.scores - true).mean() / true.std()
    assert error < {"fp16": 1e-3, "int8": 0.03, "none": 0.5}[refine]
    assert _recall(hits, metric) > (0.3 if refine == "none" else 0.9)


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("adanns_ivf", {"d_c": D + 1}, "d_c = 25 is more than the 24 dimensions"),
        ("adanns_ivf", {"dim": 8, "d_c": 9}, "d_c = 9 is more than the 8 dimensions"),
        ("adanns_ivf", {"dim": D + 1}, "dim = 25 is more than the 24"),
        ("adanns_opq", {"d_s": D + 1}, "d_s = 25 is more than the 24"),
        ("adanns_opq", {"code_bytes": 9, "d_s": 8}, "code_bytes = 9 sub-quantizers cannot divide 8 dimensions"),
        ("adanns_ivf_opq", {"d_c": D + 1}, "d_c = 25 is more than the 24"),
        ("adanns_hnsw", {"d_s": D + 1}, "d_s = 25 is more than the 24"),
    ],
)
def test_dimensions_that_are_not_there_are_refused(name: str, params: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        _build(name, **params)


@pytest.mark.parametrize("name", ["adanns_ivf", "adanns_ivf_opq"])
def test_more_lists_than_there_are_means_all(name: str) -> None:
    index = _built(name)
    every, more = (_search(index, nprobe=nprobe) for nprobe in (index.params.lists, 1000))
    assert np.array_equal(every.rows, more.rows)
    costs = [index.cost(_queries(), index.SearchParams(nprobe=nprobe)) for nprobe in (index.params.lists, 1000)]
    assert costs[0] == costs[1]


def test_more_dimensions_than_are_kept_are_all_of_them() -> None:
    index = _built("adanns_ivf")
    for name in ("d_s", "d_r"):
        every, more = (_search(index, **{name: dims}) for dims in (24, 96))
        assert np.array_equal(every.rows, more.rows)
    exact, both = (_search(index, d_s=dims, d_r=dims) for dims in (24, 96))
    assert np.array_equal(exact.rows, both.rows)


def test_searches_out_of_range_are_refused() -> None:
    index = _built("adanns_ivf")
    with pytest.raises(UsageError, match="d_s = 10 is more than d_r = 5"):
        _search(index, d_s=10, d_r=5)
    with pytest.raises(UsageError, match="d_r = 3 is less than the d_s = 12"):
        _search(_built("adanns_hnsw"), d_r=3)


def test_too_few_vectors_are_refused() -> None:
    with pytest.raises(DataError, match="100 vectors are too few to train lists = 101"):
        _build("adanns_ivf", _vectors(100), lists=101)
    for name in ("adanns_opq", "adanns_ivf_opq"):
        with pytest.raises(DataError, match="100 vectors are too few to train sub-quantizers of 256"):
            _build(name, _vectors(100))
    one = _build("adanns_ivf", _vectors(1))
    assert _search(one, k=1).rows.tolist() == [[0]] * 40


def test_query_aware_needs_queries_and_inner_products() -> None:
    corpus = Corpus(ids=RowIds(N), vectors=_vectors())
    backend = indexes.get("adanns_ivf")
    wanted = backend.BuildParams(nesting="query_aware")  # type: ignore[call-arg]
    with pytest.raises(DataError, match="give training queries"):
        backend().build(corpus, wanted, Budget(), metric="ip")
    with pytest.raises(UsageError, match="use 'pca' under l2"):
        _build("adanns_ivf", nesting="query_aware", metric="l2")
    index = _build("adanns_ivf", nesting="query_aware")
    assert _recall(_search(index, nprobe=index.params.lists, refine_factor=N // 10)) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BACKENDS)
def test_constant_and_duplicate_vectors_are_served(name: str) -> None:
    constant = np.ones((400, D), np.float32)
    hits = _search(_build(name, constant, nesting="pca"), k=5)
    asked = _queries().require_vectors()
    np.testing.assert_allclose(hits.scores[:, 0], asked.sum(axis=1), rtol=1e-3, atol=1e-3)
    assert all(len(set(row)) == 5 for row in hits.rows.tolist())


@pytest.mark.parametrize("name", BACKENDS)
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    _built(name).save(tmp_path)
    loaded: Any = indexes.get(name).load(tmp_path)
    np.testing.assert_array_equal(_search(loaded, bytes_read=10**9).rows, _search(_built(name), bytes_read=10**9).rows)
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        for damaged in (b"", whole[: len(whole) // 2]):
            file.write_bytes(damaged)
            with pytest.raises(ArtifactError, match=re.escape(str(tmp_path))):
                indexes.get(name).load(tmp_path)
        file.unlink()
        with pytest.raises(ArtifactError, match=re.escape(str(tmp_path))):
            indexes.get(name).load(tmp_path)
        file.write_bytes(whole)
