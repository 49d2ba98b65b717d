"""What an index of reduced vectors may be asked for, and which layout fits a budget: arithmetic only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.codecs.lvq import GRID_BYTES
from retrieval_bench.errors import UsageError
from retrieval_bench.kernels.scan import ROWS, padded_dim
from retrieval_bench.types import Budget, Metric, Params

ProjectionName = Literal[
    "auto", "pca", "query_aware", "eigenvector_search", "frank_wolfe", "random_rotation"
]  # fmt: skip
Secondary = Literal["lvq8+float32", "float32", "fp16", "lvq8", "none"]
SECONDARIES: tuple[Secondary, ...] = ("lvq8+float32", "float32", "fp16", "lvq8", "none")
_VALUE_BYTES = {"lvq8+float32": 5, "float32": 4, "fp16": 2, "lvq8": 1, "none": 0}
_FEWEST_DIMS = 64  # scanned by default; vectors of fewer are not reduced


class ReducedBuild(Params):
    """How vectors are reduced and kept. What is None is chosen from the data and the budget."""

    dim: int | None = Field(
        None, ge=1, le=65_536, description="dimensions scanned; None: a third, at least 64, or what the budget allows"
    )
    projection: ProjectionName = Field(
        "auto", description="auto: query_aware where training queries differ from the documents, else pca"
    )
    secondary: Secondary | None = Field(
        None,
        description="vectors kept to re-rank with, lvq8 before float32 to read less; None: the first of them that fits",
    )


class ReducedSearch(Params):
    """How much is looked at."""

    rerank: int = Field(
        100, ge=1, le=65_536, description="candidates re-ranked for each query, at least k; no effect without secondary"
    )
    exact: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="of those, scored by float32 after lvq8, at least k; None: twice k, all where groups lie far apart",
    )


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the data ask for beside the codes (see ``_cells``).

    Attributes:
        metric: ``ip`` or ``l2``.
        cells: centres from which vectors are taken.
        scaled: each row has a scale of its own.
        biased: each row has a term of its own: under l2 always, else where the centres are far from the origin.
    """

    metric: Metric
    cells: int = 1
    scaled: bool = False
    biased: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout(Traits):
    """A complete choice.

    Attributes:
        dim: dimensions scanned.
        secondary: how originals are kept.
        lists: inverted lists; 0 where all rows are scanned.
    """

    dim: int
    secondary: Secondary
    lists: int = 0

    def total(self, n: int, d: int) -> int:
        """The most analytic bytes that an index of this layout can have, query statistics not counted."""
        inverted = self.lists > 0
        parts = max(self.lists, self.cells)  # each of which may leave 15 slots empty
        slots = (n + (ROWS - 1) * parts) // ROWS * ROWS
        width, beside = padded_dim(self.dim), 4 * (self.scaled + self.biased)
        slot = width + beside + secondary_bytes(self.secondary, d) + (4 if inverted or self.cells > 1 else 0)
        seats = (self.lists + (ROWS - 1) * self.cells) // ROWS * ROWS if inverted else 0
        lists = 16 * (max(seats, self.lists) if inverted else self.cells + -(-slots // 1024))
        groups = 4 * (slots + seats) // ROWS if self.cells > 1 else 0
        return (
            slots * slot + seats * (width + beside) + lists + groups + 4 * (d * self.dim + self.cells * (d + self.dim))
        )


def secondary_bytes(secondary: Secondary, d: int) -> int:
    """Bytes of one vector kept for re-ranking."""
    return _VALUE_BYTES[secondary] * d + (GRID_BYTES if secondary.startswith("lvq8") else 0)


def automatic_dim(d: int) -> int:
    """Dimensions to scan: a third of them in multiples of 16, but at least 64.

    On 18,000 sentences (MiniLM, 384 dimensions) the 100 best by 128 dimensions held 99.9 % of the 10 nearest for
    queries of the documents' distribution, and 99.6 % for questions.
    """
    return min(d, max(_FEWEST_DIMS, d // 48 * 16))


def choose(name: str, params: ReducedBuild, budget: Budget, n: int, d: int, traits: Traits, lists: int = 0) -> Layout:
    """The best layout that fits: originals as exact as the budget allows, or without them as many dimensions.

    Raises:
        BudgetError: nothing fits; says how many bytes the smallest layout needs.
        UsageError: more dimensions are to be scanned than there are.
    """
    if params.dim is not None and params.dim > d:
        raise UsageError(f"{name}: dim = {params.dim}, but the vectors have {d} dimensions; use 1 to {d}")
    allowed = allowed_bytes(budget, n)
    layouts = list(_layouts(params, d, traits, lists))
    for layout in layouts:
        if allowed is None or layout.total(n, d) <= allowed:
            return layout
    smallest = layouts[-1]
    what = f"{name} (dim = {smallest.dim}, secondary = {smallest.secondary}, {d} dimensions)"
    require_bytes(what, smallest.total(n, d), budget, n)
    return smallest


def _layouts(params: ReducedBuild, d: int, traits: Traits, lists: int) -> Iterator[Layout]:
    """All layouts in order of preference; the last is the smallest."""
    for secondary in (params.secondary,) if params.secondary else SECONDARIES:
        if params.dim is not None:
            dims = [params.dim]
        elif secondary == "none":
            dims = [d, *range((d - 1) // ROWS * ROWS, 0, -ROWS)]
        else:
            dims = [dim for dim in range(automatic_dim(d), 0, -ROWS) if params.secondary or dim == automatic_dim(d)]
        yield from (Layout(**vars(traits), dim=dim, secondary=secondary, lists=lists) for dim in dims)
