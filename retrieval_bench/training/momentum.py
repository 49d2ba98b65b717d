"""A slowly following copy of an encoder and queues of its vectors: many negatives at the price of a small batch.

MoCo (He et al. 2020, arXiv 1911.05722, section 3.2).
"""

from __future__ import annotations

import copy

import torch
from torch.nn import functional

from retrieval_bench.training.text_encoder import TextEncoder


class MomentumEncoder(torch.nn.Module):
    """An encoder without gradients whose weights follow those of another."""

    def __init__(self, encoder: TextEncoder, momentum: float) -> None:
        """Copy the encoder.

        Args:
            encoder: to follow.
            momentum: share of its own weights kept in each step.
        """
        super().__init__()
        self.copied = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self._momentum = momentum

    @torch.no_grad()
    def follow(self, encoder: TextEncoder) -> None:
        """Move a step towards the encoder's weights."""
        for own, other in zip(self.copied.parameters(), encoder.parameters(), strict=True):
            if other.requires_grad:
                own.lerp_(other, 1 - self._momentum)


class Queue(torch.nn.Module):
    """The last vectors that were put in, with the number of what each belongs to; empty places are marked -1."""

    vectors: torch.Tensor
    owners: torch.Tensor
    place: torch.Tensor

    def __init__(self, size: int, dim: int) -> None:
        """Make an empty queue of this many vectors."""
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("owners", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def put(self, vectors: torch.Tensor, owners: torch.Tensor) -> None:
        """Replace the oldest vectors."""
        places = (torch.arange(len(vectors), device=self.place.device) + self.place) % len(self.owners)
        self.vectors[places], self.owners[places] = vectors, owners
        self.place.add_(len(vectors)).remainder_(len(self.owners))

    def loss(
        self, asked: torch.Tensor, keys: torch.Tensor, owners: torch.Tensor, excluded: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        """Mean cross-entropy of finding each key among those of the batch and of the queue.

        Args:
            asked: (b, d) of length 1, with gradients.
            keys: (b, d); key i is the right one of ``asked[i]``.
            owners: (b,) of the keys: what the queue holds of the same owner is no negative.
            excluded: (b, b) bool, keys of the batch that are no negatives of others.
            temperature: cosine similarities are divided by it.
        """
        same = owners[:, None] == self.owners[None, :]
        batch = (asked @ keys.T).masked_fill(excluded, -torch.inf)
        held = (
            self.vectors.clone()
        )  # the gradient needs them as they are now, and the queue moves on before it is taken
        queued = (asked @ held.T).masked_fill(same | (self.owners < 0), -torch.inf)
        target = torch.arange(len(asked), device=asked.device)
        return functional.cross_entropy(torch.cat([batch, queued], dim=1) / temperature, target)
