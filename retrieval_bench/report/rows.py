"""Trial records to what is shown: one row per system, its failures, and Pareto frontiers. Pure functions.

Knows nothing of how a row looks; ``columns`` and ``text`` say that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from retrieval_bench.errors import UsageError
from retrieval_bench.records.summary import RunSummary
from retrieval_bench.types import Measurement, TrialRecord

Better = Literal["higher", "lower"]
Mark = Literal["winner", "tied", ""]
Trials = tuple[TrialRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system, shown at one of its settings.

    Attributes:
        trial: the setting shown (see ``rows``).
        trials: every trial of the system, as recorded.
        mark: whether this setting won, or is tied in quality with the best.
    """

    trial: TrialRecord
    trials: Trials
    mark: Mark

    @property
    def passed(self) -> int:
        """Number of the system's trials with the outcome ``ok``."""
        return sum(t.outcome == "ok" for t in self.trials)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The trials of one system that ended in one way other than ``ok``; ``tried`` counts all of its trials."""

    trials: Trials
    tried: int


def finite(trial: TrialRecord, name: str) -> float | None:
    """The value of this measurement; None when it is absent, NaN or infinite."""
    value = trial.value(name)
    return value if value is not None and math.isfinite(value) else None


def per_vector(trial: TrialRecord, name: str) -> float | None:
    """A total in bytes, such as ``analytic_bytes``, divided by the number of documents; None when absent."""
    total = finite(trial, name)
    return None if total is None or not trial.documents else total / trial.documents


def interval(measurement: Measurement | None) -> tuple[float, float] | None:
    """Ends of the 95 % interval; None when there is none (an exact figure, a single sample)."""
    if measurement is None or measurement.low is None or measurement.high is None:
        return None
    return (measurement.low, measurement.high) if measurement.high > measurement.low else None


def recall_name(records: Iterable[TrialRecord]) -> str:
    """The neighbor recall to show: at 10, or at the first depth it was measured at; empty when it was not measured."""
    names = dict.fromkeys(m.name for r in records for m in r.measurements if m.name.startswith("neighbor_recall@"))
    return "neighbor_recall@10" if "neighbor_recall@10" in names else next(iter(names), "")


def _by_system(records: Iterable[TrialRecord]) -> dict[tuple[str, str], Trials]:
    groups: dict[tuple[str, str], Trials] = {}
    for record in records:
        key = (record.kind, record.system)
        groups[key] = (*groups.get(key, ()), record)
    return groups


def best_setting(trials: Sequence[TrialRecord], primary: str) -> TrialRecord:
    """The trial to show for one system.

    Among its ``ok`` trials (all of them when none is ok) the one with the highest primary measurement, on
    tuning queries if any of them was measured there; equal ones are told apart by batch throughput, then
    by order of record.

    Args:
        trials: one or more trials of one system.
        primary: name of the primary measurement, without ``tune/``.
    """
    pool = [t for t in trials if t.outcome == "ok"] or list(trials)
    tuned = f"tune/{primary}"
    name = tuned if any(finite(t, tuned) is not None for t in pool) else primary

    def merit(trial: TrialRecord) -> tuple[float, float]:
        quality, speed = finite(trial, name), finite(trial, "batch_qps")
        return (-math.inf if quality is None else quality, -math.inf if speed is None else speed)

    return max(pool, key=merit)


def rows(records: Sequence[TrialRecord], summary: RunSummary) -> tuple[Row, ...]:
    """One row per system: indexes before rankers, best primary measurement first, systems without an ok trial last.

    A system is shown at the setting that the run chose for it, and where it chose none at its best (``best_setting``).

    Raises:
        UsageError: a winner, chosen or tied trial of the summary is not among the records.
    """
    known = {record.trial_id for record in records}
    chosen = {*summary.chosen.values(), summary.winner}
    if unknown := {*chosen, *summary.tied} - known - {None}:
        raise UsageError(
            f"the summary names trials that are not among the records: {', '.join(sorted(map(str, unknown)))}; "
            "pass the records of the same run"
        )
    found = []
    for trials in _by_system(records).values():
        picked = [t for t in trials if t.trial_id in chosen] or [best_setting(trials, summary.primary)]
        shown = max(picked, key=lambda t: t.trial_id == summary.winner)
        mark: Mark = "tied" if shown.trial_id in summary.tied else ""
        if shown.trial_id == summary.winner:
            mark = "winner"
        found.append(Row(trial=shown, trials=trials, mark=mark))

    def place(row: Row) -> tuple[bool, bool, float, str]:
        quality = finite(row.trial, summary.primary)
        return (
            row.trial.kind == "ranker",
            row.trial.outcome != "ok",
            math.inf if quality is None else -quality,
            row.trial.system,
        )

    return tuple(sorted(found, key=place))


def failures(records: Sequence[TrialRecord]) -> tuple[Failure, ...]:
    """Every way in which a system failed, with the trials that did; in order of record."""
    found = []
    for trials in _by_system(records).values():
        for outcome in dict.fromkeys(t.outcome for t in trials if t.outcome != "ok"):
            failed = tuple(t for t in trials if t.outcome == outcome)
            found.append(Failure(trials=failed, tried=len(trials)))
    return tuple(found)


def pareto(points: Sequence[tuple[float, float]], *, x: Better, y: Better) -> list[int]:
    """Indices of the points that no other point beats: at least as good in both values and better in one.

    Of identical points the first is kept. Points that are not finite are never on the frontier.

    Args:
        points: (x, y) pairs.
        x: which direction of the first value is better.
        y: which direction of the second value is better.

    Returns:
        Indices into ``points``, in ascending order of the first value.
    """
    x_sign, y_sign = (1 if x == "higher" else -1), (1 if y == "higher" else -1)
    finite_points = [i for i, (a, b) in enumerate(points) if math.isfinite(a) and math.isfinite(b)]
    best_first = sorted(finite_points, key=lambda i: (-x_sign * points[i][0], -y_sign * points[i][1], i))
    frontier: list[int] = []
    best_y = -math.inf
    for i in best_first:
        if y_sign * points[i][1] > best_y:
            best_y = y_sign * points[i][1]
            frontier.append(i)
    return sorted(frontier, key=lambda i: points[i][0])
