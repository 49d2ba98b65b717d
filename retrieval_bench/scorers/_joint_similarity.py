"""The head of the cross-encoder trained here: how alike the two texts are once each has been read beside the other.

A classifier on the first token starts from nothing and needs more judged pairs than a small set has. This head starts
from what a dual encoder knows already: it compares the token vectors of the query's part with those of the document's
part, as sentence vectors are compared (cosine of the means) and as late interaction does it (MaxSim: Khattab and
Zaharia 2020, arXiv 2004.12832, section 3.3). Training teaches the transformer what to do with the joint reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from sentence_transformers.base.modules import Module
from torch.nn import functional


class JointSimilarity(Module):
    """``weight[0]`` times the cosine of the parts' mean vectors, plus ``weight[1]`` times the mean MaxSim.

    The last module of a sentence-transformers CrossEncoder; the transformer must tell the parts apart
    (``token_type_ids``), as those of the BERT family do.
    """

    config_keys: list[str] = []  # noqa: RUF012 - as the base class declares it

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weight = torch.nn.Parameter(torch.tensor([10.0, 10.0]))

    def forward(self, features: dict[str, torch.Tensor], **kwargs: Any) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Add ``scores`` (b, 1) float32 to the features of b pairs of t tokens."""
        vectors = features["token_embeddings"].float()
        there, second = features["attention_mask"].bool(), features["token_type_ids"].bool()
        query, document = there & ~second, there & second
        cosine = functional.cosine_similarity(_mean(vectors, query), _mean(vectors, document))
        unit = functional.normalize(vectors, dim=-1)
        best = (unit @ unit.transpose(1, 2)).masked_fill(~document[:, None, :], -1.0).amax(dim=-1)
        late = (best * query).sum(dim=1) / query.sum(dim=1)
        features["scores"] = (torch.stack([cosine, late], dim=1) @ self.weight)[:, None]
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:  # noqa: ARG002
        """Write the weights as safetensors."""
        self.save_config(output_path)
        self.save_torch_weights(output_path)

    @classmethod
    def restored(cls, folder: Path) -> JointSimilarity:
        """Read what ``save`` wrote."""
        head = cls()
        head.load_state_dict(load_file(folder / "model.safetensors"))
        return head


def _mean(vectors: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    weights = kept.float()[..., None]
    return (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
