"""Native inner loops, compiled where there is a C compiler, each with a numpy form that gives the same answers."""

from __future__ import annotations

from retrieval_bench.kernels._native import description, kernel

__all__ = ["description", "kernel"]
