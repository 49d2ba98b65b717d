"""What a codec is: tables that all vectors share, a code for each, and a space where decoded ones meet queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from retrieval_bench.registry import Registry
from retrieval_bench.types import FloatArray, IntArray

Arrays = dict[str, npt.NDArray[Any]]
Rows = slice | IntArray


def nbytes(arrays: Mapping[str, npt.NDArray[Any]]) -> int:
    """Bytes of all arrays together."""
    return sum(array.nbytes for array in arrays.values())


class Codec(ABC):
    """A compression method. Its whole state is ``tables`` and ``facts``, so that it is saved as plain arrays.

    Vectors arrive centred: whoever uses a codec subtracts a mean or a centroid first and adds its part of the score.
    ``decode`` gives vectors of a working space of r dimensions in which ``queries(q) @ decode(codes).T`` estimates the
    inner products; r is d where the method does not reduce.

    Attributes:
        tables: arrays that all vectors share, by name; exactly what is needed to decode and to ask.
        facts: small integers beside them.
    """

    name: ClassVar[str]

    def __init__(self, tables: Arrays | None = None, facts: dict[str, int] | None = None) -> None:
        self.tables: Arrays = tables or {}
        self.facts: dict[str, int] = facts or {}

    @abstractmethod
    def fit(
        self,
        vectors: FloatArray,
        bytes_per_vector: float,
        *,
        seed: int = 0,
        traffic: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Choose a layout that fits and learn the tables.

        Args:
            vectors: (n, d) centred; all that will be encoded.
            bytes_per_vector: most bytes of codes and tables together, divided by n.
            seed: of every random choice.
            traffic: (n,) how often each vector is asked for, for methods that use it.

        Raises:
            BudgetError: no layout fits; says how many bytes the smallest one needs.
            DataError: too few vectors to learn from, or values out of the range of the tables.
        """

    @abstractmethod
    def encode(self, vectors: FloatArray) -> Arrays:
        """Codes of the (n, d) vectors given to ``fit``, in that order: arrays that grow with n."""

    @abstractmethod
    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """(len(rows), r) float32."""

    @property
    def two_level(self) -> bool:
        """Whether ``coarse`` gives a cheaper estimate, good for finding candidates to decode in full."""
        return False

    def coarse(self, codes: Arrays, rows: Rows) -> FloatArray:
        """(len(rows), r) float32 from a part of the code; the same as ``decode`` where there is one level."""
        return self.decode(codes, rows)

    def queries(self, vectors: FloatArray) -> FloatArray:
        """(m, d) to (m, r) float32: into the working space, by the table ``basis`` where there is one."""
        basis = self.tables.get("basis")
        return vectors if basis is None else vectors @ basis.astype(np.float32)


registered: Registry[type[Codec]] = Registry("codec", "retrieval_bench.codecs", "retrieval_bench.codecs", Codec)
