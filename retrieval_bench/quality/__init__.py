"""How good an answer is: pure functions of rows, judgments and exact neighbors. No clock, no file, no engine.

The rules, the same for every system:

- **Order.** ``Hits`` are judged in the order that they hold (best first; their contract is ties by ascending row). A
  TREC run has no order of its own, so ``score_run`` makes the one of trec_eval: score as float32, descending, then
  document id, descending.
- **Relevant** is a grade > 0; the gain of a document is ``max(grade, 0)``. A document without a judgment counts as
  not relevant, and ``judged@k`` says how often that happened.
- **Short answers** (padded with -1) are short rankings: an empty one scores 0, and P@k still divides by k.
- **Queries** with judgments but none relevant score 0, as in trec_eval. Queries without any judgment score NaN, which
  ``mean`` leaves out.
- ``recall@k`` (against judgments) and ``neighbor_recall@k`` (against exact neighbors) are different things.

Checked against trec_eval (through pytrec_eval) and ir_measures, which agree to 1e-9.
"""

from retrieval_bench.quality.names import QualityMetric, parse
from retrieval_bench.quality.neighbors import neighbor_recall, outside_exact
from retrieval_bench.quality.scoring import evaluate, is_own, mean, without_own
from retrieval_bench.quality.trec import RunScores, score_run

__all__ = [
    "QualityMetric",
    "RunScores",
    "evaluate",
    "is_own",
    "mean",
    "neighbor_recall",
    "outside_exact",
    "parse",
    "score_run",
    "without_own",
]
