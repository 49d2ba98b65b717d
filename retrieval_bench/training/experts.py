"""Feed-forward experts inside a transformer, one per domain, with enforced routing.

Hallee et al. 2024 (arXiv 2401.15713, section 2): the feed-forward part of a pretrained layer is copied into experts;
a text's domain, not a learned gate, says which one serves it; attention stays shared. One layer of experts has most of
the benefit of experts in all. As each text passes one expert, the model costs what one without experts costs, and with
the expert of one domain put in place it *is* an ordinary model, which is how it is saved.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from retrieval_bench.errors import UsageError
from retrieval_bench.training.batches import Batch
from retrieval_bench.training.contrastive import Contrastive
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.text_encoder import TextEncoder, transformer_layers


class ExpertLinear(torch.nn.Module):
    """Copies of a linear map, of which the one that ``route`` names is applied."""

    def __init__(self, linear: torch.nn.Linear, count: int) -> None:
        super().__init__()
        self.experts = torch.nn.ModuleList(copy.deepcopy(linear) for _ in range(count))
        self.route: int | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Apply the expert of the route.

        Raises:
            UsageError: no route was set: nothing says which domain the inputs are of.
        """
        if self.route is None:
            raise UsageError("a mixture of experts does not choose by itself: set the domain first")
        outputs: torch.Tensor = self.experts[self.route](inputs)
        return outputs


class Experts(Contrastive):
    """InfoNCE, each batch through the experts of its domain."""

    def __init__(self, encoder: TextEncoder, settings: Settings, *, domains: int, layers: int) -> None:
        """Put experts into the encoder's upper layers.

        Args:
            encoder: changed in place.
            settings: of the run.
            domains: how many experts take a feed-forward part's place.
            layers: how many layers get experts, from the top; those must not be frozen.

        Raises:
            UsageError: more layers than are trained, or the layers have no feed-forward part to copy.
        """
        super().__init__(encoder, settings)
        stack = transformer_layers(encoder.model)
        if not 1 <= layers <= len(stack) - settings.frozen_layers:
            raise UsageError(
                f"expert layers = {layers}: must lie in 1 to {len(stack) - settings.frozen_layers}, the layers trained"
            )
        for layer in stack[-layers:]:
            # The maps of a feed-forward part change the width; those of attention keep it.
            parts = [
                (name, module)
                for name, module in layer.named_modules()
                if isinstance(module, torch.nn.Linear) and module.in_features != module.out_features
            ]
            for name, linear in parts:
                layer.set_submodule(name, ExpertLinear(linear, domains))
        if not self._mixed():
            raise UsageError(f"encoder {encoder.name!r}: its layers have no feed-forward part that can be copied")

    def forward(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """The loss of a batch of one domain."""
        self.route(batch.domain)
        return super().forward(batch, rng)

    def route(self, domain: int) -> None:
        """Send what comes next through the experts of this domain."""
        for module in self._mixed().values():
            module.route = domain

    def model_of(self, domain: int) -> SentenceTransformer:
        """The model with the experts of one domain in place: an ordinary one, which gives the same vectors."""
        model = copy.deepcopy(self.encoder.model)
        for name, module in self._mixed().items():
            model.set_submodule(name, copy.deepcopy(module.experts[domain]))
        return model

    def _mixed(self) -> dict[str, ExpertLinear]:
        return {name: m for name, m in self.encoder.model.named_modules() if isinstance(m, ExpertLinear)}
