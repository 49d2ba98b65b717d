"""Numbers, settings and budgets as text: the same words in the terminal and in the HTML report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from retrieval_bench.report.rows import Failure, interval
from retrieval_bench.types import Budget, Measurement, TrialRecord

ABSENT = "-"
QUALITY_DIGITS = 4
METRICS = {"l2": "Euclidean distance", "ip": "inner product", "cos": "cosine"}

# How a limit of Budget reads: before and after its number.
_LIMITS = {
    "bytes_per_vector": ("", "bytes per vector"),
    "index_bytes": ("index of", "bytes"),
    "peak_bytes": ("peak of", "bytes of host memory"),
    "device_bytes": ("peak of", "bytes of GPU memory"),
    "build_seconds": ("build in", "s"),
    "latency_ms": ("single query in", "ms"),
    "scorer_calls": ("", "scorer calls per query"),
    "build_scorer_calls": ("", "scorer calls of the build"),
    "tuning_trials": ("", "tuning trials per system"),
    "tuning_seconds": ("", "s of tuning per system"),
    "threads": ("", "threads"),
}


def number(value: float | None) -> str:
    """Three significant digits, or all digits of the integer part: ``0.0123``, ``12.3``, ``1,234``."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = f"{value:,.{digits}f}"
    return rounded.rstrip("0").rstrip(".") if abs(value) >= 1000 and "." in rounded else rounded


def quality(measurement: Measurement | None) -> str:
    """A quality figure with half the width of its 95 % interval: ``0.6451 ±0.0312``."""
    if measurement is None or not math.isfinite(measurement.value):
        return ABSENT
    text = f"{measurement.value:.{QUALITY_DIGITS}f}"
    ends = interval(measurement)
    return text if ends is None else f"{text} ±{(ends[1] - ends[0]) / 2:.{QUALITY_DIGITS}f}"


def figure(measurement: Measurement) -> str:
    """In full: ``0.6451 [0.6139, 0.6763], mean of 300``, ``1.2 ms [1.1, 1.3], median of 9``, ``8 s, once``."""
    show = _digits if measurement.unit in ("", "1") else number
    unit = "" if measurement.unit in ("", "1") else f" {one_line(measurement.unit)}"
    ends = interval(measurement)
    between = "" if ends is None else f" [{show(ends[0])}, {show(ends[1])}]"
    of = "" if measurement.statistic == "once" else f" of {measurement.n:,}"
    basis = "" if measurement.statistic == "exact" else f", {measurement.statistic}{of}"
    return f"{show(measurement.value)}{unit}{between}{basis}"


def _digits(value: float) -> str:
    return f"{value:.{QUALITY_DIGITS}f}"


def percent(value: float) -> str:
    """A signed share, ``+3.1 %``; nothing after the point from 100 % on."""
    return f"{value:+.1f} %" if abs(value) < 100 else f"{value:+,.0f} %"


def duration(seconds: float) -> str:
    """``12.3 s``, ``2 min 5 s`` or ``1 h 10 min``."""
    if seconds < 100:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def one_line(text: str) -> str:
    """Text on one line with nothing in it that moves a cursor: control characters become spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _plain(value: Any) -> str:
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings(params: Mapping[str, Any]) -> str:
    """Parameters as ``nlist=1024 nprobe=8``; a dash when there are none."""
    return one_line(" ".join(f"{name}={_plain(value)}" for name, value in params.items())) or ABSENT


def short_setting(trial: TrialRecord, trials: Sequence[TrialRecord]) -> str:
    """What tells a trial from the others of its system: its search parameters and the build parameters that vary."""
    varying = {
        name: value
        for name, value in trial.build_params.items()
        if any(other.build_params.get(name) != value for other in trials)
    }
    return settings({**varying, **trial.search_params})


def limits(budget: Budget) -> dict[str, str]:
    """The limits that are set, by name, each as a phrase: ``{"latency_ms": "single query in 10 ms at p95"}``."""
    phrases = {}
    for name, (before, after) in _LIMITS.items():
        value = getattr(budget, name)
        if value is not None:
            at = f" at p{budget.latency_percentile:g}" if name == "latency_ms" else ""
            unit = after.removesuffix("s") if name == "threads" and value == 1 else after
            phrases[name] = f"{before} {value:,.12g} {unit}{at}".strip()
    return phrases


def budget_line(budget: Budget) -> str:
    """The whole budget on one line."""
    phrases = limits(budget)
    return "; ".join(phrases.values()) + "; nothing else limited" if phrases else "unlimited"


def failure_line(failure: Failure) -> str:
    """``ivf_pq: over_budget in 2 of 5 settings: 72 bytes per vector``; one reason as an example where they differ."""
    reasons = list(dict.fromkeys(one_line(t.reason) or "no reason was recorded" for t in failure.trials))
    where = f" in {len(failure.trials)} of {failure.tried} settings" if failure.tried > 1 else ""
    example = "e.g. " if len(reasons) > 1 else ""
    first = failure.trials[0]
    return f"{one_line(first.system)}: {first.outcome}{where}: {example}{reasons[0]}"
