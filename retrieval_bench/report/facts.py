"""What the HTML report says beside the figures: use of the budget, agreement of memory figures, time, environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retrieval_bench.records.summary import RunSummary
from retrieval_bench.report import text
from retrieval_bench.report.rows import Row, finite, per_vector
from retrieval_bench.types import Budget, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Use:
    """One limit of the budget: as a phrase, and how much of it a trial used (None: not measured), in percent."""

    limit: str
    used: float | None
    percent: float | None


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Wall time of one phase, in seconds and as a share of all phases in percent."""

    name: str
    seconds: float
    percent: float


def budget_use(budget: Budget, trial: TrialRecord | None) -> tuple[Use, ...]:
    """Every limit that is set, and what ``trial`` used of those that bind a trial's figures."""
    figures: dict[str, float | None] = {}
    if trial is not None:
        figures = {
            "bytes_per_vector": per_vector(trial, "analytic_bytes"),
            "index_bytes": finite(trial, "analytic_bytes"),
            "peak_bytes": finite(trial, "build_peak_bytes"),
            "device_bytes": finite(trial, "device_bytes"),
            "build_seconds": finite(trial, "build_seconds"),
            "latency_ms": finite(trial, f"single_p{budget.latency_percentile:g}_ms"),
            "scorer_calls": finite(trial, "scorer_calls"),
            "build_scorer_calls": finite(trial, "build_scorer_calls"),
        }
    uses = []
    for name, phrase in text.limits(budget).items():
        used = figures.get(name)
        percent = None if used is None else 100 * used / getattr(budget, name)
        uses.append(Use(limit=phrase, used=used, percent=percent))
    return tuple(uses)


def off_analytic(trial: TrialRecord, name: str) -> float | None:
    """How far a memory figure is off the analytic bytes, in percent of these; None where either is missing."""
    analytic, other = finite(trial, "analytic_bytes"), finite(trial, name)
    return None if not analytic or other is None else 100 * (other - analytic) / analytic


def optimism(trial: TrialRecord, primary: str) -> float | None:
    """Primary quality on tuning queries minus that on held-out queries; None where either is missing."""
    tuned, held_out = finite(trial, f"tune/{primary}"), finite(trial, primary)
    return None if tuned is None or held_out is None else tuned - held_out


def tied_systems(shown: Iterable[Row]) -> tuple[str, ...]:
    """Systems shown at a setting that is tied with the best, the winner apart."""
    return tuple(row.trial.system for row in shown if row.mark == "tied")


def phases(summary: RunSummary) -> tuple[Phase, ...]:
    """The wall time by phase, in the order of the summary."""
    total = sum(summary.wall_seconds.values()) or 1.0
    return tuple(Phase(name=n, seconds=s, percent=100 * s / total) for n, s in summary.wall_seconds.items())


def environment(records: Sequence[TrialRecord]) -> dict[str, dict[str, str]]:
    """Machine, code and libraries: one value for each fact, or all of them where trials differ."""
    merged: dict[str, dict[str, str]] = {}
    for title, name in (("Machine", "machine"), ("Code", "code"), ("Libraries", "libraries")):
        values: dict[str, dict[str, None]] = {}
        for record in records:
            for key, value in getattr(record, name).items():
                values.setdefault(key, {})[_readable(key, value)] = None
        merged[title] = {key.removesuffix("_bytes"): " / ".join(found) for key, found in values.items()}
    return merged


def _readable(key: str, value: str) -> str:
    if key.endswith("_bytes") and value.isdigit():
        return f"{int(value) / 2**30:.1f} GiB"
    return value or "none"
