"""How sure we are: intervals, paired comparisons of systems, and when a repeated measurement may stop.

Everything is a pure function of samples and a seed: the same input gives the same answer on every machine.
"""

from retrieval_bench.statistics.intervals import mean_interval, median_interval, percentile_interval
from retrieval_bench.statistics.paired import (
    detectable_difference,
    difference_interval,
    holm,
    randomization_test,
    tied_with_best,
)
from retrieval_bench.statistics.repeats import enough

__all__ = [
    "detectable_difference",
    "difference_interval",
    "enough",
    "holm",
    "mean_interval",
    "median_interval",
    "percentile_interval",
    "randomization_test",
    "tied_with_best",
]
