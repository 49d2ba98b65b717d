"""Uniform scalar quantizers whose step is learned for each dimension."""

from __future__ import annotations

import numpy as np

from retrieval_bench.codecs._bits import Bytes
from retrieval_bench.types import FloatArray

# Steps, in standard deviations, that suit a Gaussian with 2^bits levels (Max, IRE Transactions 1960, table 2, and its
# continuation); where the learning starts.
_GAUSSIAN_STEP = {1: 1.596, 2: 0.9957, 4: 0.3352, 8: 0.0308}
_ROUNDS = 6
_MOST_ROWS = 1 << 15


def learned_steps(values: FloatArray, bits: int) -> FloatArray:
    """(r,) float32 steps of least squared error for (n, r) centred values, by turns of rounding and least squares."""
    rows = values[:: max(1, len(values) // _MOST_ROWS)]
    steps = np.asarray(_GAUSSIAN_STEP[bits] * rows.std(axis=0, dtype=np.float64), np.float32)
    for _ in range(_ROUNDS):
        levels = _levels(quantized(rows, steps, bits), bits)
        squares = np.einsum("nr,nr->r", levels, levels)
        steps = np.einsum("nr,nr->r", rows, levels) / squares
    return np.maximum(steps, 0)


def quantized(values: FloatArray, steps: FloatArray, bits: int) -> Bytes:
    """(n, r) values to numbers of levels, 0 to 2^bits - 1; the nearest level each."""
    inverse = np.divide(1, steps, out=np.zeros_like(steps), where=steps > 0)
    most = (1 << bits) - 1
    numbers: Bytes = np.clip(np.floor(values * inverse + (most + 1) / 2), 0, most).astype(np.uint8)
    return numbers


def restored(numbers: Bytes, steps: FloatArray, bits: int) -> FloatArray:
    """(n, r) float32 values of the levels."""
    levels = _levels(numbers, bits)
    levels *= steps
    return levels


def _levels(numbers: Bytes, bits: int) -> FloatArray:
    """Levels in steps, symmetric about zero: half a step on either side are the two middle ones."""
    levels = numbers.astype(np.float32)
    levels -= ((1 << bits) - 1) / 2
    return levels
