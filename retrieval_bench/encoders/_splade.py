"""The last step of a SPLADE encoder, which costs most: a weight for every word of the vocabulary from every token.

The activation, log(1 + max(x, 0)), never falls: the greatest weight over the tokens of a text is that of the greatest
product. Products with a block of the vocabulary are reduced to one per text while they are in the cache; they are
never all there at once, and the logarithm is taken once per text and word, not once per token and word.
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.sparse_encoder.modules import SpladePooling

_BLOCK = {"cpu": 1 << 17, "cuda": 1 << 27}  # products held at a time
_PROBE = ("a retrieval system", "of")


class PooledHead(torch.nn.Module):
    """The head of a masked language model and the pooling over tokens, in one.

    Args:
        head: to logits (..., vocabulary) from what the model computed (..., hidden).
        activations: how often log(1 + max(x, 0)) is applied.
    """

    def __init__(self, head: torch.nn.Linear, activations: int) -> None:
        super().__init__()
        self.head, self._activations = head, activations

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Adds ``sentence_embedding``, (texts, vocabulary), to ``token_embeddings`` and ``attention_mask``."""
        hidden, there = features["token_embeddings"], features["attention_mask"].bool()
        texts, tokens, width = hidden.shape
        first = hidden[torch.arange(texts, device=hidden.device), there.int().argmax(1)]
        # A token of the text in the place of padding changes no maximum, and spares a mask over the products.
        flat = torch.where(there.unsqueeze(-1), hidden, first.unsqueeze(1)).reshape(-1, width)
        block = max(64, _BLOCK[hidden.device.type] // len(flat))
        weights = torch.split(self.head.weight, block)
        biases = torch.split(self.head.bias, block) if self.head.bias is not None else [None] * len(weights)
        parts = [
            torch.nn.functional.linear(flat, weight, bias).view(texts, tokens, -1).amax(1)
            for weight, bias in zip(weights, biases, strict=True)
        ]
        pooled = torch.cat(parts, 1).relu_()
        for _ in range(self._activations):
            pooled = pooled.log1p_()
        features["sentence_embedding"] = pooled * there.any(1, keepdim=True)
        return features


def pool_in_the_head(model: Any) -> bool:
    """Change a SparseEncoder so, where it is a masked language model with pooling by maximum; whether it was changed.

    A model whose head does something after its product would give other weights: then it stays as it was.
    """
    if len(model) != 2 or type(model[1]) is not SpladePooling or model[1].pooling_strategy != "max":
        return False
    language_model: Any = getattr(model[0], "model", None)
    pooling = model[1]
    head = getattr(language_model, "get_output_embeddings", lambda: None)()
    if not isinstance(head, torch.nn.Linear):
        return False
    before = model.encode(list(_PROBE), show_progress_bar=False).to_dense()
    through = torch.nn.Identity()
    through.bias = head.bias  # some models ask a new head for it
    language_model.set_output_embeddings(through)
    model[1] = PooledHead(head, 2 if pooling.activation_function == "log1p_relu" else 1)
    try:
        after = model.encode(list(_PROBE), show_progress_bar=False).to_dense()
        kept = after.shape == before.shape and torch.allclose(before, after, rtol=1e-2, atol=1e-2)
    except (RuntimeError, TypeError, ValueError, KeyError):
        kept = False
    if not kept:
        language_model.set_output_embeddings(head)
        model[1] = pooling
    return kept
