"""Where each row stands in an index of reduced vectors: lists of rows, which begin at multiples of 16 slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from retrieval_bench.kernels.scan import ROWS, Int32Array, slots_of
from retrieval_bench.types import IntArray


@dataclass(frozen=True, kw_only=True)
class Places:
    """Rows in lists.

    Attributes:
        starts, rows: (lists,) int64 first group and size of each list; a list without rows fills up a cell.
        row_of_slot: (slots,) int32, -1 where no row stands.
        cells: (groups,) int32 cell of each group, or None where there is one.
        list_of_row: (n,) int64.
    """

    starts: IntArray
    rows: IntArray
    row_of_slot: Int32Array
    cells: Int32Array | None
    list_of_row: IntArray


def place(list_of_row: IntArray, cell_of_list: IntArray) -> Places:
    """Put each row into its list, and the lists in the order of their cells.

    Where there are several cells, the lists of each begin at a multiple of 16 too, so that the lists' centres can be
    scanned as rows are.

    Args:
        list_of_row: (n,) int64; no list is empty.
        cell_of_list: (lists,) int64.
    """
    order = np.argsort(cell_of_list, kind="stable")
    several = len(order) > 0 and cell_of_list.max() > 0
    number = np.empty(len(order), np.int64)
    if several:
        counts = np.bincount(cell_of_list)
        first = np.concatenate([[0], np.cumsum(-(-counts // ROWS) * ROWS)])
        within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        number[order] = first[cell_of_list[order]] + within
        cell = np.repeat(np.arange(len(counts)), np.diff(first))
    else:
        number[order] = np.arange(len(order))
        cell = np.zeros(len(order), np.int64)
    list_of_row = number[list_of_row]
    sizes = np.bincount(list_of_row, minlength=len(cell)).astype(np.int64)
    starts, slots = slots_of(sizes)
    row_of_slot = np.full(slots, -1, np.int32)
    by_list = np.argsort(list_of_row, kind="stable")
    inside = np.arange(len(by_list)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    row_of_slot[np.repeat(starts * ROWS, sizes) + inside] = by_list
    groups = np.repeat(cell, -(-sizes // ROWS)).astype(np.int32)
    return Places(
        starts=starts, rows=sizes, row_of_slot=row_of_slot, cells=groups if several else None, list_of_row=list_of_row
    )


def lists_as_rows(starts: IntArray, rows: IntArray, cells: Int32Array | None) -> dict[str, Any]:
    """Starts, rows and cells of lists whose rows are the lists of an index."""
    if cells is None:
        return {"starts": np.zeros(1, np.int64), "rows": np.array([len(rows)]), "cells": None}
    if (starts[::ROWS] >= len(cells)).any():
        raise ValueError("lists begin where no rows are")
    of_group = np.ascontiguousarray(cells[starts[::ROWS]])  # the first of a group never is one that fills up
    first = np.unique(of_group, return_index=True)[1].astype(np.int64)
    there = np.add.reduceat((rows > 0).astype(np.int64), first * ROWS)
    if (first * ROWS + there > len(rows)).any():
        raise ValueError("cells do not follow one another")
    return {"starts": first, "rows": there, "cells": of_group}
