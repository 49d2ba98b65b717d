"""Which layout of a code fits the bytes, and which of those that fit loses least: arithmetic, done before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import BudgetError, DataError
from retrieval_bench.types import FloatArray

L = TypeVar("L")
_MOST_ROWS = 1 << 16  # variances of some hundred dimensions do not change visibly with more
_STEPS = (1, 2, 3, 4, 5, 6, 7)  # times powers of two: the ranks that are tried


def first_fitting(name: str, layouts: Iterable[L], cost: Callable[[L], int], *, n: int, bytes_per_vector: float) -> L:
    """The first layout of those in order of preference that costs no more than the bytes allowed.

    Args:
        name: of the codec, for the error.
        layouts: best first.
        cost: bytes of codes and tables of a layout.
        n: number of vectors.
        bytes_per_vector: allowed, on average.

    Raises:
        BudgetError: none fits; says how many bytes the smallest needs.
    """
    allowed = in_all(bytes_per_vector, n)
    smallest: int | None = None
    for layout in layouts:
        needed = cost(layout)
        if needed <= allowed:
            return layout
        smallest = needed if smallest is None else min(smallest, needed)
    if smallest is None:
        raise DataError(f"{name}: {n} vectors are too few to learn a code from")
    raise BudgetError(
        f"{name} needs at least {smallest} bytes ({smallest / n:.2f} per vector) for codes and tables; "
        f"{allowed} are left for them ({allowed / n:.2f} per vector)"
    )


def in_all(bytes_per_vector: float, n: int) -> int:
    """Whole bytes for n vectors; a share that was divided by n comes back as what it was."""
    return int(bytes_per_vector * n + 1e-6)


def variances(vectors: FloatArray) -> npt.NDArray[np.float64]:
    """(d,) variances along the principal components of centred (n, d) vectors, largest first, all above zero."""
    rows = vectors[:: max(1, len(vectors) // _MOST_ROWS)].astype(np.float64)
    found = np.linalg.eigvalsh(rows.T @ rows / len(rows))[::-1]
    floor = max(float(found[0]), float(np.finfo(np.float32).tiny)) * 1e-9
    spread: npt.NDArray[np.float64] = np.maximum(found, floor)
    return spread


def lost(spread: npt.NDArray[np.float64], rank: int, bits: float, *, adaptive: bool = True) -> float:
    """Expected squared error of a vector kept in ``rank`` principal components with ``bits`` in all.

    Rate-distortion theory of Gaussian components: what is dropped, and ``4^(-bits / rank)`` of the kept components'
    geometric mean where the code adapts to their variances, of their mean where a rotation has made them alike.
    """
    kept = spread[:rank]
    typical = float(np.exp(np.log(kept).mean()) if adaptive else kept.mean())
    return float(spread[rank:].sum() + rank * typical * 4.0 ** (-bits / rank))


def ranks(d: int) -> list[int]:
    """Ranks worth trying below and at d: a few per octave."""
    found = {step << shift for step in _STEPS for shift in range(d.bit_length()) if step << shift < d}
    return [*sorted(found), d]
