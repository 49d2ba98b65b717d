"""Exact search: products in few bits find candidates, float32 decides, and a bound says where that is proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from retrieval_bench.device.choose import Precision
from retrieval_bench.device.operand import Operand, Reach, as_operand, error_bound, reach_of
from retrieval_bench.device.products import chosen_scores, group_max
from retrieval_bench.device.select import best_groups, members, top
from retrieval_bench.device.stream import streamed
from retrieval_bench.types import FloatArray, Metric

MORE_GROUPS = 6  # opened beyond k: what is left out then lies further below the k-th best, and the proof succeeds
_ROUNDING = 2.0**-22


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some documents on the device.

    Attributes:
        start: number of the first.
        vectors: (n, d) float32.
        rounded: the same in the precision of the products, with the bias of the metric.
        reach: what bounds the error of the products.
    """

    start: int
    vectors: torch.Tensor
    rounded: Operand
    reach: Reach


@dataclass(frozen=True, kw_only=True)
class Found:
    """Answers to m queries.

    Attributes:
        rows: (m, k) int64, best first.
        scores: (m, k) float32.
        proven: (m,) bool: no document left out can score as well as the last of these, computed in float32. Where it is
            False, documents that are equal up to rounding, duplicates for one, may stand for each other.
    """

    rows: torch.Tensor
    scores: torch.Tensor
    proven: torch.Tensor


def half_squares(vectors: torch.Tensor) -> torch.Tensor:
    """(n,) float32 minus half of the squared lengths: the bias that makes products rank by Euclidean distance."""
    return vectors.square().sum(dim=1).mul_(-0.5)


def part_of(start: int, vectors: torch.Tensor, precision: Precision, metric: Metric) -> Part:
    """Documents (n, d) float32, rounded."""
    rounded = as_operand(vectors, precision, half_squares(vectors) if metric == "l2" else None)
    return Part(start=start, vectors=vectors, rounded=rounded, reach=reach_of(vectors, rounded))


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """Documents in host memory, (n, d) float32, read in parts of so many rows at every search."""

    vectors: FloatArray
    rows: int
    precision: Precision
    metric: Metric
    device: torch.device

    def __iter__(self) -> Iterator[Part]:
        for start, vectors in streamed(self.vectors, self.rows, self.device):
            yield part_of(start, vectors, self.precision, self.metric)


def exact_search(queries: torch.Tensor, parts: list[Part] | Streamed, k: int, metric: Metric) -> Found:
    """The k best documents of each query.

    What the products leave unproven is searched again with float32 products, whose error is rounding alone.

    Args:
        queries: (m, d) float32 on the device of the parts.
        parts: all documents; they are read once for all queries, and again where something is left unproven.
        k: at most the number of documents.
        metric: of the parts.
    """
    found = _searched(queries, parts, k, metric, again=False)
    doubtful = torch.nonzero(~found.proven)[:, 0]
    if len(doubtful) and _are_rounded(parts):
        anew = _searched(queries[doubtful], parts, k, metric, again=True)
        found.rows[doubtful], found.scores[doubtful] = anew.rows, anew.scores
        found.proven[doubtful] = anew.proven
    return found


def _are_rounded(parts: list[Part] | Streamed) -> bool:
    """Whether products are of fewer bits than float32; streamed parts are not read to tell."""
    if isinstance(parts, Streamed):
        return parts.precision != "float32"
    return any(part.rounded.values.dtype != torch.float32 for part in parts)


def _searched(queries: torch.Tensor, parts: list[Part] | Streamed, k: int, metric: Metric, *, again: bool) -> Found:
    m = len(queries)
    rows = torch.full((m, 0), -1, dtype=torch.int64, device=queries.device)
    scores, bound = torch.empty((m, 0), device=queries.device), torch.full((m,), -torch.inf, device=queries.device)
    for part in parts:
        documents = part
        if again:
            documents = Part(
                start=part.start,
                vectors=part.vectors,
                rounded=Operand(values=part.vectors, bias=part.rounded.bias),
                reach=Reach(
                    length=part.reach.length + part.reach.error, error=0 * part.reach.error, bias=part.reach.bias
                ),
            )
        slots, left = candidates(queries, documents, k + MORE_GROUPS)
        values = chosen_scores(queries, documents.vectors, slots, metric)
        here, best = top(values, torch.where(slots < 0, slots, slots + part.start), k)
        rows, scores = top(torch.cat([scores, best], dim=1), torch.cat([rows, here], dim=1), k)
        bound = torch.maximum(bound, left)
    last = scores[:, -1] if scores.shape[1] else bound
    if metric == "l2":
        lengths = queries.square().sum(dim=1)
        last = (last + lengths) / 2 - (queries.shape[1] + 2) * _ROUNDING * lengths
    return Found(rows=rows, scores=scores, proven=last > bound)


def candidates(queries: torch.Tensor, part: Part, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Slots (m, c) int64 of the best groups, and (m,) float32: what no document left out can exceed."""
    precision: Precision = str(part.rounded.values.dtype).removeprefix("torch.")  # type: ignore[assignment]
    rounded = as_operand(queries, precision)
    best, left = best_groups(group_max(rounded, part.rounded), groups)
    return members(best, len(part.vectors)), left + error_bound(queries, rounded, part.reach)
