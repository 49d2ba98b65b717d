"""The hashing trick: rows that fall into one bucket share a vector. The floor that every method must beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, half
from retrieval_bench.codecs._plan import first_fitting, in_all
from retrieval_bench.types import FloatArray, IntArray

_MULTIPLIER = 2_654_435_761  # Knuth's, of multiplicative hashing in 32 bits


@registered.register("hashing")
class Hashing(Codec):
    """Weinberger et al. 2009. A row needs no code: its number is hashed; a bucket holds the mean of its rows."""

    name = "hashing"

    def fit(
        self,
        vectors: FloatArray,
        bytes_per_vector: float,
        *,
        seed: int = 0,
        traffic: npt.NDArray[np.float64] | None = None,  # noqa: ARG002 - treats all vectors alike
    ) -> None:
        """See Codec."""
        n, d = vectors.shape
        most = min(n, max(1, in_all(bytes_per_vector, n) // (HALF * d)))
        buckets = first_fitting(self.name, [most], lambda b: b * HALF * d, n=n, bytes_per_vector=bytes_per_vector)
        self.facts = {"rows": n, "buckets": buckets, "seed": seed % (1 << 31)}
        of_row = self._bucket(slice(0, n))
        sums = np.zeros((buckets, d))
        np.add.at(sums, of_row, vectors)
        means = sums / np.maximum(np.bincount(of_row, minlength=buckets), 1)[:, None]
        self.tables = {"buckets": half(means, what=self.name)}

    def _bucket(self, rows: Rows) -> IntArray:
        numbers = np.arange(*rows.indices(self.facts["rows"])) if isinstance(rows, slice) else rows
        hashed = ((numbers + self.facts["seed"]) * _MULTIPLIER) & 0xFFFFFFFF
        return np.asarray((hashed * self.facts["buckets"]) >> 32, np.int64)

    def encode(self, vectors: FloatArray) -> Arrays:  # noqa: ARG002 - a row's number is its code
        """Nothing."""
        return {}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:  # noqa: ARG002 - a row's number is its code
        """See Codec."""
        return self.tables["buckets"][self._bucket(rows)].astype(np.float32)
