"""What the protocols over ordinary runs share: the rankers of a run, their per-query values, and rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrieval_bench.quality import mean
from retrieval_bench.records import Store
from retrieval_bench.report.section import Cell, SectionColumn
from retrieval_bench.runner.run import Run
from retrieval_bench.specs import system_cards
from retrieval_bench.statistics import mean_interval
from retrieval_bench.types import TrialRecord

FIRST_STAGE = ("bm25", "dense", "hybrid")
COSTS = (
    SectionColumn(title="queries/s", unit="batch", digits=0),
    SectionColumn(title="p95", unit="ms, one query", digits=1),
    SectionColumn(
        title="note", help="tied: not told from the best in nDCG@10 by these queries; or why there is no result"
    ),
)


def with_rerank() -> tuple[str, ...]:
    """The rankers of a first stage, and ``rerank`` where there is a card of that name."""
    return (*FIRST_STAGE, *(name for name in ("rerank",) if name in system_cards("ranker")))


def costs(record: TrialRecord, run: Run) -> list[Cell]:
    """Cells for ``COSTS``."""
    if record.outcome != "ok":
        note = f"{record.outcome}: {record.reason}"
    elif record.trial_id == run.summary.winner:
        note = "winner"
    else:
        note = "tied" if record.trial_id in run.summary.tied else ""
    return [record.value("batch_qps"), record.value("single_p95_ms"), note]


def figures(
    record: TrialRecord, run: Run, metrics: Sequence[str], chosen: npt.NDArray[np.bool_] | None = None
) -> list[Cell]:
    """Means over the chosen test queries, then the 95 % interval of the first metric as text.

    Cells are empty after a failure, and for a metric whose cut is deeper than the run.
    """
    values = Store(run.folder).per_query(record.trial_id, "test")
    if chosen is not None:
        values = {name: column[chosen] for name, column in values.items()}
    cells: list[Cell] = [mean(values[name]) if name in values else None for name in metrics]
    if metrics[0] not in values:
        return [*cells, None]
    low, high = mean_interval(values[metrics[0]])
    return [*cells, f"{low:.3f} to {high:.3f}"]


def metric_columns(metrics: Sequence[str]) -> list[SectionColumn]:
    """Columns for ``figures``."""
    interval = SectionColumn(title="95 % interval", unit=f"of {metrics[0]}")
    return [*(SectionColumn(title=name, best="highest") for name in metrics), interval]
