"""How good an answer is: pure functions of rows, judgments and exact neighbors. No clock, no file, no engine.

The rules, the same for every system:

- **Order.** Everything is judged in the order of trec_eval: score as float32, descending, then document id, descending.
  Engines and ``Hits`` order equal scores otherwise, so ``evaluate`` takes a ``Ranking``, which ``ranked`` makes of hits
  and ``score_run`` of a TREC run. ``tie_bounds`` says how far other orders of equal scores would move a figure.
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
from retrieval_bench.quality.order import Ranking, id_places, is_own, ranked, with_places, without_own
from retrieval_bench.quality.scoring import evaluate, mean
from retrieval_bench.quality.ties import TieBounds, tie_bounds, tie_note
from retrieval_bench.quality.trec import RunScores, score_run

__all__ = [
    "QualityMetric",
    "Ranking",
    "RunScores",
    "TieBounds",
    "evaluate",
    "id_places",
    "is_own",
    "mean",
    "neighbor_recall",
    "outside_exact",
    "parse",
    "ranked",
    "score_run",
    "tie_bounds",
    "tie_note",
    "with_places",
    "without_own",
]
