"""The flat index of faiss, made exact: a search for counter-examples against float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_vectors import awkward, search_of

from retrieval_bench.errors import DataError
from retrieval_bench.exact import exact_scores, ranked
from retrieval_bench.indexes import flat
from retrieval_bench.indexes.flat import Flat, FlatBuild, FlatSearch
from retrieval_bench.types import Budget, Corpus, FloatArray, Metric, Queries


@search_of(100)
@given(
    awkward(), st.sampled_from(["ip", "l2"]), st.sampled_from([1, 2, 10]), st.sampled_from([1, 8]), st.booleans()
)  # fmt: skip
def test_no_counter_example_to_exactness_is_found(
    arrays: tuple[FloatArray, FloatArray], metric: Metric, k: int, more: int, many: bool
) -> None:
    vectors, queries = arrays[0], np.tile(arrays[1], (20, 1)) if many else arrays[1]  # many are multiplied by BLAS
    n, k = len(vectors), min(k, len(vectors))
    everything = np.tile(np.arange(n), (len(queries), 1))
    try:
        rows, scores = ranked(everything, exact_scores(vectors, queries, everything, metric), k)
    except DataError:
        return  # scores beyond float32
    index = Flat()
    index.build(Corpus(ids=[str(i) for i in range(n)], vectors=vectors), FlatBuild(), Budget(), metric=metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "_MORE", more)
        hits = index.search(Queries(ids=[str(i) for i in range(len(queries))], vectors=queries), k, FlatSearch())
    np.testing.assert_array_equal(hits.rows, rows)
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-4, atol=2e-3 * np.abs(scores).max() + 1e-38)


@pytest.mark.parametrize("more", [1, 8])
@pytest.mark.parametrize("away", [3e3, 1e5])
def test_a_batch_far_from_the_origin_is_exact(away: float, more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "_MORE", more)
    draw = np.random.default_rng(0)
    vectors, queries = ((draw.normal(size=(n, 16)) + away).astype(np.float32) for n in (500, 40))
    everything = np.tile(np.arange(500), (40, 1))
    index = Flat()
    index.build(Corpus(ids=[str(i) for i in range(500)], vectors=vectors), FlatBuild(), Budget(), metric="l2")
    hits = index.search(Queries(ids=[str(i) for i in range(40)], vectors=queries), 10, FlatSearch())
    rows, scores = ranked(everything, exact_scores(vectors, queries, everything, "l2"), 10)
    np.testing.assert_array_equal(hits.rows, rows)
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-3)
