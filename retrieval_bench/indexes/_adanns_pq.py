"""Optimized product quantization of a prefix of nested vectors: what fits a budget, and its training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.errors import UsageError
from retrieval_bench.indexes._adanns_calibration import CALIBRATION_BYTES
from retrieval_bench.indexes._adanns_nesting import MOST_DIMENSIONS, AdannsBuild, nesting_bytes
from retrieval_bench.indexes._faiss import check_enough, seed_clustering
from retrieval_bench.indexes._faiss_memory import LIST_BYTES
from retrieval_bench.indexes._pq_plan import REFINES, Refine
from retrieval_bench.types import Budget, FloatArray

CODEWORDS = 256
_WIDTH = {"float32": 4, "fp16": 2, "int8": 1, "none": 0}  # bytes per dimension
_ROWS = 16_384  # 64 for each codeword; more change the rotation little and cost in proportion
_ROUNDS = 10


class AdannsPqBuild(AdannsBuild):
    """How vectors are nested and compressed. What is None is chosen from the data and the budget."""

    code_bytes: int | None = Field(
        None, ge=1, le=4096, description="8-bit sub-quantizers; None: one for 8 dimensions, or what the budget allows"
    )
    d_s: int | None = Field(
        None,
        ge=1,
        le=MOST_DIMENSIONS,
        description="leading dimensions that are quantized; None: 4 for each byte of the code",
    )
    refine: Refine | None = Field(None, description="vectors kept to re-rank with; None: the most exact that fits")


@dataclass(frozen=True, kw_only=True)
class PqLayout:
    """A complete choice.

    Attributes:
        code_bytes: sub-quantizers of 8 bits.
        d_s: leading dimensions that are quantized.
        kept: nested dimensions that queries are mapped to: d_s where nothing is kept to re-rank with.
        refine: how the kept dimensions are stored.
        lists: inverted lists; 0 for an exhaustive scan.
        d_c: leading dimensions that are clustered.
    """

    code_bytes: int
    d_s: int
    kept: int
    refine: Refine
    lists: int
    d_c: int

    @property
    def turned(self) -> int:
        """Dimensions after the rotation: d_s, padded to a multiple of the sub-quantizers."""
        return self.code_bytes * -(-self.d_s // self.code_bytes)

    def total(self, params: AdannsPqBuild, n: int, d: int) -> int:
        """The most analytic bytes an index of this layout can have."""
        refined = n * self.kept * _WIDTH[self.refine] + (8 * self.kept if self.refine == "int8" else 0)
        lists = self.lists * (4 * self.turned + 4 * self.d_c + LIST_BYTES) + (8 * n if self.lists else 0)
        return (
            n * self.code_bytes
            + 4 * self.turned * (CODEWORDS + self.d_s)
            + lists
            + refined
            + nesting_bytes(params.nesting, d, self.kept)
            + CALIBRATION_BYTES
        )


def plan(
    name: str, params: AdannsPqBuild, n: int, d: int, budget: Budget, *, lists: tuple[int, ...] = (0,), d_c: int = 0
) -> PqLayout:
    """The best layout that fits: vectors kept as exactly as the budget allows, then the most lists, the longest codes.

    Args:
        name: the backend, for an error.
        params: what the caller fixed.
        n: vectors.
        d: dimensions.
        budget: the limits.
        lists: numbers of inverted lists to choose from, in order of preference.
        d_c: leading dimensions clustered; 0 where there are no lists.

    Raises:
        BudgetError: nothing fits; says how many bytes the smallest layout needs.
        UsageError: the fixed values contradict each other.
        DataError: fewer vectors than codewords.
    """
    most = params.dim or d
    for what, value in (("dim", params.dim or 1), ("d_s", params.d_s or 1), ("d_c", d_c)):
        if value > min(most, d):
            raise UsageError(f"{name}: {what} = {value} is more than the {min(most, d)} dimensions there are")
    if params.code_bytes is not None and params.code_bytes > (params.d_s or most):
        raise UsageError(
            f"{name}: code_bytes = {params.code_bytes} sub-quantizers cannot divide {params.d_s or most} dimensions; "
            f"use at most {params.d_s or most}"
        )
    allowed = allowed_bytes(budget, n)
    layouts = list(_layouts(params, most, lists, d_c))
    fitting = (layout for layout in layouts if allowed is None or layout.total(params, n, d) <= allowed)
    chosen = next(fitting, None) or min(layouts, key=lambda layout: layout.total(params, n, d))
    what = f"{name} (code_bytes = {chosen.code_bytes}, d_s = {chosen.d_s}, refine = {chosen.refine})"
    require_bytes(what, chosen.total(params, n, d), budget, n)
    check_enough(n, chosen.lists, CODEWORDS)
    return chosen


def _layouts(params: AdannsPqBuild, most: int, lists: tuple[int, ...], d_c: int) -> Iterator[PqLayout]:
    usual = -(-most // 8)
    for refine in (params.refine,) if params.refine else REFINES:
        longest = min(most, params.d_s or most) if refine == "none" else min(usual, params.d_s or most)
        shortest = 1 if refine == "none" or params.refine else -(-usual // 2)
        for number in lists:
            sizes = (params.code_bytes,) if params.code_bytes else range(longest, min(shortest, longest) - 1, -1)
            for code_bytes in sizes:
                d_s = params.d_s or min(most, 4 * code_bytes)
                kept = max(d_s, d_c) if refine == "none" else most
                yield PqLayout(code_bytes=code_bytes, d_s=d_s, kept=kept, refine=refine, lists=number, d_c=d_c)


def rotation(layout: PqLayout, prefix: FloatArray, seed: int) -> Any:
    """The rotation (Ge, He, Ke and Sun 2013) that spreads the variance of a prefix (n, d_s) over the sub-quantizers."""
    turn = faiss.OPQMatrix(layout.d_s, layout.code_bytes, layout.turned)
    quantizer = faiss.ProductQuantizer(layout.turned, layout.code_bytes, 8)
    seed_clustering(quantizer.cp, seed)
    turn.pq, turn.niter = quantizer, _ROUNDS
    sample = sampled(prefix, seed)
    turn.train(np.resize(sample, (max(len(sample), layout.d_s), layout.d_s)))  # on fewer faiss writes beyond its arrays
    turn.pq = None
    return turn


def sampled(rows: FloatArray, seed: int) -> FloatArray:
    """Rows to train on, the same for the same seed, as a contiguous array."""
    if len(rows) > _ROWS:
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), _ROWS, replace=False))]
    return np.ascontiguousarray(rows)
