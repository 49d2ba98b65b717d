"""A sentence-transformers model that can be trained: texts in, vectors with gradients out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from sentence_transformers import SentenceTransformer
from torch.nn import functional

from retrieval_bench.device.choose import choose_device, native_bfloat16
from retrieval_bench.encoders._models import content_hash, find_model
from retrieval_bench.encoders.loading import open_model, save_model
from retrieval_bench.errors import UsageError


class TextEncoder(torch.nn.Module):
    """The model under training. The lower layers can be frozen, word vectors always are: both change least.

    The forward pass runs in bfloat16 where the device computes in it natively; weights and vectors stay float32.

    Attributes:
        name: what it was loaded as.
        revision: hash of the files it started from.
        model: the sentence-transformers model.
    """

    def __init__(self, name: str, *, frozen_layers: int = 0, device: str | None = None) -> None:
        """Load the model.

        Args:
            name: packaged name, local folder, or model of the Hugging Face hub.
            frozen_layers: lower transformer layers that stay as they are.
            device: None is a GPU where there is one.

        Raises:
            UnavailableError: the model or the device cannot be had.
            DataError: the folder does not hold a model that can be loaded.
            UsageError: no transformer layer would be left to train.
        """
        super().__init__()
        self.name = name
        self._device = choose_device(device)
        folder = find_model(name)
        self.revision = content_hash(folder).hex()[:24]
        self.model = open_model(folder, self._device).float()
        self._bfloat16 = native_bfloat16(self._device)
        layers = transformer_layers(self.model)
        if frozen_layers >= len(layers):
            raise UsageError(
                f"encoder {name!r}: has {len(layers)} transformer layers, frozen_layers = {frozen_layers} leaves none "
                "to train"
            )
        for parameter in self.model[0].parameters():
            parameter.requires_grad = False
        for parameter in torch.nn.ModuleList(layers[frozen_layers:]).parameters():
            parameter.requires_grad = True

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return int(self.model.get_embedding_dimension() or 0)

    def forward(self, texts: Sequence[str], tokens: int, kind: Literal["query", "document"]) -> torch.Tensor:
        """(len(texts), d) float32 vectors of length 1.

        Args:
            texts: get the model's prompt for their kind, where it has one.
            tokens: kept of each.
            kind: what the texts are.
        """
        prompt = self.model.prompts.get(kind) or ""
        features = self.model.tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=tokens, padding=True, return_tensors="pt"
        ).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            vectors: torch.Tensor = self.model(dict(features))["sentence_embedding"]
        return functional.normalize(vectors.float(), dim=-1)

    def save(self, folder: Path) -> None:
        """Write the model into an existing folder, as sentence-transformers reads it."""
        save_model(self.model, folder)


def transformer_layers(model: SentenceTransformer) -> list[torch.nn.Module]:
    """The layers of the model's transformer, lowest first; empty where it has none (word-level models)."""
    stacks = [list(module) for module in model[0].modules() if isinstance(module, torch.nn.ModuleList)]
    return max(stacks, key=lambda stack: len(stack), default=[])
