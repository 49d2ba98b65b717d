"""Tensor-train: the table of vectors as a product of three small cores."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, half
from retrieval_bench.codecs._plan import first_fitting
from retrieval_bench.types import FloatArray

_MOST_RANK = 256
_PLACE_BYTES = 4


@registered.register("tensor_train")
class TensorTrain(Codec):
    """TT-SVD (Oseledets 2011) of the table, its rows and dimensions in three factors as in TT-Rec (Yin et al. 2021).

    Row ``(i, j, k)`` is ``first[i] @ second[j] @ third[k]``. Rows are put in order along the principal components
    first, so that near vectors share cores; the place of each row is kept.
    """

    name = "tensor_train"

    def fit(
        self,
        vectors: FloatArray,
        bytes_per_vector: float,
        *,
        seed: int = 0,  # noqa: ARG002 - nothing is random
        traffic: npt.NDArray[np.float64] | None = None,  # noqa: ARG002 - treats all vectors alike
    ) -> None:
        """See Codec."""
        n, d = vectors.shape
        rows, dims = _factors(n), _divisors(d)
        most = min(_MOST_RANK, rows[0] * dims[0], rows[2] * dims[2])

        def cost(rank: int) -> int:
            values = rank * (rows[0] * dims[0] + rank * rows[1] * dims[1] + rows[2] * dims[2])
            needed: int = HALF * values + _PLACE_BYTES * n
            return needed

        rank = first_fitting(self.name, range(most, 0, -1), cost, n=n, bytes_per_vector=bytes_per_vector)
        self._places = _order(vectors, rows)
        self.facts = {"rank": rank, "second": rows[1], "third": rows[2]}
        full = np.zeros((math.prod(rows), d), np.float32)
        full[self._places] = vectors
        # (i, j, k, a, b, c) to (i a, j b, k c): each core has one factor of the rows and one of the dimensions.
        table = full.reshape(*rows, *dims).transpose(0, 3, 1, 4, 2, 5)
        left, rest = _truncated(table.reshape(rows[0] * dims[0], -1), rank)
        middle, last = _truncated(rest.reshape(rank * rows[1] * dims[1], -1), rank)
        self.tables = {
            "first": half(left.reshape(rows[0], dims[0], rank), what=self.name),
            "second": half(middle.reshape(rank, rows[1], dims[1], rank).transpose(1, 0, 2, 3), what=self.name),
            "third": half(last.reshape(rank, rows[2], dims[2]).transpose(1, 0, 2), what=self.name),
        }

    def encode(self, vectors: FloatArray) -> Arrays:  # noqa: ARG002 - the cores hold the vectors
        """``places`` (n,) uint32, where each row stands in the order of the cores."""
        return {"places": self._places}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        places = codes["places"][rows]
        rest, k = np.divmod(places, self.facts["third"])
        i, j = np.divmod(rest, self.facts["second"])
        first, second, third = (self.tables[name].astype(np.float32) for name in ("first", "second", "third"))
        a, b, c, rank = first.shape[1], second.shape[2], third.shape[2], self.facts["rank"]
        found = np.empty((len(places), a * b, c), np.float32)
        for number in np.unique(j):  # rows that share the largest core are multiplied with it together
            same = np.flatnonzero(j == number)
            left = first[i[same]].reshape(-1, rank) @ second[number].reshape(rank, -1)
            found[same] = left.reshape(len(same), a * b, rank) @ third[k[same]]
        return found.reshape(len(places), -1)


def _factors(n: int) -> tuple[int, int, int]:
    """Three nearly equal numbers whose product is n or a little more."""
    first = max(1, round(n ** (1 / 3)))
    second = max(1, math.isqrt(-(-n // first)))
    return first, second, -(-n // (first * second))


def _divisors(d: int) -> tuple[int, int, int]:
    """Three factors of d, as equal as its divisors allow."""
    first = max(x for x in range(1, round(d ** (1 / 3)) + 1) if d % x == 0)
    second = max(x for x in range(1, math.isqrt(d // first) + 1) if (d // first) % x == 0)
    return first, second, d // first // second


def _order(vectors: FloatArray, rows: tuple[int, int, int]) -> npt.NDArray[np.uint32]:
    """(n,) place of each row: cut along the first component, the pieces along the second, theirs along the third."""
    spread = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))[1][:, ::-1][:, :3]
    along = vectors @ spread.astype(np.float32)
    order = np.argsort(along[:, 0], kind="stable")
    for axis, size in ((1, rows[1] * rows[2]), (2, rows[2])):
        if axis < along.shape[1]:
            piece = np.arange(len(order)) // size
            order = order[np.lexsort((along[order, axis], piece))]
    places = np.empty(len(order), np.uint32)
    places[order] = np.arange(len(order), dtype=np.uint32)
    return places


def _truncated(matrix: FloatArray, rank: int) -> tuple[FloatArray, FloatArray]:
    """(p, rank) orthonormal and (rank, q): the best product of this rank, by the smaller Gram matrix; padded with 0."""
    p, q = matrix.shape
    if p <= q:
        left = np.linalg.eigh((matrix @ matrix.T).astype(np.float64))[1][:, ::-1][:, :rank].astype(np.float32)
        found = left, left.T @ matrix
    else:
        right = np.linalg.eigh((matrix.T @ matrix).astype(np.float64))[1][:, ::-1][:, :rank].astype(np.float32)
        found = matrix @ right, right.T
    missing = rank - found[0].shape[1]
    return np.pad(found[0], ((0, 0), (0, missing))), np.pad(found[1], ((0, missing), (0, 0)))
