"""Vectors on which exact search goes wrong: drawn by hypothesis, from mixtures of what people have."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from retrieval_bench.types import FloatArray, IntArray

Test = TypeVar("Test", bound=Callable[..., None])
_EXAMPLES = os.environ.get("RETRIEVAL_BENCH_EXAMPLES")


def search_of(examples: int) -> Callable[[Test], Test]:
    """So many examples, the same ones each time; as many new ones as ``scripts/search_counterexamples.sh`` asks for."""
    return settings(
        max_examples=int(_EXAMPLES or examples), derandomize=_EXAMPLES is None, deadline=None, database=None
    )


Change = Callable[[FloatArray, FloatArray, np.float32, np.random.Generator], None]


def _some(x: FloatArray, rng: np.random.Generator) -> IntArray:
    return rng.integers(0, len(x), max(1, len(x) // 5))


def _far(x: FloatArray, q: FloatArray, size: np.float32, rng: np.random.Generator) -> None:
    away = (rng.normal(size=x.shape[1:]) * size).astype(np.float32)
    x += away
    q += away


def _groups(x: FloatArray, q: FloatArray, size: np.float32, _: np.random.Generator) -> None:
    x[len(x) // 2 :] += size
    q[::2] += size


def _long_row(x: FloatArray, _q: FloatArray, size: np.float32, rng: np.random.Generator) -> None:
    x[rng.integers(0, len(x))] *= size


def _lengths(x: FloatArray, _q: FloatArray, size: np.float32, rng: np.random.Generator) -> None:
    x *= rng.lognormal(0, np.log1p(size) / 3, (len(x), 1)).astype(np.float32)


def _wide(x: FloatArray, q: FloatArray, size: np.float32, _: np.random.Generator) -> None:
    x[:, 0] *= size
    q[:, 0] *= size


def _copies(x: FloatArray, _q: FloatArray, _size: np.float32, rng: np.random.Generator) -> None:
    x[_some(x, rng)] = x[0]


def _near_copies(x: FloatArray, _q: FloatArray, _size: np.float32, rng: np.random.Generator) -> None:
    some = _some(x, rng)
    x[some] = x[0] * (1 + rng.normal(size=(len(some), x.shape[1])) * 1e-7).astype(np.float32)


def _asked(x: FloatArray, q: FloatArray, _size: np.float32, rng: np.random.Generator) -> None:
    q[:] = x[rng.integers(0, len(x), len(q))]


def _nearly_asked(x: FloatArray, q: FloatArray, size: np.float32, rng: np.random.Generator) -> None:
    q[:] = x[rng.integers(0, len(x), len(q))] * (1 + rng.normal(size=q.shape) / (1e3 * size)).astype(np.float32)


def _zeros(x: FloatArray, q: FloatArray, _size: np.float32, rng: np.random.Generator) -> None:
    x[_some(x, rng)], q[0] = 0, 0


def _denormal(x: FloatArray, q: FloatArray, _size: np.float32, rng: np.random.Generator) -> None:
    x[np.unique(_some(x, rng))] *= np.float32(1e-38)
    q[0] *= np.float32(1e-38)


def _whole_numbers(x: FloatArray, q: FloatArray, _size: np.float32, _: np.random.Generator) -> None:
    x[:], q[:] = np.round(x), np.round(q)


def _across(x: FloatArray, q: FloatArray, size: np.float32, _: np.random.Generator) -> None:
    x[:, -1] += size  # what is large in the vectors is at a right angle to the queries
    q[:, -1] = 0


def _short_queries(_x: FloatArray, q: FloatArray, size: np.float32, _: np.random.Generator) -> None:
    q /= size


CHANGES: tuple[Change, ...] = (
    _far, _groups, _long_row, _lengths, _wide, _copies, _near_copies, _asked, _nearly_asked, _zeros, _denormal,
    _whole_numbers, _across, _short_queries,
)  # fmt: skip


@st.composite
def awkward(draw: st.DrawFn, most: int = 400) -> tuple[FloatArray, FloatArray]:
    """(n, d) and (m, d) float32, finite, with one to three traits; n is at most ``most``, and often that."""
    n, d, m = (
        draw(st.sampled_from([2, 40, most, most])),
        draw(st.sampled_from([1, 2, 3, 8, 33, 70])),
        draw(st.integers(1, 6)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, q = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(m, d)).astype(np.float32)
    for change in draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)):
        change(x, q, np.float32(10.0 ** draw(st.integers(0, 6))), rng)
    scale = np.float32(draw(st.sampled_from([1, 1, 1, 1, 1e-30, 1e-18, 1e-6, 1e6, 1e20])))
    return x * scale, q * scale
