"""Triton kernels: a block of scores lives in registers, and only what is chosen of it is written.

What each computes is said in ``products.py`` and ``lists.py``. Float32 is multiplied as float32 (no tf32), int8 is
added up in int32, and half types in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from retrieval_bench.device.operand import Operand

_GROUP = 32  # as products.GROUP


@dataclass(frozen=True)
class Tile:
    """Rows of queries, rows of documents and dimensions that one program multiplies at a time; and how it runs."""

    queries: int
    documents: int
    dims: int
    warps: int
    stages: int


def tile(m: int, dtype: torch.dtype) -> Tile:
    """A large tile where there is arithmetic to share, a flat one where reading the documents is all the work."""
    bytes_each = dtype.itemsize
    if m <= 16:
        return Tile(16, 128, 128 // bytes_each, 4, 4)
    if m <= 64:
        return Tile(64, 128, 128 // bytes_each, 4, 4)
    return Tile(128, 128, 32, 8, 3) if bytes_each == 4 else Tile(128, 256, 128 // bytes_each, 8, 3)


@triton.jit
def _scores(
    q, x, q_scale, x_scale, x_bias, q_rows, q_there, x_rows, x_there, d,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, WHOLE: tl.constexpr, INTEGERS: tl.constexpr,
    Q_SCALE: tl.constexpr, X_SCALE: tl.constexpr, X_BIAS: tl.constexpr,
):  # fmt: skip
    """(M, N) float32 products of rows; -inf where a document is not there."""
    dims = tl.arange(0, K)
    q_at = q + q_rows.to(tl.int64)[:, None] * d + dims[None, :]
    x_at = x + x_rows.to(tl.int64)[None, :] * d + dims[:, None]
    total = tl.zeros((M, N), dtype=tl.int32 if INTEGERS else tl.float32)
    for start in range(0, d, K):
        if WHOLE:  # d is a multiple of K: the mask of dimensions is left out
            a = tl.load(q_at, mask=q_there[:, None], other=0)
            b = tl.load(x_at, mask=x_there[None, :], other=0)
        else:
            inside = start + dims < d
            a = tl.load(q_at, mask=q_there[:, None] & inside[None, :], other=0)
            b = tl.load(x_at, mask=x_there[None, :] & inside[:, None], other=0)
        total = tl.dot(a, b, total, input_precision="ieee", out_dtype=tl.int32 if INTEGERS else tl.float32)
        q_at += K
        x_at += K
    scores = total.to(tl.float32)
    if X_SCALE:
        scores = scores * tl.load(x_scale + x_rows, mask=x_there, other=0.0)[None, :]
    if Q_SCALE:
        scores = scores * tl.load(q_scale + q_rows, mask=q_there, other=0.0)[:, None]
    if X_BIAS:
        scores = scores + tl.load(x_bias + x_rows, mask=x_there, other=0.0)[None, :]
    return tl.where(x_there[None, :], scores, float("-inf"))


@triton.jit
def _group_max(
    q, x, q_scale, x_scale, x_bias, best, m, n, d, groups,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, G: tl.constexpr, WHOLE: tl.constexpr, INTEGERS: tl.constexpr,
    Q_SCALE: tl.constexpr, X_SCALE: tl.constexpr, X_BIAS: tl.constexpr,
):  # fmt: skip
    # Programs that follow each other share their documents: those are read from memory once, the queries from cache.
    q_rows = tl.program_id(0) * M + tl.arange(0, M)
    x_rows = tl.program_id(1) * N + tl.arange(0, N)
    scores = _scores(
        q, x, q_scale, x_scale, x_bias, q_rows, q_rows < m, x_rows, x_rows < n, d,
        M, N, K, WHOLE, INTEGERS, Q_SCALE, X_SCALE, X_BIAS,
    )  # fmt: skip
    of_group = tl.max(tl.reshape(scores, (M, N // G, G)), axis=2)
    which = tl.program_id(1) * (N // G) + tl.arange(0, N // G)
    there = (q_rows < m)[:, None] & (which < groups)[None, :]
    tl.store(best + q_rows.to(tl.int64)[:, None] * groups + which[None, :], of_group, mask=there)


@triton.jit
def _list_group_max(
    q, x, q_scale, x_scale, x_bias, best, pair_query, pair_place, task_pair, task_pairs, task_slot, task_rows,
    task_place, first_slot, d,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, G: tl.constexpr, WHOLE: tl.constexpr, INTEGERS: tl.constexpr,
    Q_SCALE: tl.constexpr, X_SCALE: tl.constexpr, X_BIAS: tl.constexpr,
):  # fmt: skip
    task = tl.program_id(0)
    pairs, rows = tl.load(task_pairs + task), tl.load(task_rows + task)
    pair = tl.load(task_pair + task) + tl.arange(0, M)
    asked = tl.arange(0, M) < pairs
    q_rows = tl.load(pair_query + pair, mask=asked, other=0)
    x_rows = tl.load(task_slot + task) - first_slot + tl.arange(0, N)
    scores = _scores(
        q, x, q_scale, x_scale, x_bias, q_rows, asked, x_rows, tl.arange(0, N) < rows, d,
        M, N, K, WHOLE, INTEGERS, Q_SCALE, X_SCALE, X_BIAS,
    )  # fmt: skip
    of_group = tl.max(tl.reshape(scores, (M, N // G, G)), axis=2)
    which = tl.arange(0, N // G)
    place = tl.load(pair_place + pair, mask=asked, other=0) + tl.load(task_place + task)
    tl.store(best + place[:, None] + which[None, :], of_group, mask=asked[:, None] & (which * G < rows)[None, :])


@triton.jit
def _chosen_scores(
    q, x, slots, scores, width, d, C: tl.constexpr, K: tl.constexpr, SQUARED: tl.constexpr
):  # fmt: skip
    line = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * C + tl.arange(0, C)
    slot = tl.load(slots + line * width + column, mask=column < width, other=-1)
    dims = tl.arange(0, K)
    total = tl.zeros((C,), dtype=tl.float32)
    for start in range(0, d, K):
        inside = start + dims < d
        a = tl.load(q + line * d + start + dims, mask=inside, other=0.0)
        b = tl.load(
            x + slot[:, None] * d + start + dims[None, :], mask=(slot >= 0)[:, None] & inside[None, :], other=0.0
        ).to(tl.float32)
        if SQUARED:
            total -= tl.sum((b - a[None, :]) * (b - a[None, :]), axis=1)
        else:
            total += tl.sum(b * a[None, :], axis=1)
    total = tl.where(slot >= 0, total, float("-inf"))
    tl.store(scores + line * width + column, total, mask=column < width)


@triton.jit
def _nearest(
    q, x, q_scale, x_scale, x_bias, which, best, m, n, d,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, WHOLE: tl.constexpr, INTEGERS: tl.constexpr,
    Q_SCALE: tl.constexpr, X_SCALE: tl.constexpr, X_BIAS: tl.constexpr,
):  # fmt: skip
    q_rows = tl.program_id(0) * M + tl.arange(0, M)
    top = tl.full((M,), float("-inf"), dtype=tl.float32)
    place = tl.zeros((M,), dtype=tl.int32)
    for start in range(0, n, N):
        x_rows = start + tl.arange(0, N)
        scores = _scores(
            q, x, q_scale, x_scale, x_bias, q_rows, q_rows < m, x_rows, x_rows < n, d,
            M, N, K, WHOLE, INTEGERS, Q_SCALE, X_SCALE, X_BIAS,
        )  # fmt: skip
        here, at = tl.max(scores, axis=1, return_indices=True)
        place = tl.where(here > top, start + at, place)  # of equal ones the first stays
        top = tl.maximum(here, top)
    tl.store(which + q_rows, place.to(tl.int64), mask=q_rows < m)
    tl.store(best + q_rows, top, mask=q_rows < m)


def _operands(queries: Operand, documents: Operand) -> tuple[Any, ...]:
    """The pointers of two operands; what is not there is a null pointer that no kernel reads."""
    return (queries.values, documents.values, queries.scale, documents.scale, documents.bias)


def _kinds(queries: Operand, documents: Operand, shape: Tile) -> dict[str, Any]:
    """What the kernels are compiled for."""
    return {
        "M": shape.queries,
        "N": shape.documents,
        "K": shape.dims,
        "WHOLE": queries.values.shape[1] % shape.dims == 0,
        "INTEGERS": queries.values.dtype == torch.int8,
        "Q_SCALE": queries.scale is not None,
        "X_SCALE": documents.scale is not None,
        "X_BIAS": documents.bias is not None,
        "num_warps": shape.warps,
        "num_stages": shape.stages,
    }


def group_max(queries: Operand, documents: Operand, shape: Tile | None = None) -> torch.Tensor:
    """See products.group_max; another tile than the usual one is for benchmarks."""
    (m, d), n = queries.values.shape, len(documents)
    groups = triton.cdiv(n, _GROUP)
    best = torch.empty((m, groups), device=queries.values.device)
    shape = shape or tile(m, queries.values.dtype)
    if m and n:
        grid = (triton.cdiv(m, shape.queries), triton.cdiv(n, shape.documents))
        _group_max[grid](
            *_operands(queries, documents), best, m, n, d, groups, G=_GROUP, **_kinds(queries, documents, shape)
        )
    return best


def list_group_max(
    queries: Operand,
    documents: Operand,
    best: torch.Tensor,
    pair_query: torch.Tensor,
    pair_place: torch.Tensor,
    counts: torch.Tensor,
    firsts: torch.Tensor,
    starts: torch.Tensor,
    sizes: torch.Tensor,
    first_slot: int,
) -> None:
    """Fill ``best`` for pairs of a query and a list it probes; see lists.list_group_max.

    Args:
        queries: m rows.
        documents: the slots of some lists, from ``first_slot`` on.
        best: (m, width) float32, written at ``pair_place`` plus the group within the list.
        pair_query: (p,) int64 query of each pair, ordered by list.
        pair_place: (p,) int64 flat place in ``best``.
        counts: (l,) int64 pairs of each of these lists.
        firsts: (l,) int64 first pair of each.
        starts: (l,) int64 first slot of each.
        sizes: (l,) int64 rows of each.
        first_slot: of ``documents``.
    """
    typical = int(counts.float().mean().ceil()) if len(counts) else 1
    shape = tile(typical, queries.values.dtype)
    # One task multiplies up to M pairs of a list with up to N of its rows.
    blocks_m, blocks_n = -(-counts // shape.queries), -(-sizes // shape.documents)
    tasks = blocks_m * blocks_n
    of_list = torch.repeat_interleave(torch.arange(len(tasks), device=tasks.device), tasks)
    if not len(of_list):
        return
    within = torch.arange(len(of_list), device=tasks.device) - (tasks.cumsum(0) - tasks)[of_list]
    block_m, block_n = within // blocks_n[of_list], within % blocks_n[of_list]
    _list_group_max[(len(of_list),)](
        *_operands(queries, documents), best, pair_query, pair_place,
        firsts[of_list] + block_m * shape.queries,
        (counts[of_list] - block_m * shape.queries).clamp_max(shape.queries),
        starts[of_list] + block_n * shape.documents,
        (sizes[of_list] - block_n * shape.documents).clamp_max(shape.documents),
        block_n * (shape.documents // _GROUP),
        first_slot, queries.values.shape[1], G=_GROUP, **_kinds(queries, documents, shape),
    )  # fmt: skip


def chosen_scores(queries: torch.Tensor, documents: torch.Tensor, slots: torch.Tensor, squared: bool) -> torch.Tensor:
    """See products.chosen_scores."""
    m, width = slots.shape
    scores = torch.empty((m, width), device=queries.device)
    if m and width:
        _chosen_scores[(m, triton.cdiv(width, 32))](
            queries.contiguous(), documents, slots.contiguous(), scores, width, queries.shape[1],
            C=32, K=128, SQUARED=squared, num_warps=4,
        )  # fmt: skip
    return scores


def nearest(points: Operand, centres: Operand) -> tuple[torch.Tensor, torch.Tensor]:
    """See products.nearest."""
    m, d = points.values.shape
    which = torch.empty(m, dtype=torch.int64, device=points.values.device)
    best = torch.empty(m, device=points.values.device)
    shape = tile(m, points.values.dtype)
    if m:
        _nearest[(triton.cdiv(m, shape.queries),)](
            *_operands(points, centres), which, best, m, len(centres), d, **_kinds(points, centres, shape)
        )
    return which, best
