"""Exact search: products in few bits find candidates, float64 decides, and a bound says what else must be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from retrieval_bench.device.bound import Norms, Reach, Sizes, norms_of, reach_from, reach_of, slack
from retrieval_bench.device.choose import Precision
from retrieval_bench.device.operand import Operand, as_operand
from retrieval_bench.device.products import GROUP, chosen_scores, exact_scores, group_max
from retrieval_bench.device.select import best_groups, members, ranked
from retrieval_bench.device.stream import streamed
from retrieval_bench.types import FloatArray, Metric

DoubleArray = npt.NDArray[np.float64]

MORE_GROUPS = 6  # opened beyond k: what is left out then lies further below the k-th best, and the proof succeeds
_MORE_ROWS = 16  # compared in float64 beyond k, for the same reason
_BLOCK_VALUES = 1 << 20  # of groups and rows of queries that are looked at again
_SQUARES_ROWS = 1 << 14
_LARGEST = float(torch.finfo(torch.float32).max)


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

    def in_full(self) -> Part:
        """The same, multiplied in float32."""
        length, error, bias = self.reach.groups
        reach = reach_from(torch.stack([length + error, 0 * error, bias]))
        return replace(self, rounded=Operand(values=self.vectors, bias=self.rounded.bias), reach=reach)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Answers to m queries.

    Attributes:
        rows: (m, k) int64, best first, equal scores by ascending row.
        scores: (m, k) float32.
        again: (m,) bool: the products did not prove the answer, and more documents were compared in float64.
    """

    rows: torch.Tensor
    scores: torch.Tensor
    again: torch.Tensor


def half_squares(vectors: torch.Tensor) -> torch.Tensor:
    """(n,) float32 minus half of the squared lengths: the bias that makes products rank by Euclidean distance."""
    blocks = [part.double().square_().sum(dim=1).mul_(-0.5).float() for part in torch.split(vectors, _SQUARES_ROWS)]
    return torch.cat(blocks)


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
    """The k best documents of each query, by float64 scores rounded to 24 bits, equal ones by ascending row.

    Three sieves: products, of which the best groups are opened; float32 scores of their documents, computed directly;
    float64 scores of the best of those. Where what a sieve held back may, by the bound on its rounding, still belong
    to the k best, every group that may hold such a document is opened and compared in float64. So the answer is exact
    whatever the data; data whose products say little (rows that differ by less than their lengths' rounding, copies)
    take longer.

    Args:
        queries: (m, d) float32 on the device of the parts.
        parts: all documents, which are read once.
        k: at most the number of documents.
        metric: of the parts.
    """
    m = len(queries)
    rows = torch.empty((m, 0), dtype=torch.int64, device=queries.device)
    scores = torch.empty((m, 0), dtype=torch.float64, device=queries.device)
    again = torch.zeros(m, dtype=torch.bool, device=queries.device)
    for part in parts:
        search = _searched(queries, part, k, metric)
        here, best, open_ = search.sieved(rows, scores)
        who = open_.nonzero()[:, 0]
        if len(who) and part.rounded.values.dtype != torch.float32:
            search = _searched(queries[who], part.in_full(), k, metric)
            here[who], best[who], open_ = search.sieved(rows[who], scores[who])
            who = who[open_]
        search = search.take(open_.nonzero()[:, 0])
        again[who] = True
        step = max(1, _BLOCK_VALUES // search.maxima.shape[1])
        for start in range(0, len(who), step):
            some, these = who[start : start + step], search.take(slice(start, start + step))
            here[some], best[some] = these.opened(rows[some], scores[some], best[some, -1])
        rows, scores = here, best
    return Found(rows=rows, scores=scores.float(), again=again)


@dataclass(frozen=True, kw_only=True)
class _PartSearch:
    """The search of one part for m queries.

    Attributes:
        queries: (m, d) float32.
        norms: (m,) float64 each, of the queries.
        maxima: (m, g) float32 best product of every group.
    """

    queries: torch.Tensor
    norms: Norms
    maxima: torch.Tensor
    part: Part
    k: int
    metric: Metric

    def take(self, some: torch.Tensor | slice) -> _PartSearch:
        """The search for some of the queries."""
        norms = Norms(*(norm[some] for norm in self.norms))
        return replace(self, queries=self.queries[some], norms=norms, maxima=self.maxima[some])

    def sieved(self, rows: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The best (m, k) rows and scores of those given and of the part; (m,) bool: whether others may belong."""
        queries, part, k = self.queries, self.part, self.k
        groups, left = best_groups(self.maxima, k + MORE_GROUPS)
        slots = members(groups, len(part.vectors))
        quick = chosen_scores(queries, part.vectors, slots, self.metric).topk(min(k + _MORE_ROWS, slots.shape[1]))
        rows, scores = self._merged(slots.gather(1, quick.indices), rows, scores)
        # The rest is a few numbers of each query, which the host compares in float64.
        held = torch.stack([scores[:, -1], left.double(), quick.values[:, -1].double(), *self.norms]).cpu().numpy()
        last, most, next_, norms = held[0], held[1], held[2], Norms(*held[3:])
        doubtful = np.zeros(len(last), np.bool_)
        with np.errstate(all="ignore"):  # what is not a number is in doubt
            if groups.shape[1] < self.maxima.shape[1]:
                most = most + slack(norms, part.reach.whole, queries.shape[1])
                doubtful |= ~(most < self._least(last, norms.length))
            if quick.values.shape[1] < slots.shape[1]:
                doubtful |= ~(self._most(next_, norms) < last - self._rounding(last, norms.length))
        return rows, scores, torch.from_numpy(doubtful).to(queries.device)

    def opened(self, rows: torch.Tensor, scores: torch.Tensor, last: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The best of the rows given and of all documents that can reach a score: ``last`` (m,)."""
        norms = Norms(*(norm[:, None] for norm in self.norms))
        most = self.maxima.double() + slack(norms, self.part.reach.sizes, self.queries.shape[1])
        inside = ~(most < self._least(last, self.norms.length)[:, None])
        counts = inside.sum(dim=1, keepdim=True)
        groups = inside.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        step = max(1, _BLOCK_VALUES // (len(last) * GROUP))
        for start in range(0, int(counts.max()), step):
            columns = groups[:, start : start + step]
            there = torch.arange(start, start + columns.shape[1], device=counts.device) < counts
            slots = members(columns, len(self.part.vectors)).masked_fill_(~there.repeat_interleave(GROUP, dim=1), -1)
            rows, scores = self._merged(slots, rows, scores)
        return rows, scores

    def _merged(
        self, slots: torch.Tensor, rows: torch.Tensor, scores: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The best k of rows given and of documents of the part, compared in float64."""
        found = exact_scores(self.queries, self.part.vectors, slots, self.metric)
        numbers = torch.where(slots < 0, slots, slots + self.part.start)
        return ranked(torch.cat([scores, found], dim=1), torch.cat([rows, numbers], dim=1), self.k)

    def _rounding(self, scores: Any, lengths: Any) -> Any:
        """(m,) float64 that scores in float64, rounded to 24 bits, may be off by, and a little more."""
        off = abs(scores) * 2.0**-22
        return off if self.metric == "l2" else off + lengths * self._longest * (self.queries.shape[1] + 4) * 2.0**-50

    def _least(self, last: Any, lengths: Any) -> Any:
        """(m,) float64: the product, bias included, of a document with the score ``last`` is no less than this."""
        least = last - self._rounding(last, lengths)
        if self.metric == "ip":
            return least
        squares = lengths * lengths  # - |q - x|^2 = 2 (q'x - |x|^2 / 2) - |q|^2
        return (least + squares) / 2 - squares * (self.queries.shape[1] + 4) * 2.0**-50

    def _most(self, quick: DoubleArray, norms: Norms) -> DoubleArray:
        """(m,) float64: no document whose float32 score is ``quick`` or less has a higher one in truth."""
        d = self.queries.shape[1]
        if self.metric == "ip":
            exact = Norms(norms.length, norms.length, 0.0)
            most: DoubleArray = quick + slack(exact, Sizes(self._longest, 0.0, 0.0), d)
            return most
        # Sums of squares of differences err relative to themselves, and by what underflows in a difference or a square;
        # one that overflowed is at least the largest float32.
        squares = np.minimum(-quick, _LARGEST) * max(0.0, 1 - (d + 4) * 2.0**-23) - d * 2.0**-126
        root = np.sqrt(np.maximum(squares, 0)) - d**0.5 * 2.0**-124
        least: DoubleArray = np.maximum(root, 0) ** 2
        return -least

    @property
    def _longest(self) -> float:
        """No document of the part is longer."""
        whole = self.part.reach.whole
        return float(whole.length) + float(whole.error)


def _searched(queries: torch.Tensor, part: Part, k: int, metric: Metric) -> _PartSearch:
    precision: Precision = str(part.rounded.values.dtype).removeprefix("torch.")  # type: ignore[assignment]
    rounded = as_operand(queries, precision)
    maxima = group_max(rounded, part.rounded)
    norms = norms_of(queries, rounded)
    return _PartSearch(queries=queries, norms=norms, maxima=maxima, part=part, k=k, metric=metric)
