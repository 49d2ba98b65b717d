"""What is said of timings that were made while the machine did other work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from retrieval_bench.types import Contention, TrialRecord


def unquiet_note(windows: Mapping[str, Contention]) -> tuple[str, ...]:
    """One line on the windows of a trial that were not quiet; none where all were."""
    parts = [f"{window.said} ({what})" for what, window in windows.items() if not window.quiet]
    if not parts:
        return ()
    return (f"The machine was not quiet: of the time of the processors timed on, {'; '.join(parts)}.",)


def unquiet_reason(window: Contention, tries: int) -> str:
    """What to add to a reason that rests on a window; empty where that was quiet."""
    if window.quiet:
        return ""
    return f"; measured {tries} times, and never on a quiet machine: {window.said}"


def unquiet_answer(records: Iterable[TrialRecord]) -> str:
    """A sentence on the trials of an answer, to follow others; empty where the machine was quiet."""
    timed = [record for record in records if record.contention]
    busy = [record for record in timed if not all(window.quiet for window in record.contention.values())]
    if not busy:
        return ""
    most = max(window.taken for record in busy for window in record.contention.values())
    return (
        f" The machine was not quiet: up to {most:.0%} of the time of its processors went elsewhere, in {len(busy)} of "
        f"{len(timed)} trials, so their speeds are lower bounds."
    )


def hopeful_speed(record: TrialRecord) -> float:
    """Batch throughput, as far as it may have been higher on a quiet machine."""
    window = record.contention.get("batch")
    return (record.value("batch_qps") or 0.0) / (1 - min(0.9, window.taken if window and not window.quiet else 0.0))
