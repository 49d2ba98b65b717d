"""Exact neighbors against brute force, where ties, cancellation and block borders are met on purpose."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_vectors import awkward, search_of

from retrieval_bench import exact
from retrieval_bench.datasets import _neighbors
from retrieval_bench.datasets._neighbors import cached_neighbors, exact_neighbors
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.exact import exact_scores
from retrieval_bench.types import FloatArray, Hits, Metric

METRICS: list[Metric] = ["ip", "l2", "cos"]


def brute_force(corpus: FloatArray, queries: FloatArray, k: int, metric: Metric) -> Hits:
    """By the definition: all scores in float64, rounded to float32, best first, ties by row."""
    documents, asked = corpus.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        exact = -np.stack([((documents - q) ** 2).sum(axis=1) for q in asked])
    else:
        exact = asked @ documents.T
        if metric == "cos":
            exact /= np.linalg.norm(asked, axis=1)[:, None] * np.linalg.norm(documents, axis=1)
    scores = exact.astype(np.float32)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Hits(rows=rows, scores=np.take_along_axis(scores, rows, axis=1))


def check(corpus: FloatArray, queries: FloatArray, k: int, metric: Metric) -> None:
    found, expected = exact_neighbors(corpus, queries, k, metric), brute_force(corpus, queries, k, metric)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=3e-7, atol=1e-7)
    assert [found.rows.dtype.name, found.scores.dtype.name] == ["int64", "float32"]


def full_scans(monkeypatch: pytest.MonkeyPatch, n: int) -> list[int]:
    """Collects one entry for every query that has to be scored against all n rows."""
    seen: list[int] = []

    def counting(c: FloatArray, q: FloatArray, rows: npt.NDArray[np.int64], m: Metric) -> npt.NDArray[np.float64]:
        if rows.shape[1] == n:
            seen.append(len(q))
        return exact_scores(c, q, rows, m)

    monkeypatch.setattr(_neighbors, "exact_scores", counting)
    return seen


def gaussian(n: int, dim: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_small_whole_numbers_with_many_ties_and_tiny_blocks(data: st.DataObject) -> None:
    n, dim, m = (data.draw(st.integers(1, high)) for high in (60, 4, 8))
    k = data.draw(st.integers(1, n))
    metric = data.draw(st.sampled_from(METRICS))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    corpus, queries = (rng.integers(-2, 3, (size, dim)).astype(np.float32) for size in (n, m))
    if metric == "cos":
        corpus[~corpus.any(axis=1)] = 1
        queries[~queries.any(axis=1)] = 1
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_CORPUS_ROWS", 7), ("_QUERY_ROWS", 3), ("_MARGIN", 1)):
            patch.setattr(_neighbors, name, value)
        patch.setattr(exact, "_RESCORE_VALUES", 11)
        check(corpus, queries, k, metric)


@search_of(60)
@given(awkward(), st.sampled_from(["ip", "l2"]), st.sampled_from([1, 10]))
def test_no_counter_example_to_exactness_is_found(
    arrays: tuple[FloatArray, FloatArray], metric: Metric, k: int
) -> None:
    corpus, queries = arrays
    everything = np.tile(np.arange(len(corpus)), (len(queries), 1))
    k = min(k, len(corpus))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_neighbors, "_MARGIN", 1)
        try:
            rows, scores = exact.ranked(everything, exact_scores(corpus, queries, everything, metric), k)
        except DataError:
            return  # scores beyond float32
        found = exact_neighbors(corpus, queries, k, metric)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.scores, scores)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("k", "block"), [(1, 1 << 14), (10, 1000), (100, 999), (10, 37)])
def test_gaussian_vectors_across_block_borders(
    metric: Metric, k: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_neighbors, "_CORPUS_ROWS", block)
    corpus, queries = gaussian(3000, 24, 1), gaussian(40, 24, 2)
    scans = full_scans(monkeypatch, len(corpus))
    check(corpus, queries, k, metric)
    assert scans == []  # the fast scan alone proves them


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("k", "rows"), [(1, 1 << 16), (10, 1000), (10, 37)])
def test_a_device_proposes_the_same(metric: Metric, k: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_neighbors, "gpu", lambda: torch.device("cpu"))
    monkeypatch.setattr(_neighbors, "_DEVICE_ROWS", rows)
    corpus, queries = gaussian(3000, 24, 1), gaussian(40, 24, 2)
    scans = full_scans(monkeypatch, len(corpus))
    check(corpus, queries, k, metric)
    assert scans == []


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [150, 300])
def test_large_k_up_to_n(metric: Metric, k: int) -> None:
    check(gaussian(300, 8, 3), gaussian(5, 8, 4), k, metric)


@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_distances_far_from_the_origin_do_not_cancel(offset: float, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, queries = gaussian(2000, 16, 5) + np.float32(offset), gaussian(30, 16, 6) + np.float32(offset)
    scans = full_scans(monkeypatch, len(corpus))
    check(corpus, queries, 10, "l2")
    assert scans == []


def test_queries_far_from_the_corpus() -> None:
    check(gaussian(2000, 16, 5), gaussian(5, 16, 6) + np.float32(1e5), 10, "l2")


@pytest.mark.parametrize("metric", METRICS)
def test_more_duplicates_than_candidates(metric: Metric) -> None:
    few = gaussian(5, 12, 7)
    corpus = few[np.random.default_rng(8).integers(5, size=3000)]
    check(corpus, gaussian(10, 12, 9), 10, metric)


def test_one_vector_over_and_over() -> None:
    hits = exact_neighbors(np.ones((2000, 3), np.float32), np.ones((2, 3), np.float32), 50, "ip")
    np.testing.assert_array_equal(hits.rows, np.tile(np.arange(50), (2, 1)))


@pytest.mark.parametrize("step", [1, -1])
def test_each_row_better_or_worse_than_all_before(step: int) -> None:
    corpus = np.arange(1, 40_001, dtype=np.float32)[::step, None]
    check(corpus, np.array([[1.0], [-1.0], [0.5]], np.float32), 20, "ip")


def test_scaled_copies_tie_under_cos() -> None:
    base = gaussian(1, 8, 10)
    corpus = np.concatenate([base * np.float32(2**i) for i in range(-5, 5)])
    np.testing.assert_array_equal(exact_neighbors(corpus, base, 10, "cos").rows, [np.arange(10)])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e17])
def test_scales_at_the_ends_of_float32(metric: Metric, scale: float) -> None:
    check(gaussian(500, 6, 11) * np.float32(scale), gaussian(5, 6, 12) * np.float32(scale), 10, metric)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_scores_beyond_float32_are_refused(metric: Metric) -> None:
    with pytest.raises(DataError, match="scale the vectors down"):
        exact_neighbors(gaussian(500, 6, 11) * np.float32(1e25), gaussian(5, 6, 12) * np.float32(1e25), 10, metric)


def test_sums_that_overflow_float32_on_their_way() -> None:
    corpus = np.float32(2e19) * np.array([1, -1, 0], np.float32) + np.float32(1e17) * gaussian(500, 3, 19)
    check(corpus, np.full((1, 3), 2e19, np.float32), 10, "ip")


def test_inputs_may_be_memory_mapped_column_major_and_read_only(tmp_path: Path) -> None:
    corpus, queries = gaussian(1000, 10, 13), gaussian(20, 10, 14)
    np.save(tmp_path / "corpus.npy", np.asfortranarray(corpus))
    mapped = np.load(tmp_path / "corpus.npy", mmap_mode="r")
    asked = np.asfortranarray(queries)
    asked.setflags(write=False)
    for metric in METRICS:
        found, expected = exact_neighbors(mapped, asked, 10, metric), exact_neighbors(corpus, queries, 10, metric)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_progress_goes_to_standard_error_only_when_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    exact_neighbors(gaussian(500, 4, 1), gaussian(2, 4, 2), 1, "ip")
    assert capfd.readouterr() == ("", "")
    exact_neighbors(gaussian(500, 4, 1), gaussian(2, 4, 2), 1, "ip", progress=True)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("k", [0, 11])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(UsageError, match="1 to 10"):
        exact_neighbors(gaussian(10, 4, 1), gaussian(2, 4, 2), k, "ip")


def test_dimensions_must_agree() -> None:
    with pytest.raises(DataError, match="3 dimensions"):
        exact_neighbors(gaussian(10, 4, 1), gaussian(2, 3, 2), 1, "ip")


@pytest.mark.parametrize("n", [5, 500])
@pytest.mark.parametrize("which", ["corpus", "queries"])
def test_zero_vectors_have_no_direction(n: int, which: str) -> None:
    corpus, queries = gaussian(n, 4, 1), gaussian(3, 4, 2)
    (corpus if which == "corpus" else queries)[2] = 0
    with pytest.raises(DataError, match="zero vector"):
        exact_neighbors(corpus, queries, 2, "cos")


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_correctly_rounded_sums(metric: Metric) -> None:
    corpus, queries = gaussian(50, 300, 15) + np.float32(100), gaussian(4, 300, 16) + np.float32(100)
    rows = np.array([[3, -1, 49], [0, 0, 1], [-1, -1, -1], [7, 8, 9]])
    scores = exact_scores(corpus, queries, rows, metric)
    for (i, j), score in np.ndenumerate(scores):
        if rows[i, j] < 0:
            assert score == -math.inf
            continue
        x, q = corpus[rows[i, j]].astype(float).tolist(), queries[i].astype(float).tolist()
        if metric == "l2":
            expected = -math.fsum((a - b) ** 2 for a, b in zip(x, q, strict=True))
        else:
            expected = math.sumprod(x, q) if hasattr(math, "sumprod") else math.fsum(map(float.__mul__, x, q))
            if metric == "cos":
                expected /= math.hypot(*x) * math.hypot(*q)
        assert score == pytest.approx(expected, rel=1e-13)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 12), st.sampled_from(METRICS), st.integers(1, 99))
def test_a_score_does_not_depend_on_where_its_pair_stands(n: int, dim: int, m: int, metric: Metric, block: int) -> None:
    corpus, queries = np.tile(gaussian(1, dim, n), (n, 1)), np.tile(gaussian(1, dim, m + 1), (m, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_RESCORE_VALUES", block)
        scores = exact_scores(corpus, queries, np.tile(np.arange(n), (m, 1)), metric)
    assert np.unique(scores).size == 1


@pytest.mark.parametrize("row", [-2, 10])
def test_rows_to_score_must_exist(row: int) -> None:
    with pytest.raises(DataError, match="-1 to 9"):
        exact_scores(gaussian(10, 4, 1), gaussian(1, 4, 2), np.array([[row]]), "ip")


class Cache:
    """``cached_neighbors`` of one split, counting computations."""

    def __init__(self) -> None:
        self.hits = exact_neighbors(gaussian(200, 4, 17), gaussian(6, 4, 18), 8, "l2")
        self.computed = 0

    def get(self, k: int, *, fingerprint: str = "f00d", split: str = "test", metric: Metric = "l2") -> Hits:
        def compute() -> Hits:
            self.computed += 1
            return Hits(rows=self.hits.rows[:, :k], scores=self.hits.scores[:, :k])

        found = cached_neighbors(fingerprint, split, metric, k, compute)
        np.testing.assert_array_equal(found.rows, self.hits.rows[:, :k])
        np.testing.assert_array_equal(found.scores, self.hits.scores[:, :k])
        return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path))
    return tmp_path


def test_a_larger_k_serves_a_smaller_one_but_not_the_reverse(home: Path) -> None:
    cache = Cache()
    cache.get(4)
    cache.get(4)
    cache.get(2)
    assert cache.computed == 1
    cache.get(8)
    cache.get(5)
    assert cache.computed == 2
    assert sorted(file.name for file in home.rglob("*.npz")) == ["test-l2-4.npz", "test-l2-8.npz"]


def test_neighbors_of_other_data_splits_and_metrics_are_kept_apart(home: Path) -> None:
    cache = Cache()
    cache.get(4)
    cache.get(4, fingerprint="beef")
    cache.get(4, split="tune")
    cache.get(4, metric="ip")
    assert cache.computed == 4


def test_a_damaged_file_is_computed_anew_and_replaced(home: Path) -> None:
    cache = Cache()
    cache.get(8)
    (file,) = home.rglob("*.npz")
    good = file.read_bytes()
    damaged = [b"", good[: len(good) // 2], b"not an archive"]
    damaged += [good[:i] + bytes([good[i] ^ 0x55]) + good[i + 1 :] for i in range(0, len(good), 11)]
    for content in damaged:
        file.write_bytes(content)
        cache.get(8)  # whatever the damage, the answer is right
    file.write_bytes(good[:-100])
    before = cache.computed
    cache.get(8)
    cache.get(8)
    assert cache.computed == before + 1


def test_a_file_under_a_name_that_is_not_its_own_is_not_trusted(home: Path) -> None:
    cache = Cache()
    cache.get(8)
    (file,) = home.rglob("*.npz")
    for name in ("tune-l2-8.npz", "test-ip-8.npz", "test-l2-9.npz", "test-l2-x.npz"):
        (file.parent / name).write_bytes(file.read_bytes())
    file.unlink()
    cache.get(8, split="tune")
    cache.get(8, metric="ip")
    cache.get(8)
    assert cache.computed == 4
