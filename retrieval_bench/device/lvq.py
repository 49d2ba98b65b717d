"""Locally-adaptive vector quantization on a device: the codes of ``codecs.lvq``, to the bit but for near ties."""

from __future__ import annotations

import torch


def encode_lvq(
    vectors: torch.Tensor, mean: torch.Tensor, bits: int, residual_bits: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes of both levels, and the grid of every vector.

    Args:
        vectors: (n, d) float32.
        mean: (d,) float32, removed first.
        bits: of the first level: 4 or 8.
        residual_bits: of the second: 0, 4 or 8.

    Returns:
        (n, d) uint8 codes and (n, d) uint8 residuals, not packed, and (n, 2) float32 scale and offset.
    """
    centred = vectors - mean
    low, high = centred.amin(dim=1, keepdim=True), centred.amax(dim=1, keepdim=True)
    scale = (high - low) / (2**bits - 1)
    step = torch.where(scale > 0, scale, torch.ones_like(scale))  # a constant vector is its offset
    places = (centred - low) / step
    values = places.round().clamp_(0, 2**bits - 1)
    most = 2**residual_bits - 1
    rest = ((places - values + 0.5) * most).round_().clamp_(0, most)
    return values.to(torch.uint8), rest.to(torch.uint8), torch.cat([scale, low], dim=1)
