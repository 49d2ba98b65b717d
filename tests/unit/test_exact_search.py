"""Exact search on a device: whatever the vectors, the answer is that of float64. A search for counter-examples."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up_vectors import awkward, search_of

from retrieval_bench.device import exact
from retrieval_bench.device.bound import Norms, norms_of, reach_of, slack
from retrieval_bench.device.choose import Precision
from retrieval_bench.device.exact import Streamed, exact_search, half_squares
from retrieval_bench.device.operand import as_operand
from retrieval_bench.device.products import GROUP, exact_scores, products
from retrieval_bench.device.select import ranked
from retrieval_bench.errors import DataError
from retrieval_bench.types import FloatArray, Metric

CPU = torch.device("cpu")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
METRICS: tuple[Metric, ...] = ("ip", "l2")


def compared(vectors: torch.Tensor, queries: torch.Tensor, metric: Metric) -> torch.Tensor:
    """(m, n) float64 scores, rounded to 24 bits, of every pair."""
    return exact_scores(queries, vectors, torch.arange(len(vectors)).expand(len(queries), -1), metric)


@search_of(100)
@given(
    awkward(), st.sampled_from(PRECISIONS), st.sampled_from(METRICS), st.sampled_from([1, 2, 10]),
    st.sampled_from([0, 400]), st.sampled_from([100, 400]),
)  # fmt: skip
def test_no_counter_example_to_exactness_is_found(
    arrays: tuple[FloatArray, FloatArray], precision: Precision, metric: Metric, k: int, more: int, rows: int
) -> None:
    vectors, queries = (torch.from_numpy(array) for array in arrays)
    k = min(k, len(vectors))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "MORE_GROUPS", 0)  # narrow sieves, so that small data gets as far as the bounds
        patch.setattr(exact, "_MORE_ROWS", more)
        parts = Streamed(vectors=arrays[0], rows=rows, precision=precision, metric=metric, device=CPU)
        try:
            found = exact_search(queries, parts, k, metric)
        except DataError as error:
            assert "float16" in str(error)  # noqa: PT017 - one precision refuses large values
            return
    scores = compared(vectors, queries, metric)
    best, order = ranked(scores, torch.arange(len(vectors)).expand_as(scores), k)[::-1]
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_array_equal(found.scores, best.float())


@search_of(50)
@given(awkward(most=80), st.sampled_from(PRECISIONS), st.sampled_from(METRICS))
def test_no_product_is_further_off_than_its_bound(
    arrays: tuple[FloatArray, FloatArray], precision: Precision, metric: Metric
) -> None:
    vectors, queries = (torch.from_numpy(array) for array in arrays)
    try:
        rounded = as_operand(vectors, precision, half_squares(vectors) if metric == "l2" else None)
        asked = as_operand(queries, precision)
    except DataError:
        return
    true = queries.double() @ vectors.double().T
    if metric == "l2":
        true -= vectors.double().square().sum(dim=1) / 2
    off = (products(asked, rounded).double() - true).abs()
    reach, d = reach_of(vectors, rounded), vectors.shape[1]
    norms = Norms(*(norm[:, None] for norm in norms_of(queries, asked)))
    bound = slack(norms, reach.sizes, d)
    of_row = bound.repeat_interleave(GROUP, dim=1)[:, : len(vectors)]
    assert not (off > of_row).any()
    assert not (off.isnan() & of_row.isfinite()).any()
    assert not (bound > slack(norms, reach.whole, d)).any()


@search_of(25)
@given(awkward(most=50), st.sampled_from(METRICS), st.integers(1, 300))
def test_scores_are_float64_rounded_once(arrays: tuple[FloatArray, FloatArray], metric: Metric, together: int) -> None:
    vectors, queries = (torch.from_numpy(array) for array in arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrieval_bench.device.products._BLOCK_DOUBLES", together)
        found = compared(vectors, queries, metric).numpy()
    x, q = (array.astype(np.float64) for array in arrays)
    pairs = q[:, None] * x[None] if metric == "ip" else -((q[:, None] - x[None]) ** 2)
    true = pairs.sum(axis=2)
    assert (np.abs(found - true) <= 2.0**-24 * np.abs(true) + 1e-14 * np.abs(pairs).sum(axis=2)).all()
    fraction, _ = np.frexp(found)
    np.testing.assert_array_equal(np.ldexp(fraction, 24) % 1, 0)
    twice = compared(torch.cat([vectors[-1:], vectors]), queries, metric)
    np.testing.assert_array_equal(twice[:, 0], twice[:, -1])  # equal vectors have equal scores, wherever they stand


def test_a_bound_knows_when_torch_shortens_its_factors() -> None:
    vectors, queries = torch.randn(40, 8), torch.randn(2, 8)
    reach = reach_of(vectors, as_operand(vectors, "float32"))
    norms = norms_of(queries, as_operand(queries, "float32"))
    before = slack(norms, reach.whole, 8)
    torch.set_float32_matmul_precision("medium")
    try:
        assert (slack(norms, reach.whole, 8) > 100 * before).all()
    finally:
        torch.set_float32_matmul_precision("highest")
