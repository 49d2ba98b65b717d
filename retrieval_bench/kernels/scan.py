"""Candidates by integer products of 7-bit codes: all rows, or the lists that each query names.

The native kernel (scan.c) and the numpy form find the same candidates with the same integer scores.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

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
LARGEST_CODE, LARGEST_QUERY = 127, 31  # four products of pairs fit into 16 bits (see scan.c)
_TILE_GROUPS = 64  # groups of a list that stands for a part of all rows: within the second-level cache
_LARGEST_SHIFT = 1 << 30  # of a score, by the bias of a row
_BLOCK_SCORES = 1 << 22  # scores that the numpy form holds at once


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Codes of rows in lists. A slot is a place for a row: lists begin at multiples of 16, unused slots are zero.

    Attributes:
        codes: (groups, d / 4, 16, 4) uint8, at most 127; row r of group g is slot ``16 g + r``.
        starts: (lists,) int64, first group of each list.
        rows: (lists,) int64, rows of each list.
        bias: (16 * groups,) float32 added to the products of a slot after scaling by the query's weight, or None.
    """

    codes: CodeArray
    starts: IntArray
    rows: IntArray
    bias: FloatArray | None = None

    def __post_init__(self) -> None:
        # The kernel trusts these: what a damaged file says must not reach it.
        groups, quads = self.codes.shape[:2]
        ends = self.starts + -(-self.rows // ROWS)
        fits = (
            self.codes.dtype == np.uint8
            and self.codes.shape == (groups, quads, ROWS, 4)
            and quads % (DIMS // 4) == 0
            and self.starts.dtype == self.rows.dtype == np.int64
            and self.starts.shape == self.rows.shape == (len(self.rows),)
            and bool(((self.starts >= 0) & (self.rows >= 0) & (ends <= groups)).all())
            and (self.bias is None or (self.bias.dtype == np.float32 and self.bias.shape == (groups * ROWS,)))
        )
        if not fits:
            raise ValueError(f"codes {self.codes.shape}, lists and bias do not fit together")

    @property
    def dim(self) -> int:
        """Dimensions, padding included."""
        return 4 * int(self.codes.shape[1])

    @property
    def slots(self) -> int:
        """Places for rows, unused ones included."""
        return ROWS * len(self.codes)


def padded_dim(dim: int) -> int:
    """The dimensions that codes of ``dim`` dimensions are padded to."""
    return -(-dim // DIMS) * DIMS


def slots_of(sizes: IntArray) -> tuple[IntArray, int]:
    """First group of lists of these sizes, and the number of slots of all."""
    groups = -(-sizes // ROWS)
    return np.concatenate([[0], np.cumsum(groups)[:-1]]).astype(np.int64), int(groups.sum()) * ROWS


def tiles(n: int) -> tuple[IntArray, IntArray]:
    """Starts and rows of lists that cut n rows, in order, into tiles."""
    starts = np.arange(0, -(-n // ROWS), _TILE_GROUPS, dtype=np.int64)
    return starts, np.minimum(_TILE_GROUPS * ROWS, n - starts * ROWS)


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
    queries: Int8Array,
    depth: int,
    *,
    probes: Int32Array | None = None,
    weights: FloatArray | None = None,
    ranked: bool = True,
    variant: int | None = None,
) -> tuple[Int32Array, Int32Array]:
    """The slots of the ``depth`` largest scores for each query.

    A score is the integer product of query and code, plus ``rint(bias * weight)``.

    Args:
        lists: what is scanned.
        queries: (m, d) int8 within -31 to 31.
        depth: candidates for each query.
        probes: (m, p) int32 lists that each query scans, nearest first, none twice; None: all lists.
        weights: (m,) float32, where the lists have a bias.
        ranked: best first; else in any order, with the padding last, which saves time where scores are computed anew.
        variant: of the native kernel, for tests; None: the best that there is.

    Returns:
        (m, depth) int32 slots and scores: equal scores by ascending slot; -1 pads.
    """
    native = _native.library()
    if native is None:
        return scan_numpy(lists, queries, depth, probes=probes, weights=weights)
    m = len(queries)
    slots, scores = np.empty((m, depth), np.int32), np.empty((m, depth), np.int32)
    failed = native.scan_lists(
        pointer(lists.codes), lists.codes.shape[1], pointer(lists.bias), ctypes.c_int64(len(lists.rows)),
        pointer(lists.starts), pointer(lists.rows), pointer(queries), pointer(weights), m,
        pointer(probes), 0 if probes is None else probes.shape[1], depth, int(ranked),
        _native.best_variant() if variant is None else variant, pointer(slots), pointer(scores),
    )  # fmt: skip
    if failed:
        raise MemoryError(f"no memory for {m} x {depth} candidates")
    return slots, scores


def scan_numpy(
    lists: Lists,
    queries: Int8Array,
    depth: int,
    *,
    probes: Int32Array | None = None,
    weights: FloatArray | None = None,
) -> tuple[Int32Array, Int32Array]:
    """As ``scan``, by float32 products, which are exact for integers of this size."""
    m = len(queries)
    best = np.full((m, depth), -1, np.int64)  # scores and slots in one number, as in scan.c; -1: none
    rows = unpacked(lists.codes).astype(np.float32)
    asking = queries.astype(np.float32)
    everyone = np.arange(m)
    for number, (start, size) in enumerate(zip(lists.starts * ROWS, lists.rows, strict=True)):
        asked = everyone if probes is None else np.flatnonzero((probes == number).any(axis=1))
        step = max(1, _BLOCK_SCORES // max(1, int(size)))
        for some in (asked[i : i + step] for i in range(0, len(asked), step)):
            score = (asking[some] @ rows[start : start + size].T).astype(np.int64)
            if lists.bias is not None and weights is not None:
                score += np.rint(lists.bias[start : start + size] * weights[some, None]).astype(np.int64)
            keys = (score + (1 << 31) << 31) + (0x7FFFFFFF - np.arange(start, start + size))
            both = np.concatenate([best[some], keys], axis=1)
            best[some] = -np.partition(-both, depth - 1, axis=1)[:, :depth]
    best = -np.sort(-best, axis=1)
    missing = best < 0
    slots = np.where(missing, -1, 0x7FFFFFFF - (best & 0x7FFFFFFF)).astype(np.int32)
    scores = np.where(missing, np.iinfo(np.int32).min, (best >> 31) - (1 << 31)).astype(np.int32)
    return slots, scores
