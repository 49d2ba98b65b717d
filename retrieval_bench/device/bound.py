"""How far a product of rounded vectors, summed in float32, can be from the inner product of the vectors themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from retrieval_bench.device.operand import Operand
from retrieval_bench.device.products import GROUP

_BLOCK_GROUPS = 1 << 10
_ACCUMULATION = 2.0**-22  # relative error of one float32 addition on matrix units, which truncate: twice rounding's
_INPUTS = {"highest": 0.0, "high": 2.0**-9, "medium": 2.0**-6}  # of a product where torch may shorten float32 factors
_UNDERFLOW = 2.0**-126  # what a product, a sum or a factor loses where small values are flushed to zero
_OVERFLOW = 1e37  # float32 sums that may pass this may not be finite


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What bounds the error of products with the documents of each group, float32 rounded upwards.

    Attributes:
        length: (g,) the largest length of a rounded document.
        error: (g,) the largest distance between a document and what it was rounded to.
        bias: (g,) the largest absolute bias.
    """

    length: torch.Tensor
    error: torch.Tensor
    bias: torch.Tensor

    def largest(self) -> Reach:
        """Of all documents, as the one group (1,) that they are."""
        return Reach(length=self.length.amax()[None], error=self.error.amax()[None], bias=self.bias.amax()[None])


def reach_of(vectors: torch.Tensor, rounded: Operand) -> Reach:
    """Of documents (n, d) float32, n > 0, and their rounded form; read in blocks, measured in float64."""
    found: list[list[torch.Tensor]] = [[], [], []]
    for start in range(0, len(vectors), _BLOCK_GROUPS * GROUP):
        block, stands = vectors[start : start + _BLOCK_GROUPS * GROUP], rounded[start : start + _BLOCK_GROUPS * GROUP]
        wide = stands.wide(torch.float64)
        bias = torch.zeros(len(block), device=block.device) if stands.bias is None else stands.bias.abs()
        # Documents that are not numbers once rounded (bfloat16 overflows to infinity) are infinitely far off.
        for kept, values in zip(found, (wide.norm(dim=1), (block - wide).norm(dim=1), bias), strict=True):
            kept.append(_of_groups(values.double().nan_to_num(nan=torch.inf, posinf=torch.inf)))
    length, error, bias = (torch.cat(kept) for kept in found)
    return Reach(length=length, error=error, bias=bias)


def _of_groups(values: torch.Tensor) -> torch.Tensor:
    """(g,) float32, no less than the largest of each ``GROUP`` of (n,) float64 values that are not negative."""
    padded = torch.nn.functional.pad(values, (0, -len(values) % GROUP))
    most = padded.view(-1, GROUP).amax(dim=1).float()
    return torch.nextafter(most, torch.full_like(most, torch.inf))


def slack(queries: torch.Tensor, rounded: Operand, documents: Reach) -> torch.Tensor:
    """(m, g) float64: no product of a rounded query with a document of the group, bias included, is further off.

    By the triangle inequality ``|q'x - r's| <= |q| |x - s| + |q - r| |s|``, to which comes what adding d products and
    the bias in float32 can lose: relative to the magnitudes (Higham, Accuracy and Stability of Numerical Algorithms,
    2nd ed., section 3.1), and the least normal number for every term that underflows. It is infinite where a sum may
    overflow. The bias itself may be off by as much as one of d + 1 additions.

    Args:
        queries: (m, d) float32.
        rounded: the same, rounded.
        documents: of g groups.
    """
    d = queries.shape[1]
    wide, asked = rounded.wide(torch.float64), queries.double()
    length, short, off = (v.norm(dim=1, keepdim=True) for v in (asked, wide, asked - wide))
    reach, error, bias = (v.double() for v in (documents.length, documents.error, documents.bias))
    lost = (d + 4) * _ACCUMULATION
    lost = lost / (1 - lost) if lost < 1 else torch.inf
    inputs = _INPUTS[torch.get_float32_matmul_precision()]
    found = length * error + (off + (lost + inputs) * short) * reach + lost * bias
    found = found * 1.001 + (d + 4) * _UNDERFLOW * (1 + short + reach)
    found[reach * (short + 128 * d**0.5) + bias > _OVERFLOW] = torch.inf
    bound: torch.Tensor = found.nan_to_num_(nan=torch.inf, posinf=torch.inf)
    return bound
