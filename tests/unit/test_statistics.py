"""Intervals cover what they claim, tests reject as often as they claim, and bad input is refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from retrieval_bench import statistics
from retrieval_bench.errors import UsageError


def coverage(truth: float, intervals: list[tuple[float, float]]) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


class TestMeanInterval:
    def test_covers_the_mean_of_skewed_values_as_often_as_it_claims(self) -> None:
        rng = np.random.default_rng(0)
        for level in (0.8, 0.95):
            intervals = [
                statistics.mean_interval(rng.beta(0.3, 0.9, 60), level=level, resamples=500) for _ in range(600)
            ]
            assert coverage(0.25, intervals) == pytest.approx(level, abs=0.04)  # 3 standard errors, and small n

    def test_is_the_bca_interval_of_scipy(self) -> None:
        sample = np.random.default_rng(1).beta(0.2, 0.8, 60)
        theirs = scipy.stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="BCa", rng=2).confidence_interval
        plain = scipy.stats.bootstrap(
            (sample,), np.mean, n_resamples=20_000, method="percentile", rng=2
        ).confidence_interval
        ours = statistics.mean_interval(sample, resamples=20_000)
        error = sample.std() / math.sqrt(len(sample))
        assert ours == pytest.approx(tuple(theirs), abs=0.05 * error)
        assert abs(ours[1] - plain.high) > 0.1 * error  # the correction is there

    def test_its_ends_follow_from_the_draws_by_the_formulas_of_the_paper(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sample = np.random.default_rng(3).lognormal(0, 1.2, 15)
        draws = np.random.default_rng(0).normal(0.1, 0.7, 999)  # of the mean, less the sample's
        monkeypatch.setattr("retrieval_bench.statistics.intervals._bootstrap_means", lambda *_: draws)
        left_out = np.array([np.delete(sample, i).mean() for i in range(15)])  # the jackknife
        off = left_out.mean() - left_out
        acceleration = (off**3).sum() / (6 * (off**2).sum() ** 1.5)
        bias = scipy.stats.norm.ppf((draws < 0).mean())
        scores = bias + scipy.stats.norm.ppf([0.025, 0.975])
        shares = scipy.stats.norm.cdf(bias + scores / (1 - acceleration * scores))
        assert statistics.mean_interval(sample) == pytest.approx(sample.mean() + np.quantile(draws, shares), rel=1e-9)

    def test_stays_within_the_range_of_the_values(self) -> None:
        low, high = statistics.mean_interval([0.0] * 49 + [1.0])
        assert 0.0 <= low < 0.02 < high < 1.0

    def test_leaves_out_nan_and_is_the_same_every_time(self) -> None:
        sample = np.random.default_rng(3).random(40)
        with_nan = np.insert(sample, [0, 7, 40], np.nan)
        assert statistics.mean_interval(with_nan) == statistics.mean_interval(sample)
        assert statistics.mean_interval(sample, seed=1) != statistics.mean_interval(sample)

    def test_degenerate_samples(self) -> None:
        assert statistics.mean_interval([0.3, 0.3, 0.3]) == (0.3, 0.3)
        for few in ([], [0.5], [0.5, math.nan]):
            assert all(map(math.isnan, statistics.mean_interval(few)))
        low, high = statistics.mean_interval([0.0, 1e-200, 3e-200])
        assert 0.0 <= low < high <= 3e-200

    def test_a_large_sample_is_drawn_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sample = np.random.default_rng(4).random(100)
        whole = statistics.mean_interval(sample)
        monkeypatch.setattr("retrieval_bench.statistics.intervals._BLOCK_DRAWS", 700)
        assert statistics.mean_interval(sample) == pytest.approx(whole)


class TestOrderStatistics:
    def test_intervals_cover_at_least_as_often_as_they_claim(self) -> None:
        rng = np.random.default_rng(0)
        for n, q in [(6, 50.0), (25, 50.0), (200, 95.0)]:
            intervals = [statistics.percentile_interval(rng.lognormal(size=n), q) for _ in range(2000)]
            covered = coverage(float(np.exp(scipy.stats.norm.ppf(q / 100))), intervals)
            assert 0.94 <= covered <= 0.995

    def test_ranks_are_the_tightest_that_hold_the_level(self) -> None:
        samples = np.arange(1, 101)
        low, high = statistics.median_interval(samples)
        assert (low, high) == (40.0, 61.0)  # the ranks in tables of the sign test for n = 100
        binomial = scipy.stats.binom(100, 0.5)
        assert binomial.cdf(low - 1) <= 0.025 < binomial.cdf(low)
        assert binomial.sf(high - 1) <= 0.025 < binomial.sf(high - 2)

    def test_the_median_of_fewer_than_six_is_given_by_the_full_range(self) -> None:
        assert statistics.median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
        assert statistics.median_interval([5.0, 1.0, 2.0, 4.0, 3.0]) == (1.0, 5.0)
        assert all(map(math.isnan, statistics.median_interval([7.0])))
        assert statistics.median_interval(np.arange(9)) == (1.0, 7.0)

    def test_an_end_beyond_the_sample_is_its_extreme(self) -> None:
        assert statistics.percentile_interval(np.arange(100), 99.0)[1] == 99.0
        assert statistics.percentile_interval(np.arange(10_000), 99.0)[1] < 9_999.0

    def test_nan_is_left_out_and_nothing_gives_nan(self) -> None:
        assert statistics.median_interval([math.nan, 2.0, 1.0]) == (1.0, 2.0)
        assert all(map(math.isnan, statistics.median_interval([math.nan])))


class TestRandomization:
    def test_agrees_with_enumerating_every_assignment(self) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.random(9), rng.random(9)
        difference = a - b
        sums = [abs(np.dot(signs, difference)) for signs in itertools.product([-1, 1], repeat=9)]
        expected = np.mean([s >= abs(difference.sum()) - 1e-12 for s in sums])
        assert statistics.randomization_test(a, b) == pytest.approx(expected)
        assert statistics.randomization_test(a, b, resamples=511) == pytest.approx(expected, abs=0.07)  # drawn

    def test_agrees_with_scipy(self) -> None:
        rng = np.random.default_rng(1)
        a = rng.random(80)
        b = a + rng.normal(0.03, 0.1, 80)

        def statistic(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
            return np.asarray(np.mean(x - y, axis=axis))

        theirs = scipy.stats.permutation_test(
            (a, b), statistic, permutation_type="samples", n_resamples=20_000, vectorized=True, rng=2
        ).pvalue
        assert statistics.randomization_test(a, b, resamples=20_000) == pytest.approx(theirs, abs=0.01)

    def test_rejects_equal_systems_as_often_as_the_level_and_different_ones_more(self) -> None:
        rng = np.random.default_rng(2)
        equal, different = [], []
        for _ in range(400):
            a, noise = rng.random(40), rng.normal(0, 0.1, 40)
            equal.append(statistics.randomization_test(a, a + noise, resamples=400))
            different.append(statistics.randomization_test(a, a + noise + 0.06, resamples=400))
        assert np.mean(np.array(equal) <= 0.05) == pytest.approx(0.05, abs=0.035)
        assert np.mean(np.array(different) <= 0.05) > 0.9

    def test_is_symmetric_leaves_out_nan_and_never_gives_zero(self) -> None:
        a, b = np.zeros(100), np.ones(100)
        assert statistics.randomization_test(a, b) == statistics.randomization_test(b, a) == 1 / 10_001
        c = np.random.default_rng(0).normal(0.05, 1.0, 100)
        without = statistics.randomization_test(c, a)
        assert 0.02 < without < 0.9
        assert statistics.randomization_test([*c, 1.0, math.nan], [*a, math.nan, 5.0]) == without
        assert statistics.randomization_test(a, a) == 1.0
        assert statistics.randomization_test([], []) == 1.0

    def test_assignments_are_drawn_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(3)
        a, b = rng.random(30), rng.random(30)
        whole = statistics.randomization_test(a, b)
        monkeypatch.setattr("retrieval_bench.statistics.paired._BLOCK_SIGNS", 1000)
        assert statistics.randomization_test(a, b) == pytest.approx(whole, abs=0.02)


def test_the_interval_of_a_difference_uses_the_pairing() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(200)
    b = a - 0.02 + rng.normal(0, 0.01, 200)
    low, high = statistics.difference_interval(a, b)
    assert 0.015 < low < 0.02 < high < 0.025


def test_a_difference_of_the_detectable_size_is_detected_with_the_power_asked_for() -> None:
    rng = np.random.default_rng(0)
    sizes = [statistics.detectable_difference(rng.normal(size=50), np.zeros(50)) for _ in range(50)]
    size = float(np.mean(sizes))
    assert size == pytest.approx((1.96 + 0.8416) / math.sqrt(50), rel=0.05)
    p = [
        statistics.randomization_test(rng.normal(size, 1.0, 50), np.zeros(50), resamples=400, seed=i)
        for i in range(400)
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.8, abs=0.07)
    assert math.isnan(statistics.detectable_difference([1.0], [2.0]))
    few = [0.1, 0.5, 0.2]
    by_hand = (1.959964 + 0.841621) * scipy.stats.sem(few)  # of the normal distribution at 0.975 and 0.8
    assert statistics.detectable_difference(few, [0.0] * 3) == pytest.approx(by_hand, rel=1e-6)


class TestHolm:
    def test_worked_example(self) -> None:
        assert statistics.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert statistics.holm([0.6, 0.9]).tolist() == [1.0, 1.0]
        assert statistics.holm([]).shape == (0,)

    @given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.5))
    def test_rejects_what_the_stepwise_rule_rejects(self, p: list[float], level: float) -> None:
        rejected = set()
        for step, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
            if p[index] * (len(p) - step) > level:
                break
            rejected.add(index)
        assert {i for i, adjusted in enumerate(statistics.holm(p)) if adjusted <= level} == rejected


class TestTiedWithBest:
    rng = np.random.default_rng(0)
    base = rng.random(200)
    systems: dict[str, np.ndarray] = {  # noqa: RUF012
        "worse": base - 0.1 + rng.normal(0, 0.1, 200),
        "best": base + 0.01,
        "close": base + rng.normal(0.005, 0.1, 200),
        "absent": np.full(200, np.nan),
    }

    def test_names_the_best_and_its_ties_in_the_given_order(self) -> None:
        tied = statistics.tied_with_best(self.systems)
        assert list(tied.items()) == [("worse", False), ("best", True), ("close", True), ("absent", False)]

    def test_lower_may_be_better(self) -> None:
        tied = statistics.tied_with_best(self.systems, higher=False)
        assert tied == {"worse": True, "best": False, "close": False, "absent": False}

    def test_agrees_with_one_test_at_a_time(self) -> None:
        others = ["worse", "close"]
        p = statistics.holm(
            [statistics.randomization_test(self.systems["best"], self.systems[name]) for name in others]
        )
        tied = statistics.tied_with_best(self.systems)
        assert [tied[name] for name in others] == [bool(value > 0.05) for value in p]

    def test_the_more_systems_the_more_evidence_is_needed(self) -> None:
        a = np.zeros(8)
        b = np.full(8, -1.0)  # 8 differences of one sign: p = 2 / 256
        assert not statistics.tied_with_best({"a": a, "b": b})["b"]
        assert statistics.tied_with_best({"a": a} | {f"b{i}": b for i in range(7)})["b0"]

    def test_nothing_one_system_and_no_values(self) -> None:
        assert statistics.tied_with_best({}) == {}
        assert statistics.tied_with_best({"a": [0.1, math.nan]}) == {"a": True}
        assert statistics.tied_with_best({"a": [math.nan], "b": [math.nan]}) == {"a": False, "b": False}


class TestEnough:
    def test_stops_when_the_median_is_known_closely_enough(self) -> None:
        assert statistics.enough([100.0, 101.0, 99.0])
        assert not statistics.enough([100.0, 120.0, 99.0])
        assert statistics.enough([100.0, 120.0, 99.0], target=0.11)
        assert not statistics.enough([100.0, 100.0])
        assert statistics.enough([100.0, 100.0], minimum=2)
        assert not statistics.enough([100.0, 100.0, math.nan])

    def test_one_slow_repeat_among_many_does_not_hold_it_up(self) -> None:
        assert statistics.enough([1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 9.0])

    def test_noise_needs_more_repeats(self) -> None:
        rng = np.random.default_rng(0)
        needed = {}
        for noise in (0.01, 0.3):
            samples = list(rng.lognormal(0.0, noise, 3))
            while not statistics.enough(samples):
                samples.append(float(rng.lognormal(0.0, noise)))
            needed[noise] = len(samples)
        assert needed[0.01] == 3
        assert 20 < needed[0.3] < 2000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.mean_interval([1.0, 2.0], level=1.0), "level = 1.0"),
        (lambda: statistics.mean_interval([1.0, 2.0], resamples=0), "resamples = 0"),
        (lambda: statistics.mean_interval([1.0, math.inf]), "infinite"),
        (lambda: statistics.mean_interval([[1.0]]), "shape"),
        (lambda: statistics.median_interval([1.0], level=0.0), "level = 0.0"),
        (lambda: statistics.percentile_interval([1.0], 100.0), "percentile 100.0"),
        (lambda: statistics.percentile_interval([1.0], math.nan), "percentile nan"),
        (lambda: statistics.randomization_test([1.0], [1.0, 2.0]), "1 and 2"),
        (lambda: statistics.randomization_test([1.0], [2.0], resamples=0), "resamples = 0"),
        (lambda: statistics.difference_interval([1.0], [1.0, 2.0]), "1 and 2"),
        (lambda: statistics.detectable_difference([1.0], [2.0], power=1.0), "power = 1.0"),
        (lambda: statistics.holm([0.1, 1.1]), "p-values"),
        (lambda: statistics.holm([0.1, math.nan]), "p-values"),
        (lambda: statistics.tied_with_best({"a": [1.0], "b": [1.0, 2.0]}), "same queries"),
        (lambda: statistics.tied_with_best({"a": [1.0]}, level=2.0), "level = 2.0"),
        (lambda: statistics.enough([1.0], target=0.0), "target = 0.0"),
        (lambda: statistics.enough([1.0], minimum=1), "minimum = 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
