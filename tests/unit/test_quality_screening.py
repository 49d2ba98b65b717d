"""Measures of screening: by hand, against published runs, and as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench.errors import DataError
from retrieval_bench.quality.screening import curve_measures, found_at, list_measures, recall_curve, work_saved


def ranks(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_by_hand() -> None:
    measures = list_measures(ranks(4, 1, 10), 20)
    assert measures["AP"] == pytest.approx((1 / 1 + 2 / 4 + 3 / 10) / 3)
    assert measures["last"] == 50.0
    assert measures["ATD"] == pytest.approx(100 * 5 / 20)
    # Two of three found at rank 4 is 67 %: each of the three recalls is reached at the last one, rank 10 of 20.
    assert [measures[f"WSS@{at}"] for at in (95, 99, 100)] == [50.0, 50.0, 50.0]
    assert [measures[f"RRF@{at}"] for at in (5, 10, 20)] == pytest.approx([100 / 3, 100 / 3, 200 / 3])
    assert measures["recall@1%"] == pytest.approx(1 / 3)  # 1 % of 20 records is rounded up to the first record
    assert measures["recall@50%"] == 1.0


def test_recall_reached_counts_not_the_one_asked_for() -> None:
    curve = recall_curve([ranks(1, 2, 3, 4, 5, 6, 7, 8, 9, 50)], 100)
    assert work_saved(curve, 85) == pytest.approx(90 - 9)  # Cohen's form would give 85 - 9
    assert work_saved(curve, 95) == pytest.approx(100 - 50)


def test_rounding_does_not_lose_a_recall_that_is_reached() -> None:
    curve = recall_curve([np.arange(1, 41)], 1000)  # the 38th of 40 is 95 %, in floating point or not
    assert work_saved(curve, 95) == pytest.approx(95 - 3.8)


def test_the_cut_is_rounded_up() -> None:
    curve = recall_curve([ranks(112)], 2233)
    assert found_at(curve, 5) == 100.0  # 5 % are 111.65 records
    assert found_at(recall_curve([ranks(113)], 2233), 5) == 0.0


def test_a_published_run() -> None:
    """One start of naive Bayes on ace (Ferdinands et al. 2023): figures that follow from a few of its ranks."""
    found = np.concatenate([np.arange(1, 32), [150, 160, 170, 180, 224, 250, 256, 447, 1160]])
    measures = list_measures(found, 2233)
    assert len(found) == 40
    assert measures["WSS@95"] == pytest.approx(83.53560232870578)
    assert measures["WSS@99"] == pytest.approx(48.051948051948045)
    assert measures["WSS@100"] == pytest.approx(48.051948051948045)
    assert [measures[f"RRF@{at}"] for at in (5, 10, 20)] == [77.5, 90.0, 97.5]


def test_the_mean_curve_of_several_runs() -> None:
    curve = recall_curve([ranks(1, 2), ranks(1, 8)], 10)
    assert curve.tolist() == [50.0, 75.0, 75.0, 75.0, 75.0, 75.0, 75.0, 100.0, 100.0, 100.0]
    assert curve_measures(curve)["WSS@100"] == pytest.approx(20.0)  # of the slowest; the runs' own mean is 50


@pytest.mark.parametrize(
    ("found", "n"), [([], 10), ([ranks()], 10), ([ranks(0)], 10), ([ranks(11)], 10), ([ranks(3, 3)], 10)]
)
def test_bad_ranks(found: list[np.ndarray[tuple[int], np.dtype[np.int64]]], n: int) -> None:
    with pytest.raises(DataError, match="relevant records"):
        recall_curve(found, n)


def test_lists_of_different_reviews() -> None:
    with pytest.raises(DataError, match="as many in each"):
        recall_curve([ranks(1), ranks(1, 2)], 10)


@st.composite
def lists(draw: st.DrawFn) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]:
    n = draw(st.integers(1, 300))
    found = draw(st.sets(st.integers(1, n), min_size=1, max_size=n))
    return np.array(sorted(found), np.int64), n


@settings(deadline=None)
@given(lists())
def test_bounds_and_order(case: tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int]) -> None:
    found, n = case
    measures = list_measures(found, n)
    assert 0 < measures["AP"] <= 1
    assert 0 < measures["ATD"] <= measures["last"] <= 100
    assert measures["RRF@5"] <= measures["RRF@10"] <= measures["RRF@20"] <= 100
    assert -100 < measures["WSS@95"] < 100
    assert measures["WSS@100"] == pytest.approx(100 - measures["last"])


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(0, 200))
def test_a_perfect_list(relevant: int, others: int) -> None:
    n = relevant + others
    measures = list_measures(np.arange(1, relevant + 1), n)
    assert measures["AP"] == pytest.approx(1.0)
    assert measures["WSS@100"] == pytest.approx(100 * others / n)


@settings(deadline=None)
@given(lists(), st.integers(0, 10_000))
def test_finding_one_earlier_never_hurts(
    case: tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int], pick: int
) -> None:
    found, n = case
    at = pick % len(found)
    free = [rank for rank in range(1, int(found[at])) if rank not in set(found.tolist())]
    if not free:
        return
    better = found.copy()
    better[at] = free[-1]
    before, after = list_measures(found, n), list_measures(better, n)
    for name in ("AP", "RRF@5", "RRF@20", "WSS@95", "WSS@100"):
        assert after[name] >= before[name] - 1e-9
