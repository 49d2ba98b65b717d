"""The columns of a row of figures, shared by the terminal table and the HTML tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from retrieval_bench.report import text
from retrieval_bench.report.rows import finite, per_vector
from retrieval_bench.types import TrialRecord

MEMORY = {
    "analytic_bytes": "analytic",
    "artifact_bytes": "saved",
    "private_bytes": "private",
    "device_bytes": "device",
}
"""The four memory figures: measurement name -> short name."""
OVERVIEW_RANK = 8
"""Columns up to this rank stand in the HTML table of systems; the others in its tables of memory and of all trials."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One figure of a trial.

    Attributes:
        title: what is measured.
        unit: its unit, or how it is to be read; may be empty.
        rank: 0 is the most important; a narrow terminal leaves out the highest ranks.
        value: the number, or None when the trial has none.
        show: the number as text.
        help: one sentence for someone who does not know the figure.
    """

    title: str
    unit: str
    rank: int
    value: Callable[[TrialRecord], float | None]
    show: Callable[[TrialRecord], str]
    help: str


def _plain(name: str, title: str, unit: str, rank: int, note: str) -> Column:
    def value(trial: TrialRecord) -> float | None:
        return finite(trial, name)

    return Column(
        title=title, unit=unit, rank=rank, value=value, show=lambda t: text.number(finite(t, name)), help=note
    )


def _quality(name: str, title: str, unit: str, rank: int, note: str) -> Column:
    def show(trial: TrialRecord) -> str:
        shown = text.quality(trial.measurement(name))
        return shown if rank == 0 else shown.partition(" ")[0]  # only the primary one has room for its interval

    return Column(title=title, unit=unit, rank=rank, value=lambda t: finite(t, name), show=show, help=note)


def _memory(name: str, title: str, rank: int, note: str) -> Column:
    return Column(
        title=title,
        unit="B/vec",
        rank=rank,
        value=lambda t: per_vector(t, name),
        show=lambda t: text.number(per_vector(t, name)),
        help=note,
    )


def columns(primary: str, recall: str) -> tuple[Column, ...]:
    """Every column, in the order to show.

    Args:
        primary: name of the primary measurement.
        recall: name of the neighbor recall to show beside it (see ``rows.recall_name``).
    """
    found = [_quality(primary, primary, "±95 %", 0, "Primary quality on held-out queries, half its 95 % interval.")]
    if recall not in (primary, ""):
        note = "Share of the exact nearest neighbors found."
        found.append(_quality(recall, "neighbor", recall.removeprefix("neighbor_"), 4, note))
    return (
        *found,
        _quality(f"tune/{primary}", primary, "tuning", 12, "The same on the tuning queries: higher is optimism."),
        _plain("batch_qps", "batch", "QPS", 1, "Queries answered per second when all are given at once."),
        _plain("single_p50_ms", "p50", "ms", 8, "Half of the single queries took no longer."),
        _plain("single_p95_ms", "p95", "ms", 2, "95 % of the single queries took no longer."),
        _plain("single_p99_ms", "p99", "ms", 7, "99 % of the single queries took no longer."),
        _plain("build_seconds", "build", "s", 5, "Wall time of the build."),
        _memory("analytic_bytes", "analytic", 3, "Bytes that answering a query needs, counted part by part."),
        _memory("artifact_bytes", "saved", 9, "Bytes of the saved files."),
        _memory("private_bytes", "private", 10, "Host memory that belongs to the process alone (USS)."),
        _memory("device_bytes", "device", 11, "Peak GPU memory."),
    )


def present(candidates: Iterable[Column], trials: Iterable[TrialRecord]) -> tuple[Column, ...]:
    """The columns in which at least one of these trials has a figure."""
    shown = list(trials)
    return tuple(c for c in candidates if any(c.value(t) is not None for t in shown))
