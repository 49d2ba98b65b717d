"""Inverted lists on a device: queries are sorted by the lists they probe, so that a list is read once for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from retrieval_bench.device.operand import Operand
from retrieval_bench.device.products import GROUP, kernels, products

Read = Callable[[int, int], Operand]


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Where the rows of lists stand: in slots, one list after the other.

    Attributes:
        sizes: (lists,) int64 rows of each list.
    """

    sizes: torch.Tensor

    @property
    def starts(self) -> torch.Tensor:
        """(lists,) int64, first slot of each list."""
        return self.sizes.cumsum(0) - self.sizes

    @property
    def groups(self) -> torch.Tensor:
        """(lists,) int64 groups of each list, the last of them perhaps not full."""
        return -(-self.sizes // GROUP)

    def parts(self, most: int) -> Iterator[tuple[slice, int, int]]:
        """Consecutive lists of at most so many slots together (or one list), with their first slot and the end."""
        ends: list[int] = self.sizes.cumsum(0).tolist()
        first, start = 0, 0
        for number in range(1, len(ends) + 1):
            if number == len(ends) or ends[number] - start > most:
                yield slice(first, number), start, ends[number - 1]
                first, start = number, ends[number - 1]


def lists_of(of_row: torch.Tensor, count: int) -> tuple[Lists, torch.Tensor]:
    """The lists of rows, and (n,) int64: the row that stands in each slot.

    Args:
        of_row: (n,) int64, the list of each row.
        count: of lists.
    """
    return Lists(sizes=torch.bincount(of_row, minlength=count)), torch.argsort(of_row, stable=True)


@dataclass(frozen=True, kw_only=True)
class Maxima:
    """The best score of every group of documents in the lists that each query probes.

    Attributes:
        best: (m, width) float32: the groups of a query's lists, one list after the other; -inf pads.
        probes: (m, p) int64 lists.
        ends: (m, p) int64 column after the last group of each.
    """

    best: torch.Tensor
    probes: torch.Tensor
    ends: torch.Tensor

    def slots(self, columns: torch.Tensor, lists: Lists) -> torch.Tensor:
        """(m, c * GROUP) int64 slots of the groups in these columns (m, c); -1 where no row stands."""
        probe = torch.searchsorted(self.ends, columns, right=True).clamp_max(self.ends.shape[1] - 1)
        which = self.probes.gather(1, probe)
        starts, sizes = lists.starts[which], lists.sizes[which]
        before = self.ends.gather(1, probe) - lists.groups[which]
        within = (columns - before)[:, :, None] * GROUP + torch.arange(GROUP, device=columns.device)
        there = (within >= 0) & (within < sizes[:, :, None])
        return torch.where(there, starts[:, :, None] + within, -1).flatten(1)


def list_group_max(queries: Operand, read: Read, lists: Lists, probes: torch.Tensor, most: int = 1 << 62) -> Maxima:
    """As products.group_max, over the lists that each query probes.

    Args:
        queries: m rows.
        read: gives the documents of the slots from one number to another, decoded where they are coded.
        lists: where documents stand.
        probes: (m, p) int64 lists of each query, none twice.
        most: slots to read at a time.
    """
    starts, widths = lists.starts, lists.groups[probes]
    ends = widths.cumsum(1)
    width = int(ends[:, -1].max()) if len(probes) else 0
    best = torch.full((len(probes), width), -torch.inf, device=probes.device)
    flat = probes.flatten()
    order = torch.argsort(flat, stable=True)
    counts = torch.bincount(flat, minlength=len(starts))
    firsts = counts.cumsum(0) - counts
    pair_query = order // probes.shape[1]
    pair_place = pair_query * width + (ends - widths).flatten()[order]
    native = kernels(probes.device)
    for part, start, end in lists.parts(most):
        documents = read(start, end)
        places = counts[part], firsts[part], starts[part], lists.sizes[part]
        if native is not None:
            native.list_group_max(queries, documents, best, pair_query, pair_place, *places, start)
            continue
        for count, first, slot, size in torch.stack(places, dim=1).tolist():
            if count and size:
                pairs = slice(first, first + count)
                asked = pair_query[pairs]
                found = products(_taken(queries, asked), documents[slot - start : slot - start + size])
                found = torch.nn.functional.pad(found, (0, -size % GROUP), value=-torch.inf)
                found = found.view(count, -1, GROUP).amax(dim=2)
                places_of = pair_place[pairs, None] + torch.arange(found.shape[1], device=probes.device)
                best.view(-1)[places_of] = found
    return Maxima(best=best, probes=probes, ends=ends)


def _taken(queries: Operand, rows: torch.Tensor) -> Operand:
    return Operand(values=queries.values[rows], scale=None if queries.scale is None else queries.scale[rows])
