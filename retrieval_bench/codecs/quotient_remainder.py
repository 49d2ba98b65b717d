"""Quotient and remainder: a row is the sum of two shared vectors, named by its number divided and its rest."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, half
from retrieval_bench.codecs._plan import first_fitting
from retrieval_bench.types import FloatArray

_ROUNDS = 4


@registered.register("quotient_remainder")
class QuotientRemainder(Codec):
    """Shi et al. 2020: no two rows share both vectors. Fitted by least squares, since the vectors are given."""

    name = "quotient_remainder"

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
        divisors = range(n, max(1, math.isqrt(n)) - 1, -1)
        divisor = first_fitting(
            self.name, divisors, lambda b: (b + -(-n // b)) * HALF * d, n=n, bytes_per_vector=bytes_per_vector
        )
        quotient, remainder = np.divmod(np.arange(n), divisor)
        first, second = np.zeros((-(-n // divisor), d)), np.zeros((divisor, d))
        for _ in range(_ROUNDS):
            first = _means(vectors - second[remainder], quotient, len(first))
            second = _means(vectors - first[quotient], remainder, len(second))
        self.facts = {"rows": n, "divisor": divisor}
        self.tables = {"quotients": half(first, what=self.name), "remainders": half(second, what=self.name)}

    def encode(self, vectors: FloatArray) -> Arrays:  # noqa: ARG002 - a row's number is its code
        """Nothing."""
        return {}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:  # noqa: ARG002 - a row's number is its code
        """See Codec."""
        numbers = np.arange(*rows.indices(self.facts["rows"])) if isinstance(rows, slice) else rows
        quotient, remainder = np.divmod(numbers, self.facts["divisor"])
        first, second = self.tables["quotients"], self.tables["remainders"]
        return first[quotient].astype(np.float32) + second[remainder]


def _means(values: npt.NDArray[np.float64], group: npt.NDArray[np.intp], groups: int) -> npt.NDArray[np.float64]:
    sums = np.zeros((groups, values.shape[1]))
    np.add.at(sums, group, values)
    return sums / np.maximum(np.bincount(group, minlength=groups), 1)[:, None]
