"""Vectors as a device multiplies them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from retrieval_bench.device.choose import Precision
from retrieval_bench.errors import DataError

_LARGEST_INT8 = 127
_LEAST_SCALE = 2.0**-126  # of float32: a smaller one would lose its last bits, or be 0
_HALF_LIMIT = 65_504.0  # of float16


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

    def take(self, rows: torch.Tensor | slice) -> Operand:
        """Some rows, without their bias."""
        return Operand(values=self.values[rows], scale=None if self.scale is None else self.scale[rows])

    def wide(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """(n, d) that the values stand for, without the bias; a scale is rounded to the type, a float64 not at all."""
        wide = self.values.to(dtype)
        return wide if self.scale is None else wide * self.scale.to(dtype)[:, None]


def as_operand(vectors: torch.Tensor, precision: Precision, bias: torch.Tensor | None = None) -> Operand:
    """Round (n, d) float32 to a precision; int8 has a scale for every row, by its largest value.

    Raises:
        DataError: float16 was asked for, and a value overflows it.
    """
    if precision == "int8":
        largest = vectors.abs().amax(dim=1)
        scale = torch.where(largest > 0, largest / _LARGEST_INT8, 1.0).clamp_min(_LEAST_SCALE)
        return Operand(values=torch.round(vectors / scale[:, None]).to(torch.int8), scale=scale, bias=bias)
    if precision == "float16" and vectors.numel() and float(vectors.abs().max()) > _HALF_LIMIT:
        raise DataError("values beyond 65504 do not fit into float16; use precision = 'bfloat16' or 'float32'")
    return Operand(values=vectors.to(getattr(torch, precision)).contiguous(), bias=bias)
