"""How far a product of rounded vectors, summed in float32, can be from the inner product of the vectors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from retrieval_bench.device.operand import Operand
from retrieval_bench.device.products import GROUP

Numbers = Any  # a tensor or an array of float64, or a float: the same arithmetic serves all, by broadcasting

_BLOCK_GROUPS = 1 << 10
_ACCUMULATION = 2.0**-22  # relative error of one float32 addition on matrix units, which truncate: twice rounding's
_INPUTS = {"highest": 0.0, "high": 2.0**-9, "medium": 2.0**-6}  # of a product where torch may shorten float32 factors
_UNDERFLOW = 2.0**-126  # what a product, a sum or a factor loses where small values are flushed to zero
_OVERFLOW = 1e37  # float32 sums that may pass this may not be finite


class Sizes(NamedTuple):
    """Of documents: the largest length once rounded, distance to what was rounded, and absolute bias."""

    length: Numbers
    error: Numbers
    bias: Numbers


class Norms(NamedTuple):
    """Of queries: their lengths, those once rounded, and the distances between."""

    length: Numbers
    short: Numbers
    off: Numbers


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What bounds the error of products with the documents of each of g groups.

    Attributes:
        groups: (3, g) float32, rounded upwards: the ``Sizes`` of each.
        whole: of all documents.
    """

    groups: torch.Tensor
    whole: Sizes

    @property
    def sizes(self) -> Sizes:
        """Of each group, (g,)."""
        return Sizes(*self.groups.double())


def reach_of(vectors: torch.Tensor, rounded: Operand) -> Reach:
    """Of documents (n, d) float32, n > 0, and their rounded form; read in blocks, measured in float64."""
    found = []
    for start in range(0, len(vectors), _BLOCK_GROUPS * GROUP):
        block, stands = vectors[start : start + _BLOCK_GROUPS * GROUP], rounded[start : start + _BLOCK_GROUPS * GROUP]
        wide = stands.wide(torch.float64)
        bias = torch.zeros(len(block), device=block.device) if stands.bias is None else stands.bias.abs()
        sizes = torch.stack([wide.norm(dim=1), (block - wide).norm(dim=1), bias.double()])
        # Documents that are not numbers once rounded (bfloat16 overflows to infinity) are infinitely far off.
        sizes = sizes.nan_to_num_(nan=torch.inf, posinf=torch.inf)
        padded = torch.nn.functional.pad(sizes, (0, -len(block) % GROUP))
        found.append(padded.view(3, -1, GROUP).amax(dim=2).float())
    return reach_from(torch.cat(found, dim=1))


def reach_from(groups: torch.Tensor) -> Reach:
    """Of sizes (3, g) float32, which are rounded upwards."""
    groups = torch.nextafter(groups, torch.full_like(groups, torch.inf))
    return Reach(groups=groups, whole=Sizes(*groups.amax(dim=1).tolist()))


def norms_of(queries: torch.Tensor, rounded: Operand) -> Norms:
    """Of queries (m, d) float32 and their rounded form: (m,) each."""
    length = torch.linalg.vector_norm(queries, dim=1, dtype=torch.float64)
    if rounded.values.dtype == torch.float32:
        return Norms(length, length, torch.zeros_like(length))
    wide = rounded.wide(torch.float64)
    return Norms(length, wide.norm(dim=1), (queries - wide).norm(dim=1))


def slack(asked: Norms, documents: Sizes, d: int) -> Numbers:
    """No product of a rounded query with a rounded document, bias included, is further off than this.

    By the triangle inequality ``|q'x - r's| <= |q| |x - s| + |q - r| |s|``, to which comes what adding d products and
    the bias in float32 can lose: relative to the magnitudes (Higham, Accuracy and Stability of Numerical Algorithms,
    2nd ed., section 3.1), and the least normal number for every term that underflows. Where a sum may overflow it is
    infinite, or not a number. The bias itself may be off by as much as one of d + 1 additions.

    Args:
        asked: of the queries.
        documents: of the documents.
        d: dimensions.
    """
    lost = (d + 4) * _ACCUMULATION
    lost = lost / (1 - lost) if lost < 1 else np.inf
    inputs = _INPUTS[torch.get_float32_matmul_precision()]
    (length, short, off), (reach, error, bias) = asked, documents
    found = length * error + (off + (lost + inputs) * short) * reach + lost * bias
    found = found * 1.001 + (d + 4) * _UNDERFLOW * (1 + short + reach)
    fits = reach * (short + 128 * d**0.5) + bias <= _OVERFLOW
    return found / fits
