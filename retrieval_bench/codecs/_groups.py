"""Rows of several kinds, each kind with codes of its own width: where a row's code stands among those of its kind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Rows
from retrieval_bench.types import IntArray


def members(group_of: npt.NDArray[np.uint8], rows: Rows, groups: int) -> Iterator[tuple[int, IntArray, Rows]]:
    """For each group with rows among those asked for.

    Args:
        group_of: (n,) the group of each row.
        rows: a slice, or row numbers.
        groups: how many groups there are.

    Yields:
        The group, where its rows stand among those asked for, and their places among all rows of the group.
    """
    chosen = group_of[rows]
    for group in range(groups):
        found = np.flatnonzero(chosen == group)
        if not len(found):
            continue
        if isinstance(rows, slice):  # consecutive rows have consecutive places
            first = int(np.count_nonzero(group_of[: rows.start or 0] == group))
            yield group, found, slice(first, first + len(found))
        else:
            yield group, found, np.cumsum(group_of == group)[rows[found]] - 1
