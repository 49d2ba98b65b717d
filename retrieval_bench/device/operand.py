"""Vectors as a device multiplies them, and how far that is from what they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from retrieval_bench.device.choose import Precision
from retrieval_bench.errors import DataError

_LARGEST_INT8 = 127
_BLOCK_ROWS = 1 << 16
_HALF_LIMIT = 65_504.0  # of float16
_ACCUMULATION = 2.0**-22  # relative error of one float32 addition on matrix units, which truncate: twice rounding's


@dataclass(frozen=True, kw_only=True)
class Operand:
    """Rows of a matrix product. Row i stands for ``scale[i] * values[i]``, and ``bias[i]`` is added to its products.

    Attributes:
        values: (n, d) float32, bfloat16, float16 or int8, contiguous.
        scale: (n,) float32, or None for 1.
        bias: (n,) float32, or None for 0.
    """

    values: torch.Tensor
    scale: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Operand:
        """Some rows, as views."""
        return Operand(
            values=self.values[part],
            scale=None if self.scale is None else self.scale[part],
            bias=None if self.bias is None else self.bias[part],
        )

    def wide(self) -> torch.Tensor:
        """(n, d) float32 that the values stand for, without the bias."""
        wide = self.values.float()
        return wide if self.scale is None else wide * self.scale[:, None]


def as_operand(vectors: torch.Tensor, precision: Precision, bias: torch.Tensor | None = None) -> Operand:
    """Round (n, d) float32 to a precision; int8 has a scale for every row, by its largest value.

    Raises:
        DataError: float16 was asked for, and a value overflows it.
    """
    if precision == "int8":
        largest = vectors.abs().amax(dim=1)
        scale = torch.where(largest > 0, largest / _LARGEST_INT8, torch.ones_like(largest))
        return Operand(values=torch.round(vectors / scale[:, None]).to(torch.int8), scale=scale, bias=bias)
    if precision == "float16" and vectors.numel() and float(vectors.abs().max()) > _HALF_LIMIT:
        raise DataError("values beyond 65504 do not fit into float16; use precision = 'bfloat16' or 'float32'")
    return Operand(values=vectors.to(getattr(torch, precision)).contiguous(), bias=bias)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What bounds the error of products with some documents, as 0-dimensional float32 tensors.

    Attributes:
        length: the largest length of a rounded document.
        error: the largest distance between a document and what it was rounded to.
        bias: the largest absolute bias.
    """

    length: torch.Tensor
    error: torch.Tensor
    bias: torch.Tensor


def reach_of(vectors: torch.Tensor, rounded: Operand) -> Reach:
    """Of documents (n, d) float32 and their rounded form; read in blocks."""
    zero = torch.zeros((), device=vectors.device)
    length, error = zero, zero
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block, wide = vectors[start : start + _BLOCK_ROWS], rounded[start : start + _BLOCK_ROWS].wide()
        length = torch.maximum(length, wide.norm(dim=1).amax())
        error = torch.maximum(error, (block - wide).norm(dim=1).amax())
    return Reach(length=length, error=error, bias=zero if rounded.bias is None else rounded.bias.abs().amax())


def error_bound(queries: torch.Tensor, rounded: Operand, documents: Reach) -> torch.Tensor:
    """(m,) float32: no product of a rounded query with a rounded document is further from the exact one than this.

    By the triangle inequality ``|q'x - r's| <= |q| |x - s| + |q - r| |s|``, to which comes what adding d products in
    float32 can lose (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1), with a margin for
    the rounding of the bound itself.

    Args:
        queries: (m, d) float32.
        rounded: the same, rounded.
        documents: of all rows that are compared.
    """
    wide = rounded.wide()
    length, short = queries.norm(dim=1), wide.norm(dim=1)
    added = (queries.shape[1] + 2) * _ACCUMULATION * (short * documents.length + documents.bias)
    bound: torch.Tensor = (length * documents.error + (queries - wide).norm(dim=1) * documents.length + added) * 1.001
    return bound
