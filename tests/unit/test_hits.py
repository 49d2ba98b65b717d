"""make_hits settles the order of ties and the padding; the contract's check_hits sees every broken promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_bench.contract import ContractError, check_hits
from retrieval_bench.hits import make_hits
from retrieval_bench.types import Hits


@given(st.lists(st.tuples(st.integers(-1, 30), st.sampled_from([-2.0, 0.0, 0.5, 1.0])), min_size=1, max_size=12))
def test_hits_are_sorted_by_score_then_row_with_padding_last(found: list[tuple[int, float]]) -> None:
    rows, scores = np.array([[row for row, _ in found]]), np.array([[score for _, score in found]])
    kept_rows, kept_scores = rows.copy(), scores.copy()
    hits = make_hits(rows, scores)
    expected = sorted(((-score, row) for row, score in found if row >= 0)) + [(np.inf, -1)] * (rows < 0).sum()
    assert [(-s, r) for r, s in zip(hits.rows[0].tolist(), hits.scores[0].tolist(), strict=True)] == expected
    assert hits.rows.dtype == np.int64
    assert hits.scores.dtype == np.float32
    np.testing.assert_array_equal(rows, kept_rows)
    np.testing.assert_array_equal(scores, kept_scores)


def test_ordered_answers_are_passed_on_without_a_copy() -> None:
    rows, scores = np.array([[4, 2, 9]]), np.array([[3, 2, 1]], np.float32)
    hits = make_hits(rows, scores)
    assert hits.rows is rows
    assert hits.scores is scores


def _hits(rows: list[int], scores: list[float]) -> Hits:
    return Hits(rows=np.array([[0, 1, 2], rows]), scores=np.array([[3, 2, 1], scores], np.float32))


def test_good_hits_pass() -> None:
    check_hits(_hits([5, 7, -1], [1, 1, -np.inf]), 2, 3, 8)


@pytest.mark.parametrize(
    ("rows", "scores", "text"),
    [
        ([1, 2, 8], [3, 2, 1], "outside"),
        ([1, 2, -2], [3, 2, -np.inf], "outside"),
        ([1, 2, 3], [3, np.nan, 1], "NaN"),
        ([1, 2, -1], [3, 2, 1], "padded"),
        ([1, 2, 3], [3, 2, -np.inf], "padded"),
        ([1, -1, 3], [3, -np.inf, -np.inf], "padded"),
        ([1, 2, 3], [1, 2, 3], "descend"),
        ([1, 5, 3], [3, 2, 2], "ascending"),
        ([1, 2, 1], [3, 2, 1], "twice"),
    ],
)
def test_a_broken_promise_is_named_with_its_query(rows: list[int], scores: list[float], text: str) -> None:
    with pytest.raises(ContractError, match=f"query 1 .*{text}"):
        check_hits(_hits(rows, scores), 2, 3, 8)


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ContractError, match=r"\(2, 3\); 2 queries for k = 4"):
        check_hits(_hits([1, 2, 3], [3, 2, 1]), 2, 4, 8)
    with pytest.raises(ContractError, match="int32"):
        check_hits(Hits(rows=np.zeros((1, 1), np.int32), scores=np.zeros((1, 1), np.float32)), 1, 1, 8)
