"""Which product-quantization layout fits a budget: arithmetic only, done before any work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.errors import UsageError
from retrieval_bench.indexes._faiss_memory import LIST_BYTES, fast_scan_rows
from retrieval_bench.indexes.ivf import automatic_lists
from retrieval_bench.types import Budget

Refine = Literal["float32", "fp16", "int8", "none"]
REFINES: tuple[Refine, ...] = ("float32", "fp16", "int8", "none")
REFINE_WIDTH = {"float32": 4, "fp16": 2, "int8": 1, "none": 0}  # bytes per dimension
_WIDEST, _FEWEST = 8, 16  # dimensions of a sub-quantizer, and sub-quantizers, whose codes still find candidates


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the caller fixed (None where it is left open) about an index of n vectors of d dimensions.

    Attributes:
        rotated: a learned rotation to ``dim`` dimensions stands before the index.
    """

    n: int
    d: int
    bits: int | None
    rotated: bool
    lists: int | None
    code_bytes: int | None
    refine: Refine | None
    dim: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A complete choice.

    Attributes:
        lists: inverted lists.
        dim: dimensions that are quantized.
        sub_quantizers: parts that a vector is cut into; divides dim.
        refine: how the originals are kept.
    """

    lists: int
    dim: int
    sub_quantizers: int
    bits: int
    refine: Refine

    @property
    def code_bytes(self) -> int:
        """Bytes of one code."""
        return -(-self.sub_quantizers * self.bits // 8)

    def total(self, wanted: Wanted) -> int:
        """The most analytic bytes an index of this layout can have; exact but for the padding of fast-scan lists."""
        n, d = wanted.n, wanted.d
        rows = fast_scan_rows(n, self.lists) if self.bits == 4 else n
        width = REFINE_WIDTH[self.refine]
        return (
            rows * self.code_bytes
            + 8 * n
            + self.lists * (4 * self.dim + LIST_BYTES)
            + 4 * self.dim * (1 << self.bits)
            + (4 * self.dim * d if wanted.rotated else 0)
            + n * d * width
            + (8 * d if self.refine == "int8" else 0)  # lowest value and range of each dimension
        )


def choose(name: str, wanted: Wanted, budget: Budget) -> Layout:
    """The best layout that fits.

    Originals are kept as exactly as the budget allows beside codes of two thirds of the useful length, else beside
    shorter ones; then codes are as long as it allows, up to half a byte for two dimensions (more where there are few
    dimensions, or nothing to refine with); centroids take an eighth of it at most while anything else fits.

    Raises:
        BudgetError: nothing fits; says how many bytes the smallest layout needs.
        UsageError: the fixed values contradict each other.
    """
    allowed = allowed_bytes(budget, wanted.n)
    layouts = list(_layouts(wanted, allowed))
    for layout in layouts:
        if allowed is None or layout.total(wanted) <= allowed:
            return layout
    smallest = min(layouts, key=lambda layout: layout.total(wanted))
    what = f"{name} ({wanted.d} dimensions, lists = {smallest.lists}, code_bytes = {smallest.code_bytes}, "
    require_bytes(f"{what}refine = {smallest.refine})", smallest.total(wanted), budget, wanted.n)
    return smallest


def _layouts(wanted: Wanted, allowed: int | None) -> Iterator[Layout]:
    """All layouts in order of preference; the last ones are the smallest."""
    scanned = _cuts(wanted, wanted.bits or 4)
    refined = [cut for cut in scanned if _useful_with_refine(wanted, cut[0])] or scanned
    alone = [(*cut, bits) for bits in _bits_without_refine(wanted) for cut in _cuts(wanted, bits)]
    alone.sort(key=lambda cut: cut[0] * cut[2], reverse=True)  # stable: of two codes of one length, that of 8 bits
    # On 50,000 GloVe vectors at 128 bytes, codes of 25 bytes and 8-bit originals reach recall .95 at 7,500 queries/s,
    # codes of 13 bytes and 16-bit originals at 6,000: what codes do not find, nothing re-ranks.
    long = [cut for cut in refined if 3 * cut[0] >= 2 * refined[0][0]]
    short = [cut for cut in refined if cut not in long]
    refines = (wanted.refine,) if wanted.refine else REFINES
    for lists in _list_counts(wanted, allowed):
        for cuts in (long, short):
            for refine in refines:
                for m, dim in cuts if refine != "none" else ():
                    yield Layout(lists=lists, dim=dim, sub_quantizers=m, bits=wanted.bits or 4, refine=refine)
        for m, dim, bits in alone if "none" in refines else ():
            yield Layout(lists=lists, dim=dim, sub_quantizers=m, bits=bits, refine="none")


def _bits_without_refine(wanted: Wanted) -> tuple[int, ...]:
    """Where the codes alone decide, 8 bits say more in the same bytes, if there are vectors to learn 256 words from."""
    if wanted.bits is not None or wanted.code_bytes is not None:
        return (wanted.bits or 4,)
    return (8, 4) if wanted.n >= 8 * 256 else (4,)


def _useful_with_refine(wanted: Wanted, sub_quantizers: int) -> bool:
    """Whether codes are long enough to find candidates, and no longer than re-ranking makes worth while.

    On 5,183 MiniLM vectors (384 dimensions) one sub-quantizer for two dimensions found what one for each found, in two
    thirds of the time; on GloVe (50 dimensions) one for each needed 4 candidates a hit, one for two more than 16, and
    of 396,000 vectors with 8 in all, 8 candidates a hit held only half of the answers.
    """
    width = wanted.d / sub_quantizers
    finds = width <= _WIDEST and sub_quantizers >= _FEWEST
    return (width >= 2 or sub_quantizers <= 64) and (finds or wanted.refine is not None)


def _list_counts(wanted: Wanted, allowed: int | None) -> list[int]:
    if wanted.lists is not None:
        return [wanted.lists]
    lists = automatic_lists(wanted.n)
    if allowed is not None:
        while lists > 1 and lists * 4 * wanted.d > allowed / 8:
            lists //= 2
    return [lists >> shift for shift in range(lists.bit_length())]


def _cuts(wanted: Wanted, bits: int) -> list[tuple[int, int]]:
    """Possible (sub-quantizers, dimensions quantized), longest codes first, one for each code size."""
    d, dim = wanted.d, wanted.dim
    if dim is not None or not wanted.rotated:
        dim = dim or d
        found = [(m, dim) for m in range(dim, 0, -1) if dim % m == 0]
    elif wanted.code_bytes is not None:
        m = wanted.code_bytes * 8 // bits
        if m > d:
            most = -(-d * bits // 8)
            raise UsageError(f"code_bytes = {wanted.code_bytes} is more than {d} dimensions can use: {most}")
        found = [(m, m * -(-d // m))]
    else:  # the rotation pads with as few dimensions as it can
        found = [(m, m * width) for width in range(1, d + 1) for m in [-(-d // width)]]
    by_size: dict[int, tuple[int, int]] = {}
    for m, quantized in found:
        by_size.setdefault(-(-m * bits // 8), (m, quantized))
    if wanted.code_bytes is None:
        return list(by_size.values())
    if wanted.code_bytes not in by_size:
        sizes = ", ".join(str(size) for size in sorted(by_size))
        raise UsageError(
            f"code_bytes = {wanted.code_bytes} of {bits}-bit sub-quantizers does not divide {dim} dimensions "
            f"evenly; possible code_bytes: {sizes}"
        )
    return [by_size[wanted.code_bytes]]
