"""LVQ: exact byte counts, and errors within a cell of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench.codecs.lvq import Lvq, fit_lvq
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.types import FloatArray

LEVELS = [(4, 0), (8, 0), (4, 4), (4, 8), (8, 8)]


def _vectors(n: int, d: int, seed: int = 0) -> FloatArray:
    return (np.random.default_rng(seed).standard_normal((n, d)) + 2).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), d=st.integers(1, 33), levels=st.sampled_from(LEVELS), seed=st.integers(0, 9))
def test_every_value_is_within_half_a_cell(n: int, d: int, levels: tuple[Any, Any], seed: int) -> None:
    vectors = _vectors(n, d, seed)
    codec = fit_lvq(vectors, bits=levels[0], residual_bits=levels[1])
    encoded = codec.encode(vectors)
    cell = encoded.grid[:, :1] / (2 ** levels[1] - 1 if levels[1] else 1)
    assert (np.abs(codec.decode(encoded) - vectors) <= cell * 0.501 + 1e-5).all()
    assert encoded.nbytes == n * codec.bytes_per_vector()


@pytest.mark.parametrize(("levels", "expected"), [((4, 0), 25), ((8, 0), 41), ((4, 4), 42), ((4, 8), 58), ((8, 8), 74)])
def test_bytes_of_33_dimensions(levels: tuple[Any, Any], expected: int) -> None:
    codec = fit_lvq(_vectors(10, 33), bits=levels[0], residual_bits=levels[1])
    assert codec.bytes_per_vector() == expected


def test_more_bits_are_more_exact() -> None:
    vectors = _vectors(500, 48)
    errors = []
    for bits, residual_bits in LEVELS:
        codec: Any = fit_lvq(vectors, bits=bits, residual_bits=residual_bits)  # type: ignore[arg-type]
        errors.append(float(np.square(codec.decode(codec.encode(vectors)) - vectors).mean()))
    four, eight, four_four, four_eight, eight_eight = errors
    assert four > four_four > four_eight > eight_eight
    assert four > eight > four_eight


def test_constant_and_identical_vectors_come_back() -> None:
    vectors = np.concatenate([np.full((2, 6), 3), np.full((2, 6), -1)]).astype(np.float32)
    codec = fit_lvq(vectors)
    np.testing.assert_allclose(codec.decode(codec.encode(vectors)), vectors, atol=1e-6)


def test_what_cannot_be_coded_is_refused() -> None:
    with pytest.raises(UsageError, match="8x4 bits is none of"):
        fit_lvq(_vectors(3, 4), bits=8, residual_bits=4)
    with pytest.raises(DataError, match=r"\(n, 4\) are needed"):
        Lvq(mean=np.zeros(4, np.float32)).encode(_vectors(3, 5))
