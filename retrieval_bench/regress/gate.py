"""Whether head is worse than base: quality, order, memory and speed of one system, judged from what both gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from retrieval_bench.comparison import Finding, judge_quality, judge_speed, over_pairs
from retrieval_bench.contract import ContractError, check_hits
from retrieval_bench.statistics import fresh_pairs, holm, plain, rounds_needed
from retrieval_bench.types import Hits

LEVEL = 0.05
MEMORY = {"analytic_bytes": 0.01, "private_bytes": 0.05}
"""Growth that is allowed: analytic bytes are exact, private ones vary by some pages from process to process."""
SLOWER, POWER = 1.05, 0.97
"""A slowdown, and how often it is to be seen where two processes of equal code differ by hardly more."""
PILOT, MOST = 15, 120  # first rounds, which plan the others; most rounds of a pair of processes
_SMALL = 1 << 20  # bytes of growth that are never blamed: an allocator's arena


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one revision gave.

    Attributes:
        hits: its answers to the held-out queries.
        values: by metric, (m,) per-query quality of them.
        memory: ``analytic_bytes`` and ``private_bytes``.
    """

    hits: Hits
    values: dict[str, npt.NDArray[np.float64]]
    memory: dict[str, int]


def complaints(base: Side, head: Side, speed: Finding, *, documents: int, level: float = LEVEL) -> list[str]:
    """What is worse in head, one line each; empty when nothing is shown to be.

    The error of blaming unchanged code is ``level`` in all: half of it for speed (see ``judged_speed``), half for all
    quality measurements together (Holm). What is compared exactly adds none.

    Args:
        base: what the base revision gave.
        head: what the head gave, on the same queries.
        speed: head against base.
        documents: rows of the corpus.
        level: error allowed.
    """
    m, k = base.hits.rows.shape
    try:
        check_hits(head.hits, m, k, documents)
    except ContractError as error:
        return [f"answers: {error}"]
    found = [*_quality(base, head, level / 2), *_memory(base, head)]
    if speed.word == "worse":
        found.append(speed.text)
    return found


def judged_speed(
    seconds: npt.NDArray[np.float64], once_more: Callable[[int], float | None], *, per: int = 1, level: float = LEVEL
) -> Finding:
    """Head's speed against base's, called worse with an error of half the level.

    One pair of processes settles it only where it is plain (see ``statistics.processes``). Else pairs are measured
    until they show that head is slower, or that it is not by SLOWER; that head is faster is not asked.

    Args:
        seconds: (rounds, 2) of base and head, measured in turns in one pair of processes.
        once_more: measures a new pair, given how many were measured before: how many times faster head is.
        per: queries answered in those seconds.
        level: error allowed to the gate.
    """
    found = judge_speed(seconds[:, 1], seconds[:, 0], per=per)
    if plain(found.low, found.high):
        return found

    def slower(before: int) -> float | None:
        faster = once_more(before)
        return None if faster is None else 1 / faster

    pairs = fresh_pairs(slower, first=[1 / found.change], level=level / 2, power=POWER)
    return over_pairs(replace(found, different=False), pairs, turned=True)


def planned_rounds(base: npt.ArrayLike, head: npt.ArrayLike) -> int:
    """Rounds for a pair of processes, from the spread of pilot rounds: as many as see SLOWER where only they err.

    Which revision is ahead in them does not count.
    """
    return min(MOST, max(PILOT, rounds_needed(base, head, ratio=SLOWER, power=POWER)))


def _quality(base: Side, head: Side, level: float) -> Iterator[str]:
    findings: list[Finding] = [
        judge_quality(name, head.values[name], values) for name, values in base.values.items() if name in head.values
    ]
    for finding, p in zip(findings, holm([f.p for f in findings]), strict=True):
        if p <= level and finding.word == "worse":
            yield finding.text


def _memory(base: Side, head: Side) -> Iterator[str]:
    for name, allowed in MEMORY.items():
        before, after = base.memory[name], head.memory[name]
        exact = name == "analytic_bytes"
        if after - before > max(allowed * before, 0 if exact else _SMALL):
            yield f"{name}: {after:,} bytes, {before:,} before ({after / max(before, 1) - 1:+.1%})"
