"""Raw samples to Measurements: their full names, units, directions and intervals are decided here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval_bench.measure.clock import Concurrent
from retrieval_bench.quality import mean
from retrieval_bench.runner.hidden import Hidden
from retrieval_bench.runner.job import BuildFacts
from retrieval_bench.statistics import mean_interval, median_interval, percentile_interval
from retrieval_bench.types import Direction, Measurement

LATENCY_PERCENTILES = (50.0, 95.0, 99.0, 99.9)
MEMORY_FIGURES = ("analytic_bytes", "artifact_bytes", "private_bytes", "device_bytes")
ENGINE = 64 << 20  # bytes that an engine may take once for a process, which copies of an index do not show
PAGES = 64 << 10  # bytes of pages that any reading may hold besides
AGREEMENT = 0.05  # the host figures agree within this share, or the record explains the difference


def latency_name(percentile: float) -> str:
    """``single_p95_ms`` for 95."""
    return f"single_p{percentile:g}_ms"


def throughput(queries: int, seconds: Sequence[float]) -> Measurement:
    """Queries per second of whole batches, the median of the repeats."""
    return _median("batch_qps", "1/s", [queries / s for s in seconds], direction="higher")


def samples_for(percentile: float) -> int:
    """Fewest samples that show a percentile: one of them lies beyond it."""
    return math.ceil(round(100 / (100 - percentile), 6))


def latencies(seconds: npt.NDArray[np.float64], *, budgeted: float = 50.0) -> list[Measurement]:
    """Percentiles of single-query latency: the usual ones and the budgeted one, as far as the samples show them."""
    ms = seconds * 1e3
    found = []
    for percentile in sorted({*LATENCY_PERCENTILES, budgeted}):
        if len(ms) < samples_for(percentile) and percentile > 50:
            continue
        low, high = _known(percentile_interval(ms, percentile))
        found.append(
            Measurement(
                name=latency_name(percentile), unit="ms", direction="lower", statistic="percentile",
                value=float(np.percentile(ms, percentile)), low=low, high=high, spread=_spread(ms), n=len(ms),
            )
        )  # fmt: skip
    return found


def concurrency(clients: int, found: Concurrent) -> list[Measurement]:
    """Queries per second of concurrent clients, and how evenly several of them were served."""
    rate = _median(f"concurrent_qps@{clients}", "1/s", found.rates, direction="higher")
    if clients == 1:
        return [rate]
    return [rate, once(f"concurrent_fairness@{clients}", "1", found.fairness, direction="higher")]


def quality(values: Mapping[str, Mapping[str, npt.NDArray[np.float64]]]) -> list[Measurement]:
    """Means over queries with their bootstrap intervals; names of tuning figures start with ``tune/``."""
    found = []
    for split, columns in values.items():
        for metric, per_query in columns.items():
            judged = per_query[~np.isnan(per_query)]
            if len(judged) == 0 or metric == "latency_ms":
                continue
            low, high = _known(mean_interval(judged))
            found.append(
                Measurement(
                    name=metric if split == "test" else f"{split}/{metric}", unit="1",
                    direction="neither" if metric.startswith("judged@") else "higher",
                    statistic="mean", value=mean(judged), low=low, high=high, spread=_spread(judged),
                    n=len(judged),
                )
            )  # fmt: skip
    return found


def memory(facts: BuildFacts, private: int, load_seconds: float, device: int | None) -> list[Measurement]:
    """The build's cost and the memory figures side by side; those of the device are peaks, where there is one."""
    found = [
        once("build_seconds", "s", facts.build_seconds),
        once("build_peak_bytes", "byte", facts.peak_bytes),
        once("load_seconds", "s", load_seconds),
        exact("analytic_bytes", "byte", facts.memory.total),
        exact("artifact_bytes", "byte", facts.saved_bytes),
        once("private_bytes", "byte", private),
    ]
    on_device = {"build_device_bytes": facts.device_peak_bytes, "device_bytes": device}
    return found + [once(name, "byte", peak) for name, peak in on_device.items() if peak is not None]


def memory_notes(found: Sequence[Measurement]) -> tuple[str, ...]:
    """One line for each host figure that is further off the analytic bytes than AGREEMENT, with the likely cause."""
    values = {m.name: m.value for m in found}
    analytic = values.get("analytic_bytes")
    if not analytic:
        return ()
    causes = {
        "artifact_bytes": "file headers, parameters, and structures that are packed differently on disk",
        "private_bytes": "the engine's own objects, work space and allocator pages, which do not grow with the corpus, "
        "or pages shared with the file",
    }
    notes = []
    for name, cause in causes.items():
        difference = values.get(name, analytic) - analytic
        if abs(difference) > AGREEMENT * analytic:
            notes.append(
                f"{name} is {difference / analytic:+.0%} ({difference / 2**20:+.1f} MiB) off analytic: {cause}."
            )
    return tuple(notes)


def scorer_calls(facts: BuildFacts, serving: int, queries: int) -> list[Measurement]:
    """Calls of a system's scorer: by the build, and per query over a batch of queries; none for one without."""
    if facts.scorer_calls is None and not serving:
        return []
    return [
        exact("build_scorer_calls", "call", facts.scorer_calls or 0),
        exact("scorer_calls", "call", serving / queries),
    ]


def uncounted(reported: int, hidden: Hidden | None) -> str:
    """What copies of an index hold beyond its account (see ``hidden``); empty where that is right or was not asked."""
    if hidden is None or hidden.bytes <= AGREEMENT * reported + hidden.error:
        return ""
    return f"each copy of it holds {reported + hidden.bytes:,.0f} bytes of its own and it reports {reported:,}"


def unreported(reported: int, private: int) -> str:
    """Why an index's own account of its memory is not believed; empty where it is.

    Args:
        reported: its analytic bytes.
        private: private bytes of its process after answering queries, less those before it was loaded.
    """
    allowed = reported * (1 + AGREEMENT)
    if private > allowed + ENGINE:
        return f"it holds {private:,} bytes of private memory and reports {reported:,}"
    return ""


def doubtful(reported: int, private: int) -> bool:
    """Whether private bytes are so far above the reported ones that copies should tell whose they are."""
    return private > reported * (1 + AGREEMENT) + PAGES


def exact(name: str, unit: str, value: float, *, direction: Direction = "lower") -> Measurement:
    """A count, or what follows from counts: the same whenever it is made again, so that its interval has no width."""
    return Measurement(
        name=name, unit=unit, direction=direction, statistic="exact", value=value, low=value, high=value
    )  # fmt: skip


def once(name: str, unit: str, value: float, *, direction: Direction = "lower") -> Measurement:
    """What was measured once and would come out otherwise another time: no interval can be given."""
    return Measurement(name=name, unit=unit, direction=direction, statistic="once", value=value, low=None, high=None)


def _median(name: str, unit: str, samples: Sequence[float], *, direction: Direction) -> Measurement:
    """Of several samples their median with its interval; of one itself, without."""
    if len(samples) == 1:
        return once(name, unit, samples[0], direction=direction)
    low, high = median_interval(samples)
    return Measurement(
        name=name, unit=unit, direction=direction, statistic="median", value=float(np.median(samples)), low=low,
        high=high, spread=_spread(samples), n=len(samples), samples=tuple(samples),
    )  # fmt: skip


def _known(interval: tuple[float, float]) -> tuple[float | None, float | None]:
    """An interval as a record holds it: None for ends that cannot be told."""
    low, high = interval
    return (None, None) if math.isnan(low) or math.isnan(high) else (low, high)


def _spread(samples: Sequence[float] | npt.NDArray[np.float64]) -> float:
    low, high = np.percentile(samples, [25, 75])
    return float(high - low)
