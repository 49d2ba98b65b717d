"""Equivalence, ratios, group-sequential comparison, variance components, tournaments: right on average, and refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from retrieval_bench import statistics
from retrieval_bench.errors import UsageError


class TestEquivalence:
    rng = np.random.default_rng(0)
    base = rng.beta(2, 2, 400)

    def test_a_small_difference_is_within_the_margin_and_a_large_one_is_not(self) -> None:
        near = self.base - 0.001 + self.rng.normal(0, 0.01, 400)
        far = self.base - 0.02 + self.rng.normal(0, 0.01, 400)
        better = self.base + 0.05
        assert statistics.equivalence_test(near, self.base, margin=0.01).equivalent
        assert not statistics.equivalence_test(far, self.base, margin=0.01).not_worse
        found = statistics.equivalence_test(better, self.base, margin=0.01)
        assert found.not_worse
        assert not found.equivalent

    def test_absence_of_evidence_is_no_evidence_of_absence(self) -> None:
        few = self.base[:10]
        noisy = few + self.rng.normal(0, 0.2, 10)
        assert statistics.randomization_test(noisy, few) > 0.05
        assert not statistics.equivalence_test(noisy, few, margin=0.01).not_worse

    def test_a_system_worse_by_just_the_margin_passes_as_often_as_the_level(self) -> None:
        passed = []
        for seed in range(300):
            rng = np.random.default_rng(seed)
            b = rng.beta(2, 2, 60)
            a = 0.95 * b + rng.normal(0, 0.05, 60)
            passed.append(statistics.equivalence_test(a, b, margin=0.05, resamples=400).not_worse)
        assert 0.01 <= np.mean(passed) <= 0.09


class TestFreshPairs:
    def test_six_pairs_of_one_mind_bear_a_claim_out_and_a_dissenter_costs_three_more(self) -> None:
        assert statistics.fresh_pairs(lambda _: 1.01).ratios == (1.01,) * 6
        found = statistics.fresh_pairs(lambda before: 0.97 if before == 2 else 1.02)
        assert (found.claimed, len(found.ratios)) == (True, 9)
        assert found.interval == (1.02, 1.02)
        assert found.p <= 0.05

    def test_pairs_that_favour_the_other_end_it_without_a_claim(self) -> None:
        found = statistics.fresh_pairs(lambda _: 0.99)
        assert (found.claimed, len(found.ratios), found.p) == (False, 2, 1.0)
        assert not statistics.fresh_pairs(lambda before: None if before == 5 else 1.2).claimed
        assert math.isnan(statistics.fresh_pairs(lambda _: None).ratio)

    def test_pairs_measured_before_count(self) -> None:
        found = statistics.fresh_pairs(lambda _: 1.1, first=[1.2, 1.2])
        assert found.ratios == (1.2, 1.2, 1.1, 1.1, 1.1, 1.1)
        assert found.ratio == 1.1

    def test_equal_programs_are_called_different_no_oftener_than_the_level(self) -> None:
        def share(favour: float, level: float, power: float) -> float:
            rng = np.random.default_rng(0)
            one = [
                statistics.fresh_pairs(lambda _: 1.1 if rng.random() < favour else 0.9, level=level, power=power)
                for _ in range(2_000)
            ]
            return float(np.mean([found.claimed for found in one]))

        assert share(0.5, 0.05, 0.95) <= 0.05
        assert share(0.5, 0.025, 0.8) <= 0.025
        assert share(0.85, 0.05, 0.8) >= 0.8
        assert share(0.85, 0.025, 0.95) >= 0.94

    def test_a_ratio_of_nothing_is_refused(self) -> None:
        with pytest.raises(UsageError, match="the ratio 0"):
            statistics.fresh_pairs(lambda _: 0.0)


class TestPairedRatio:
    def test_one_round_has_no_interval(self) -> None:
        found = statistics.paired_ratio([2.0], [1.0])
        assert found.value == pytest.approx(2.0)
        assert math.isnan(found.low)
        assert math.isnan(found.high)

    def test_is_scipys_signed_rank_test_and_hodges_lehmann(self) -> None:
        rng = np.random.default_rng(0)
        for n in (8, 25, 99, 150):
            a, b = rng.lognormal(0.1, 0.2, n), rng.lognormal(0.0, 0.2, n)
            found = statistics.paired_ratio(a, b)
            theirs = scipy.stats.wilcoxon(np.log(a / b), method="exact" if n < 100 else "approx", correction=True)
            assert found.p == pytest.approx(theirs.pvalue, rel=1e-9 if n < 100 else 0.05)
            means = [(x + y) / 2 for x, y in itertools.combinations_with_replacement(np.log(a / b), 2)]
            assert found.value == pytest.approx(math.exp(np.median(means)))
            assert found.low < found.value < found.high

    def test_of_many_rounds_the_approximation_is_near_the_exact_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        a = np.exp(np.random.default_rng(5).normal(0.02, 0.1, 101))
        near = statistics.paired_ratio(a, np.ones(101))
        monkeypatch.setattr("retrieval_bench.statistics.ratios._EXACT", 101)
        exact = statistics.paired_ratio(a, np.ones(101))
        assert near.p == pytest.approx(exact.p, abs=2e-3)
        assert near.p != exact.p
        assert (near.low, near.high) == pytest.approx((exact.low, exact.high), rel=2e-4)

    def test_rounds_without_a_difference_favour_neither(self) -> None:
        assert statistics.paired_ratio([2.0] * 9, [2.0] * 9).p == 1.0
        assert statistics.paired_ratio([2.0, 1.0, 3.0], [1.0, 2.0, 3.0]).p == 1.0

    @pytest.mark.parametrize("n", [6, 12, 40, 130])
    def test_the_interval_leaves_out_1_exactly_when_p_is_small(self, n: int) -> None:
        rng = np.random.default_rng(n)
        for shift in np.linspace(0.0, 0.3, 40):
            found = statistics.paired_ratio(np.exp(shift + rng.normal(0, 0.1, n)), np.ones(n))
            if abs(found.p - 0.05) > 0.002:
                assert (found.low > 1 or found.high < 1) == (found.p < 0.05)

    def test_five_rounds_cannot_decide_and_say_so(self) -> None:
        found = statistics.paired_ratio([2.0, 2.1, 1.9, 2.0, 2.2], [1.0] * 5)
        assert found.p == pytest.approx(2 / 32)
        assert (found.low, found.high) == pytest.approx((1.9, 2.2))

    def test_what_both_share_is_taken_out(self) -> None:
        rng = np.random.default_rng(1)
        drift = np.exp(np.cumsum(rng.normal(0, 0.3, 30)))
        found = statistics.paired_ratio(1.05 * drift * rng.lognormal(0, 0.01, 30), drift)
        assert 1.04 < found.low < 1.05 < found.high < 1.06

    def test_a_ratio_of_the_detectable_size_is_detected_with_the_power_asked_for(self) -> None:
        rng = np.random.default_rng(2)
        size = np.median([statistics.detectable_ratio(rng.lognormal(0, 0.1, 40), np.ones(40)) for _ in range(60)])
        seen = [statistics.paired_ratio(size * rng.lognormal(0, 0.1, 40), np.ones(40)).p <= 0.05 for _ in range(400)]
        assert np.mean(seen) == pytest.approx(0.8, abs=0.08)
        noise = rng.lognormal(0, 0.1, 500)
        size = statistics.detectable_ratio(noise, np.ones(500))
        assert statistics.rounds_needed(noise, np.ones(500), ratio=size) == pytest.approx(500, abs=1)


class TestGroupSequential:
    @staticmethod
    def compared(shifts: list[float], seed: int, looks: int = 5, rounds: int = 8) -> statistics.GroupSequential:
        rng = np.random.default_rng(seed)
        names = [f"s{i}" for i in range(len(shifts))]
        test = statistics.GroupSequential(names, looks=looks, resamples=400, seed=seed)
        while not test.finished:
            test.look(np.array(shifts) + rng.normal(0, 0.1, (rounds, len(shifts))))
        return test

    def test_a_large_difference_stops_early_and_a_small_one_late(self) -> None:
        assert self.compared([0.0, 1.0], 0).looked < self.compared([0.0, 0.04], 0).looked

    def test_equal_systems_are_called_different_as_seldom_as_promised(self) -> None:
        wrong = [bool(self.compared([0.0, 0.0, 0.0], seed).decided) for seed in range(200)]
        assert np.mean(wrong) <= 0.08

    def test_the_error_is_held_among_equal_systems_beside_a_different_one(self) -> None:
        found = [self.compared([0.0, 0.0, 0.5], seed) for seed in range(200)]
        assert np.mean([("s0", "s1") in f.decided for f in found]) <= 0.08
        assert np.mean([{("s0", "s2"), ("s1", "s2")} <= set(f.decided) for f in found]) == 1.0

    def test_the_sign_of_a_difference_tells_who_is_ahead(self) -> None:
        assert self.compared([0.0, 1.0], 3).decided[("s0", "s1")] == pytest.approx(-1.0, abs=0.15)

    def test_after_the_last_look_there_is_none(self) -> None:
        test = self.compared([0.0, 0.0], 1)
        assert test.undecided == (("s0", "s1"),)
        with pytest.raises(UsageError, match="all 5 looks are used"):
            test.look(np.zeros((2, 2)))


class TestVarianceComponents:
    def test_recovers_nested_components_on_average(self) -> None:
        rng = np.random.default_rng(0)
        found = []
        for _ in range(200):
            machine, build = rng.normal(0, 3, 5), rng.normal(0, 2, (5, 4))
            rows = [(m, b) for m in range(5) for b in range(4) for _ in range(rng.integers(1, 4))]
            values = [machine[m] + build[m, b] + rng.normal() for m, b in rows]
            factors: dict[str, list[str]] = {
                "machine": [str(m) for m, _ in rows],
                "build": [f"{m}/{b}" for m, b in rows],
            }
            found.append(list(statistics.variance_components(values, factors).values()))
        assert np.mean(found, axis=0) == pytest.approx([9, 4, 1], rel=0.2)

    def test_balanced_crossed_data_gives_the_analysis_of_variance(self) -> None:
        rng = np.random.default_rng(1)
        table = rng.normal(size=(4, 1)) * 2 + rng.normal(size=(1, 5)) + rng.normal(size=(4, 5)) * 0.1
        seeds, machines = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
        found = statistics.variance_components(table.ravel(), {"seed": list(seeds), "machine": list(machines)})
        rows, columns = table.mean(axis=1), table.mean(axis=0)
        rest = table - rows[:, None] - columns[None, :] + table.mean()
        error = (rest**2).sum() / 12
        assert found["repeat"] == pytest.approx(error)
        assert found["seed"] == pytest.approx(rows.var(ddof=1) - error / 5)
        assert found["machine"] == pytest.approx(columns.var(ddof=1) - error / 4)


class TestBradleyTerry:
    def test_two_systems_are_as_strong_as_their_odds(self) -> None:
        strength = statistics.bradley_terry({"a": [1.0] * 75 + [0.0] * 25, "b": [0.5] * 100})
        assert strength["a"].strength - strength["b"].strength == pytest.approx(math.log(75.1 / 25.1), rel=1e-6)
        assert (strength["a"].wins, strength["a"].games, strength["a"].mean) == (75.0, 100, 0.75)
        low, high = strength["a"].low, strength["a"].high
        assert low is not None
        assert high is not None
        assert low < strength["a"].strength < high

    def test_solves_the_likelihood_equations(self) -> None:
        wins = np.random.default_rng(0).integers(1, 20, (4, 4)).astype(float)
        np.fill_diagonal(wins, 0)
        from retrieval_bench.statistics.bradley_terry import strengths

        found = strengths(wins, prior=1e-9)
        expected = (wins + wins.T) / (1 + np.exp(found[None, :] - found[:, None]))
        assert expected.sum(axis=1) - np.diag(expected) == pytest.approx(wins.sum(axis=1), rel=1e-5)

    def test_the_many_small_wins_count_not_the_one_large_one(self) -> None:
        values = {"steady": [0.51] * 9 + [0.1], "lucky": [0.5] * 9 + [0.9]}
        ranked = statistics.bradley_terry(values)
        assert next(iter(ranked)) == "steady"
        assert ranked["lucky"].mean > ranked["steady"].mean

    def test_ties_count_half_absent_figures_not_at_all_and_a_clean_sweep_is_finite(self) -> None:
        wins = statistics.pairwise_wins([[1.0, 1.0], [math.nan, 0.2], [0.9, 0.3]])
        assert wins.tolist() == [[0.0, 1.5], [0.5, 0.0]]
        assert math.isfinite(statistics.bradley_terry({"a": [1, 1], "b": [0, 0]})["a"].strength)

    def test_one_data_set_gives_places_without_intervals(self) -> None:
        for values in ({"a": [0.7], "b": [0.5]}, {"a": [0.7, 0.9], "b": [0.5, math.nan]}):
            ranked = statistics.bradley_terry(values)
            assert ranked["a"].strength > ranked["b"].strength
            assert all((place.low, place.high) == (None, None) for place in ranked.values())
        assert statistics.bradley_terry({"a": [0.7, 0.9], "b": [0.5, 0.8]})["a"].low is not None


def test_kendall_tau_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 6, 12).astype(float), rng.integers(0, 6, 12).astype(float)
        assert statistics.kendall_tau(a, b) == pytest.approx(scipy.stats.kendalltau(a, b).statistic)
    assert statistics.kendall_tau([1, 2, 3, math.nan], [3, 2, 1, 9]) == -1
    assert math.isnan(statistics.kendall_tau([1, 1], [1, 2]))


def test_an_unpaired_interval_takes_two_values_of_each() -> None:
    low, high = statistics.unpaired_interval([1.0, 2.0], [0.0, 0.5])
    assert low < 1.25 < high
    assert all(map(math.isnan, statistics.unpaired_interval([1.0, 2.0], [0.0])))


def test_an_unpaired_interval_covers_the_difference_as_often_as_it_claims() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(300):
        low, high = statistics.unpaired_interval(rng.beta(2, 1, 50), rng.beta(1, 1, 80), resamples=400, seed=seed)
        covered.append(low <= 2 / 3 - 1 / 2 <= high)
    assert 0.91 <= np.mean(covered) <= 0.985


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.equivalence_test([1.0], [1.0], margin=0.0), "margin = 0.0"),
        (lambda: statistics.equivalence_test([1.0], [1.0, 2.0], margin=0.1), "1 and 2"),
        (lambda: statistics.paired_ratio([1.0], [0.0]), "above 0"),
        (lambda: statistics.paired_ratio([], []), "0 and 0"),
        (lambda: statistics.rounds_needed([1.0], [1.0], ratio=1.0), "above 1"),
        (lambda: statistics.GroupSequential(["a"]), "two or more"),
        (lambda: statistics.GroupSequential(["a", "b"], looks=0), "looks = 0"),
        (lambda: statistics.GroupSequential(["a", "b"]).look([[1.0, math.nan]]), "finite"),
        (lambda: statistics.GroupSequential(["a", "b"]).look([[1.0, 2.0, 3.0]]), "of shape"),
        (lambda: statistics.GroupSequential(["a", "b"]).look([1.0, 2.0]), "of shape"),
        (lambda: statistics.variance_components([1, 2, 3], {"x": "ab"}), "2 labels for 3"),
        (lambda: statistics.variance_components([1, 2, 3], {"x": "abc"}), "3 groups"),
        (lambda: statistics.variance_components([1, 2, 3, 4], {"x": "aabb", "y": "ccdd"}), "vary together"),
        (lambda: statistics.bradley_terry({"a": [1.0]}), "two or more"),
        (lambda: statistics.kendall_tau([1.0], [1.0, 2.0]), "1 and 2"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
