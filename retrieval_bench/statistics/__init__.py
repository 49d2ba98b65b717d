"""How sure we are: intervals, comparisons of systems, and when a repeated measurement may stop.

Everything is a pure function of samples and a seed: the same input gives the same answer on every machine. How often
each method errs is simulated by ``scripts/simulate_statistics.py``; its tables stand in ``docs/simulations.md``.
"""

from retrieval_bench.statistics.agreement import kendall_tau
from retrieval_bench.statistics.bradley_terry import Strength, bradley_terry, pairwise_wins
from retrieval_bench.statistics.equivalence import Equivalence, equivalence_test
from retrieval_bench.statistics.intervals import mean_interval, median_interval, percentile_interval
from retrieval_bench.statistics.paired import (
    detectable_difference,
    difference_interval,
    holm,
    one_sided_test,
    randomization_test,
    tied_with_best,
)
from retrieval_bench.statistics.processes import PLAIN, Pairs, fresh_pairs, plain
from retrieval_bench.statistics.ratios import Ratio, detectable_ratio, paired_ratio, rounds_needed
from retrieval_bench.statistics.repeats import enough
from retrieval_bench.statistics.sequential import GroupSequential
from retrieval_bench.statistics.unpaired import unpaired_interval
from retrieval_bench.statistics.variance import variance_components

__all__ = [
    "PLAIN",
    "Equivalence",
    "GroupSequential",
    "Pairs",
    "Ratio",
    "Strength",
    "bradley_terry",
    "detectable_difference",
    "detectable_ratio",
    "difference_interval",
    "enough",
    "equivalence_test",
    "fresh_pairs",
    "holm",
    "kendall_tau",
    "mean_interval",
    "median_interval",
    "one_sided_test",
    "paired_ratio",
    "pairwise_wins",
    "percentile_interval",
    "plain",
    "randomization_test",
    "rounds_needed",
    "tied_with_best",
    "unpaired_interval",
    "variance_components",
]
