"""Candidates by integer products of 7-bit codes: all rows, or the lists that each query names.

The native kernel (scan.c) and the numpy form find the same candidates with the same scores.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from retrieval_bench.kernels import _native
from retrieval_bench.kernels._native import pointer
from retrieval_bench.types import FloatArray, IntArray

CodeArray = npt.NDArray[np.uint8]
Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]

ROWS = 16  # rows of a group
DIMS = 16  # the dimensions are padded to a multiple
LARGEST_CODE, LARGEST_QUERY = 127, 31  # four products of pairs fit into 16 bits (see forms.h)
_TILE_GROUPS = 64  # groups of a list that stands for a part of all rows: within the second-level cache
_BLOCK_SCORES = 1 << 22  # scores that the numpy form holds at once
_EXACT_IN_FLOAT32 = 4096  # dimensions whose products of pairs add up below 2^24


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Codes of rows in lists. A slot is a place for a row: lists begin at multiples of 16, unused slots are zero.

    Attributes:
        codes: (groups, d / 4, 16, 4) uint8, at most 127; row r of group g is slot ``16 g + r``.
        starts: (lists,) int64, first group of each list.
        rows: (lists,) int64, rows of each list.
        scale: (16 * groups,) float32, what the products of a slot are multiplied with, or None.
        bias: (16 * groups,) float32, what is added to them, multiplied by the query's weight, or None.
        cells: (groups,) int32, for which of the forms of a query a group stands; one for all groups of a list. None: 0.
        cell_count: forms of each query.
    """

    codes: CodeArray
    starts: IntArray
    rows: IntArray
    scale: FloatArray | None = None
    bias: FloatArray | None = None
    cells: Int32Array | None = None
    cell_count: int = 1

    def __post_init__(self) -> None:
        # The kernel trusts these: what a damaged file says must not reach it.
        groups, quads = self.codes.shape[:2]
        ends = self.starts + -(-self.rows // ROWS)
        beside = [array for array in (self.scale, self.bias) if array is not None]
        fits = (
            self.codes.dtype == np.uint8
            and self.codes.shape == (groups, quads, ROWS, 4)
            and quads % (DIMS // 4) == 0
            and self.starts.dtype == self.rows.dtype == np.int64
            and self.starts.shape == self.rows.shape == (len(self.rows),)
            and bool(((self.starts >= 0) & (self.rows >= 0) & (ends <= groups)).all())
            and all(array.dtype == np.float32 and array.shape == (groups * ROWS,) for array in beside)
            and (self.cells is None or check_cells(self.cells, groups, self.cell_count))
        )
        if not fits:
            raise ValueError(f"codes {self.codes.shape}, lists, cells and what stands beside them do not fit together")

    @property
    def dim(self) -> int:
        """Dimensions, padding included."""
        return 4 * int(self.codes.shape[1])

    @property
    def slots(self) -> int:
        """Places for rows, unused ones included."""
        return ROWS * len(self.codes)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Queries as the kernels take them, each in as many forms as there are cells of rows.

    A score is the integer product of query and code, a float if anything of the following is there:
    ``(product - zero) * unit * scale + bias * weight + offset``, each operation rounded to float32.

    Attributes:
        codes: (m, cells, d) int8 within -31 to 31, contiguous.
        zero: (m, cells) int32, the product that stands for 0, or None.
        unit, weight, offset: (m, cells) float32, or None for 1, 0 and 0.
    """

    codes: Int8Array
    zero: Int32Array | None = None
    unit: FloatArray | None = None
    weight: FloatArray | None = None
    offset: FloatArray | None = None

    def part(self, some: IntArray, cell: int) -> dict[str, npt.NDArray[np.generic] | None]:
        """The arrays of some queries in one of their forms, by name."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: None if array is None else array[some, cell] for name, array in arrays.items()}


def check_cells(cells: Int32Array, groups: int, count: int) -> bool:
    """Whether these are cells of so many groups, all below the count."""
    return cells.dtype == np.int32 and cells.shape == (groups,) and bool(((cells >= 0) & (cells < count)).all())


def padded_dim(dim: int) -> int:
    """The dimensions that codes of ``dim`` dimensions are padded to."""
    return -(-dim // DIMS) * DIMS


def slots_of(sizes: IntArray) -> tuple[IntArray, int]:
    """First group of lists of these sizes, and the number of slots of all."""
    groups = -(-sizes // ROWS)
    return np.concatenate([[0], np.cumsum(groups)[:-1]]).astype(np.int64), int(groups.sum()) * ROWS


def tiled(starts: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """The same lists, long ones cut into tiles of consecutive groups."""
    counts = -(-rows // (_TILE_GROUPS * ROWS))
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    left = np.repeat(rows, counts) - place * _TILE_GROUPS * ROWS
    return np.repeat(starts, counts) + place * _TILE_GROUPS, np.minimum(left, _TILE_GROUPS * ROWS)


def packed(codes: CodeArray) -> CodeArray:
    """(slots, d) uint8, slots a multiple of 16 and d of 16, in the order the kernel reads."""
    groups, d = len(codes) // ROWS, codes.shape[1]
    return np.ascontiguousarray(codes.reshape(groups, ROWS, d // 4, 4).transpose(0, 2, 1, 3))


def unpacked(codes: CodeArray) -> CodeArray:
    """What ``packed`` was given."""
    groups, quads = codes.shape[:2]
    return np.ascontiguousarray(codes.transpose(0, 2, 1, 3)).reshape(groups * ROWS, quads * 4)


def scan(
    lists: Lists,
    queries: Asking,
    depth: int,
    *,
    probes: Int32Array | None = None,
    ranked: bool = True,
    variant: int | None = None,
) -> tuple[Int32Array, FloatArray]:
    """The slots of the ``depth`` largest scores for each query.

    Args:
        lists: what is scanned.
        queries: m queries, in as many forms as the lists have cells.
        depth: candidates for each query.
        probes: (m, p) int32 lists that each query scans, nearest first, none twice; None: all lists.
        ranked: best first; else in any order, with the padding last, which saves time where scores are computed anew.
        variant: of the native kernel, for tests; None: the best that there is.

    Returns:
        (m, depth) int32 slots and float32 scores: equal scores by ascending slot; -1 and -inf pad.
    """
    m, forms, d = queries.codes.shape
    if (forms, d) != (lists.cell_count, lists.dim):
        raise ValueError(
            f"queries of {forms} x {d} do not fit lists of {lists.cell_count} cells, {lists.dim} dimensions"
        )
    native = _native.library()
    if native is None:
        return scan_numpy(lists, queries, depth, probes=probes)
    slots, scores = np.empty((m, depth), np.int32), np.empty((m, depth), np.float32)
    failed = native.scan_lists(
        pointer(lists.codes), lists.codes.shape[1], pointer(lists.scale), pointer(lists.bias),
        ctypes.c_int64(len(lists.rows)), pointer(lists.starts), pointer(lists.rows), pointer(lists.cells), forms,
        *map(pointer, (queries.codes, queries.zero, queries.unit, queries.weight, queries.offset)), m,
        pointer(probes), 0 if probes is None else probes.shape[1], depth, int(ranked),
        _native.best_variant() if variant is None else variant, pointer(slots), pointer(scores),
    )  # fmt: skip
    if failed:
        raise MemoryError(f"no memory for {m} x {depth} candidates")
    return slots, scores


def scan_numpy(
    lists: Lists, queries: Asking, depth: int, *, probes: Int32Array | None = None
) -> tuple[Int32Array, FloatArray]:
    """As ``scan``, by floating products, which are exact for integers of this size."""
    m = len(queries.codes)
    best = np.full((m, depth), -1, np.int64)  # scores and slots in one number, as in scan.c; -1: none
    floats = not all(part is None for part in (lists.scale, lists.bias, queries.unit, queries.offset))
    codes = unpacked(lists.codes).astype(np.float32 if lists.dim <= _EXACT_IN_FLOAT32 else np.float64)
    everyone = np.arange(m)
    for number, (start, size) in enumerate(zip(lists.starts * ROWS, lists.rows, strict=True)):
        asked = everyone if probes is None else np.flatnonzero((probes == number).any(axis=1))
        step = max(1, _BLOCK_SCORES // max(1, int(size)))
        slots = slice(start, start + size)
        cell = 0 if lists.cells is None or not size else int(lists.cells[start // ROWS])
        for some in (asked[i : i + step] for i in range(0, len(asked), step)):
            part = queries.part(some, cell)
            score = (part.pop("codes").astype(codes.dtype) @ codes[slots].T).astype(np.int64)  # type: ignore[union-attr]
            if floats:
                score = _ordered(_finished(score, lists, slots, **part))  # type: ignore[arg-type]
            keys = (score + (1 << 31) << 31) + (0x7FFFFFFF - np.arange(start, start + size))
            both = np.concatenate([best[some], keys], axis=1)
            best[some] = -np.partition(-both, depth - 1, axis=1)[:, :depth]
    best = -np.sort(-best, axis=1)
    missing = best < 0
    slots_of_best = np.where(missing, -1, 0x7FFFFFFF - (best & 0x7FFFFFFF)).astype(np.int32)
    score = (best >> 31) - (1 << 31)
    scores = _restored(score) if floats else score.astype(np.float32)
    return slots_of_best, np.where(missing, -np.inf, scores).astype(np.float32)


def _finished(
    products: IntArray,
    lists: Lists,
    slots: slice,
    zero: Int32Array | None,
    unit: FloatArray | None,
    weight: FloatArray | None,
    offset: FloatArray | None,
) -> FloatArray:
    """(m, n) float32 scores of integer products; one rounding for each operation, in the kernel's order."""
    score = (products if zero is None else products - zero[:, None]).astype(np.float32)
    if unit is not None:
        score *= unit[:, None]
    if lists.scale is not None:
        score *= lists.scale[slots]
    if lists.bias is not None:
        score += lists.bias[slots] * (np.zeros((len(score), 1), np.float32) if weight is None else weight[:, None])
    if offset is not None:
        score += offset[:, None]
    return score


def _ordered(values: FloatArray) -> IntArray:
    """Integers that order as the floats do (select.h)."""
    bits = (values + np.float32(0)).view(np.int32)  # -0 is 0
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)


def _restored(scores: IntArray) -> FloatArray:
    bits = scores.astype(np.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)
