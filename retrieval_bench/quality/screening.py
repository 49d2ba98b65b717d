"""How well a list serves the screening of one systematic review, where every relevant record must be found in the end.

Everything follows from where the relevant records stand: ``ranks`` (r,) int64, counted from 1, in a list of n records.

- ``AP``: mean over the relevant records of the precision at their rank; in [0, 1] (trec_eval's ``map``).
- ``last``: the rank of the last relevant record, percent of the list (CLEF TAR 2017, ``last_rel``, there a rank).
- ``WSS@R``, work saved over sampling (Cohen et al. 2006, JAMIA 13(2)): at the first rank with a recall of R percent,
  the recall reached minus the share of the list read, percent. This is ASReview's form, in which Ferdinands et al. 2023
  publish. Cohen and CLEF TAR take R itself for the recall reached, which is less by at most ``100 / r``.
- ``RRF@p``, relevant references found (Ferdinands et al. 2023): the percent of the relevant records among the first
  p percent of the list, the cut rounded up to a whole record.
- ``recall@p%``: the same as a share in [0, 1], under the name that CLEF TAR gives it.
- ``ATD``, average time to discovery (Ferdinands et al. 2023): mean rank of the relevant records, percent of the list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.quality.judged import Float64Array
from retrieval_bench.types import IntArray

WSS_AT = (95, 99, 100)
RRF_AT = (5, 10, 20)
RECALL_AT = (1, 5, 10, 20, 30, 50)
_ROUNDING = 1e-6  # percent; ASReview's, so that 0.95 * 40 of 40 counts as 95 % in floating point


def recall_curve(found: Sequence[IntArray], n: int) -> Float64Array:
    """Mean recall after every record read, over several lists of the same n records.

    Args:
        found: for each list, the (r,) ranks of its relevant records, the same r in all.
        n: records in a list.

    Returns:
        (n,) float64 percent.

    Raises:
        DataError: no list, no relevant record, or ranks that are repeated or outside 1 to n.
    """
    if not found or any(len(ranks) != len(found[0]) or len(ranks) == 0 for ranks in found):
        raise DataError("screening: each list needs the ranks of its relevant records, as many in each and at least 1")
    gains = np.zeros(n)
    for ranks in found:
        if ranks.min() < 1 or ranks.max() > n or len(np.unique(ranks)) < len(ranks):
            raise DataError(f"screening: ranks of relevant records must be distinct and lie between 1 and {n}")
        gains[ranks - 1] += 1
    return 100 * gains.cumsum() / (len(found) * len(found[0]))


def work_saved(curve: Float64Array, recall: float) -> float:
    """WSS at a recall in percent, of a curve that ``recall_curve`` made."""
    at = int(np.argmax(curve >= recall - _ROUNDING))
    return float(curve[at] - 100 * (at + 1) / len(curve))


def found_at(curve: Float64Array, percent: float) -> float:
    """RRF: recall in percent after ``percent`` of the list."""
    cut = max(1, math.ceil((percent - _ROUNDING) * len(curve) / 100))
    return float(curve[cut - 1])


def curve_measures(curve: Float64Array) -> dict[str, float]:
    """WSS and RRF of a curve. Of a mean curve they are what ASReview publishes for several runs.

    WSS@100 of a mean curve is that of the slowest run, and so below the mean of the runs' own.
    """
    return {
        **{f"WSS@{recall}": work_saved(curve, recall) for recall in WSS_AT},
        **{f"RRF@{percent}": found_at(curve, percent) for percent in RRF_AT},
    }


def list_measures(ranks: IntArray, n: int) -> dict[str, float]:
    """All measures of one list (see the module).

    Args:
        ranks: (r,) ranks of the relevant records, in any order.
        n: records in the list.

    Raises:
        DataError: no relevant record, or ranks that are repeated or outside 1 to n.
    """
    curve = recall_curve([ranks], n)
    ordered = np.sort(ranks)
    return {
        "AP": float((np.arange(1, len(ordered) + 1) / ordered).mean()),
        "last": 100 * float(ordered[-1]) / n,
        **curve_measures(curve),
        **{f"recall@{percent}%": found_at(curve, percent) / 100 for percent in RECALL_AT},
        "ATD": 100 * float(ordered.mean()) / n,
    }
