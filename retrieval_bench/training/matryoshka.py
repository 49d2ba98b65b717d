"""Matryoshka loss: the first dimensions must serve alone (Kusupati et al. 2022, arXiv 2205.13147, section 3).

The contrastive loss is taken of every prefix, scaled to length 1, and averaged; all prefixes weigh the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from retrieval_bench.errors import UsageError
from retrieval_bench.training.contrastive import Contrastive, info_nce
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.text_encoder import TextEncoder


class Matryoshka(Contrastive):
    """InfoNCE over nested prefixes."""

    def __init__(self, encoder: TextEncoder, settings: Settings, dims: Sequence[int]) -> None:
        """Choose the prefixes.

        Args:
            encoder: of d dimensions.
            settings: of the run.
            dims: lengths of the prefixes, in [1, d]; d itself is wanted as a rule.

        Raises:
            UsageError: no prefix, or one longer than the vectors.
        """
        super().__init__(encoder, settings)
        dim = encoder.dim
        if not dims or min(dims) < 1 or max(dims) > dim:
            raise UsageError(f"matryoshka dimensions {list(dims)}: each must lie in 1 to {dim}, the encoder's own")
        self._dims = sorted(set(dims))
        self._temperature = settings.temperature

    def loss(self, queries: torch.Tensor, documents: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
        """Mean of the prefixes' losses."""
        losses = [
            info_nce(
                functional.normalize(queries[:, :dim], dim=-1),
                functional.normalize(documents[:, :dim], dim=-1),
                relevant,
                self._temperature,
            )
            for dim in self._dims
        ]
        return torch.stack(losses).mean()
