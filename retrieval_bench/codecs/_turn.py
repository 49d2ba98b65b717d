"""A random rotation that costs a few bytes: signs and Hadamard transforms by turns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.types import FloatArray

ROUNDS = 4


def random_signs(d: int, seed: int) -> npt.NDArray[np.int8]:
    """(ROUNDS, d) of -1 and 1."""
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (ROUNDS, d))


def turned(vectors: FloatArray, signs: npt.NDArray[np.int8]) -> FloatArray:
    """(n, d) vectors rotated: lengths and products stay, and variance is spread over all dimensions.

    A Hadamard transform needs a power of two, so that each round transforms as many dimensions as that is, at the
    beginning and at the end by turns (as the library of RaBitQ does).
    """
    found = np.array(vectors, np.float32)
    d = found.shape[1]
    width = 1 << (d.bit_length() - 1)
    for number, row in enumerate(signs):
        found *= row
        start = 0 if number % 2 == 0 else d - width
        part = np.ascontiguousarray(found[:, start : start + width])
        _hadamard(part)
        found[:, start : start + width] = part
    return found


def _hadamard(rows: FloatArray) -> None:
    """In place, scaled to be orthonormal."""
    n, width = rows.shape
    half = 1
    while half < width:
        pairs = rows.reshape(n, -1, 2, half)
        difference = pairs[:, :, 0] - pairs[:, :, 1]
        pairs[:, :, 0] += pairs[:, :, 1]
        pairs[:, :, 1] = difference
        half *= 2
    rows *= np.float32(width**-0.5)
