"""For bench_gpu.py: the roofs of a card, and a measured piece of work beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from retrieval_bench.device.choose import Precision
from retrieval_bench.measure.clock import timed

NEAR = 0.6  # of a roof: from here on it is what a kernel waits for


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measured piece of work; seconds are the median, the bytes and operations the fewest it needs."""

    work: str
    seconds: float
    rate: str
    target: str = ""
    met: bool | None = None
    bytes: float = 0.0
    operations: float = 0.0
    roof_share: float | None = None
    waits_for: str = ""
    error: float | None = None
    right: bool = True
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where it runs, how large, and the measured roofs (bytes and operations per second)."""

    device: torch.device
    precision: Precision
    quick: bool
    bandwidth: float
    rate: float

    def size(self, full: int, quick: int) -> int:
        """Of the work."""
        return quick if self.quick else full

    def seconds(self, call: Callable[[], object], least: int = 10) -> float:
        """Median of repeated calls, each finished on the device, after two that warm up."""
        return median_seconds(call, self.device, 3 if self.quick else least)

    def line(self, work: str, seconds: float, rate: str, *, moved: float, operations: float, **facts: object) -> Line:
        """With its share of the nearer roof, and what it waits for."""
        by_memory, by_products = moved / self.bandwidth, operations / self.rate
        share = max(by_memory, by_products) / seconds
        nearer = "memory" if by_memory > by_products else "arithmetic"
        waits = (
            nearer if share >= NEAR else f"neither roof ({nearer} is at {share:.0%}): launches, selection or latency"
        )
        return Line(
            work=work, seconds=seconds, rate=rate, bytes=moved, operations=operations, roof_share=share,
            waits_for=waits, **facts,  # type: ignore[arg-type]
        )  # fmt: skip


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    def once() -> None:
        call()
        finish(device)

    once()
    once()
    return median(timed(once)[1] for _ in range(repeats))


def roofs(device: torch.device, precision: Precision, quick: bool) -> tuple[float, float]:
    """Bytes per second of a copy, and operations per second of a matrix product in the precision."""
    source = torch.randn((1 << 22) if quick else (1 << 28), device=device)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / median_seconds(lambda: target.copy_(source), device, 5)
    side = 512 if quick else 8192
    a, b = (torch.randn((side, side), device=device).to(getattr(torch, precision)) for _ in range(2))
    return copied, 2 * side**3 / median_seconds(lambda: a @ b, device, 5)
