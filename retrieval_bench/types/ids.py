"""Ids of collections that have none of their own: an id is the row of the source, whatever was left out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt


class RowIds(Sequence[str]):
    """Ids that are rows of a source, as text; a slice is RowIds too.

    Args:
        n: how many.
        rows: (n,) int64 rows of the source, held as they are (8 bytes each); None is 0 to n - 1, which takes no memory.
    """

    def __init__(self, n: int, rows: npt.NDArray[np.int64] | None = None) -> None:
        self._n, self._rows = n, rows

    @classmethod
    def of(cls, rows: npt.NDArray[np.integer]) -> RowIds:
        """The ids of (n,) rows of a source."""
        counted = np.array_equal(rows, np.arange(len(rows)))
        return cls(len(rows), None if counted else rows.astype(np.int64, copy=False))

    def rows(self) -> npt.NDArray[np.int64]:
        """(n,) rows of the source."""
        return np.arange(self._n) if self._rows is None else self._rows

    def take(self, places: npt.NDArray[np.int64]) -> RowIds:
        """The ids at these places."""
        return RowIds.of(places if self._rows is None else self._rows[places])

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> RowIds: ...
    def __getitem__(self, index: int | slice) -> str | RowIds:
        if isinstance(index, slice):
            return self.take(np.arange(self._n)[index])
        place = range(self._n)[index]
        return str(place if self._rows is None else self._rows[place])

    def __iter__(self) -> Iterator[str]:
        return map(str, range(self._n) if self._rows is None else self._rows.tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowIds) or other._n != self._n:
            return False
        return (self._rows is None and other._rows is None) or np.array_equal(other.rows(), self.rows())

    def __hash__(self) -> int:
        return hash(("RowIds", self._n))
