"""Vectors on which exact search goes wrong: drawn by hypothesis, from mixtures of what people have."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from retrieval_bench.types import FloatArray

_EXAMPLES = os.environ.get("RETRIEVAL_BENCH_EXAMPLES")


def search_of(examples: int) -> Any:
    """So many examples, the same ones each time; as many new ones as ``scripts/search_counterexamples.sh`` asks for."""
    return settings(max_examples=int(_EXAMPLES or examples), derandomize=_EXAMPLES is None, deadline=None, database=None)


def _mixed(x: FloatArray, q: FloatArray, trait: str, size: float, rng: np.random.Generator) -> None:
    """Give vectors a trait, in place, at a size that is about 1 to 1e6."""
    n, d = x.shape
    some = rng.integers(0, n, max(1, n // 5))
    match trait:
        case "far":
            away = rng.normal(size=d).astype(np.float32) * np.float32(size)
            x += away
            q += away
        case "groups":
            x[n // 2 :] += np.float32(size)
            q[::2] += np.float32(size)
        case "long row":
            x[rng.integers(0, n)] *= np.float32(size)
        case "lengths":
            x *= rng.lognormal(0, np.log1p(size) / 3, (n, 1)).astype(np.float32)
        case "wide":
            x[:, 0] *= np.float32(size)
            q[:, 0] *= np.float32(size)
        case "copies":
            x[some] = x[0]
        case "near copies":
            x[some] = x[0] * (1 + rng.normal(size=(len(some), d)) * 1e-7).astype(np.float32)
        case "asked":
            q[:] = x[rng.integers(0, n, len(q))]
        case "nearly asked":
            q[:] = x[rng.integers(0, n, len(q))] * (1 + rng.normal(size=q.shape) / (1e3 * size)).astype(np.float32)
        case "zeros":
            x[some] = 0
            q[0] = 0
        case "denormal":
            x[some] *= np.float32(1e-38)
            q[0] *= np.float32(1e-38)
        case "whole numbers":
            x[:], q[:] = np.round(x), np.round(q)
        case "across":  # queries at a right angle to what is large in the vectors
            x[:, -1] += np.float32(size)
            q[:, -1] = 0
        case "short queries":
            q /= np.float32(size)
        case _:
            raise ValueError(trait)


TRAITS = (
    "far", "groups", "long row", "lengths", "wide", "copies", "near copies", "asked", "nearly asked", "zeros",
    "denormal", "whole numbers", "across", "short queries",
)  # fmt: skip


@st.composite
def awkward(draw: st.DrawFn, most: int = 400) -> tuple[FloatArray, FloatArray]:
    """(n, d) and (m, d) float32, finite, with one to three traits; n is at most ``most``, and often that."""
    n, d, m = draw(st.sampled_from([2, 40, most, most])), draw(st.sampled_from([1, 2, 3, 8, 33, 70])), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, q = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(m, d)).astype(np.float32)
    for trait in draw(st.lists(st.sampled_from(TRAITS), min_size=1, max_size=3)):
        _mixed(x, q, trait, 10.0 ** draw(st.integers(0, 6)), rng)
    scale = np.float32(draw(st.sampled_from([1, 1, 1, 1e-30, 1e-18, 1e-6, 1e6])))
    return x * scale, q * scale
