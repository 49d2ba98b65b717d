"""What a recipe gives to the loop: a module that holds all that training changes, and turns a batch into a loss."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch

from retrieval_bench.training.batches import Batch
from retrieval_bench.training.text_encoder import TextEncoder


class Objective(torch.nn.Module):
    """Base of all objectives. Its state (weights, queues) is what a checkpoint keeps.

    Attributes:
        encoder: what is trained, and saved at the end.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def forward(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """The loss of a batch, a scalar.

        Args:
            batch: of this step.
            rng: of this step's choices; torch's own generator is seeded for the step as well.
        """
