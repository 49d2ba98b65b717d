"""Is A better than B: one plain verdict from per-query values and from speeds measured in turns."""

from retrieval_bench.comparison.again import asked_again, over_pairs
from retrieval_bench.comparison.compare import compare
from retrieval_bench.comparison.verdict import Finding, Verdict, judge_quality, judge_speed

__all__ = ["Finding", "Verdict", "asked_again", "compare", "judge_quality", "judge_speed", "over_pairs"]
