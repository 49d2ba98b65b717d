"""How fast an encoder is at each batch size and length, what energy it takes, and which batch size to use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from retrieval_bench.measure.clock import Effort, batches
from retrieval_bench.measure.energy import Meter, joules
from retrieval_bench.statistics import median_interval


@dataclass(frozen=True, kw_only=True)
class Point:
    """One batch size and length in words.

    Attributes:
        batch: texts at once.
        words: of each text.
        rate: texts per second, the median.
        low: of its 95 % interval.
        high: likewise.
        joules: per text, what all counters of the machine counted meanwhile; None where there is none.
    """

    batch: int
    words: int
    rate: float
    low: float
    high: float
    joules: float | None = None


def landscape(
    encode: Callable[[Sequence[str]], object], *, sizes: Sequence[int] = (1, 4, 16, 64),
    words: Sequence[int] = (8, 64, 200), effort: Effort | None = None, seed: int = 0, counters: Sequence[Meter] = (),
) -> list[Point]:  # fmt: skip
    """Time an encoder on made-up texts of every length in batches of every size.

    Args:
        encode: takes a list of texts; the whole list is one batch.
        sizes: texts per batch.
        words: words per text.
        effort: how long to measure each point.
        seed: of the made-up texts.
        counters: of energy, read while each point is measured once more.
    """
    effort = effort or Effort(seconds=0.5)
    rng = np.random.default_rng(seed)
    stock = ["index", "vector", "query", "memory", "budget", "recall", "search", "corpus", "of", "the", "a", "fast"]
    found = []
    for length in words:
        for size in sizes:
            texts = [" ".join(rng.choice(stock, length)) for _ in range(size)]
            call = partial(encode, texts)
            call()
            rates = sorted(size / s for s in batches(call, effort))
            low, high = median_interval(rates)
            spent = None
            if counters:
                used = joules(call, list(counters), seconds=effort.seconds)
                spent = sum(used.joules.values()) / (used.calls * size)
            found.append(
                Point(batch=size, words=length, rate=float(np.median(rates)), low=low, high=high, joules=spent)
            )
    return found


def best_batch(points: Sequence[Point]) -> dict[int, int]:
    """By length, the smallest batch size whose interval reaches the fastest one's median: more gains nothing seen."""
    chosen = {}
    for length in dict.fromkeys(p.words for p in points):
        here = [p for p in points if p.words == length]
        fastest = max(here, key=lambda p: p.rate)
        chosen[length] = min(p.batch for p in here if p.high >= fastest.rate or p is fastest)
    return chosen
