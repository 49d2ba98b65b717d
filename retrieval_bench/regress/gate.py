"""Whether head is worse than base: quality, order, memory and speed of one system, judged from what both gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.comparison import Finding, asked_again, judge_quality, judge_speed
from retrieval_bench.contract import ContractError, check_hits
from retrieval_bench.statistics import holm, rounds_needed
from retrieval_bench.types import Hits

LEVEL = 0.05
MEMORY = {"analytic_bytes": 0.01, "private_bytes": 0.05}
"""Growth that is allowed: analytic bytes are exact, private ones vary by some pages from process to process."""
SLOWER = 1.05  # a slowdown that is to be seen in 95 of 100 cases, as far as the noise allows
PILOT, MOST = 15, 120  # first rounds, which plan the others; most rounds of a look
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
    seconds: npt.NDArray[np.float64], once_more: Callable[[int], float], *, decided: bool, per: int = 1,
    level: float = LEVEL,
) -> Finding:  # fmt: skip
    """Head's speed against base's, called worse with an error of half the level.

    Args:
        seconds: (rounds, 2) of base and head, measured in turns in one pair of processes.
        once_more: measures a new pair of processes (see ``comparison.again``): how many times faster head is.
        decided: whether the sequential test, at half the level, tells the speeds apart.
        per: queries answered in those seconds.
        level: error allowed to the gate.
    """
    found = judge_speed(seconds[:, 1], seconds[:, 0], per=per, decided=decided)
    if found.word != "worse":
        return found  # a head that is faster needs no second look: the gate does not claim it
    return asked_again(found, once_more, level=level)  # of two sides: half of it falls to "worse"


def planned_rounds(base: npt.ArrayLike, head: npt.ArrayLike, *, looks: int) -> int:
    """Rounds of each look, from the spread of pilot rounds; which revision is ahead in them does not count."""
    return min(MOST, max(PILOT, -(-rounds_needed(base, head, ratio=SLOWER, power=0.95) // looks)))


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
