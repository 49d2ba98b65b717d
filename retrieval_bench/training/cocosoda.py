"""Code search with soft data augmentation, a momentum encoder with queues, and multimodal contrast.

CoCoSoDa (Shi et al. 2023, arXiv 2204.03293, section 3). Queries and code are augmented twice: once for the encoder
that learns, once for the momentum encoder whose vectors are the keys. A query must find its code and code its query
(inter-modal), and each its own other view (intra-modal), among the keys of the batch and of the queues.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from retrieval_bench.errors import UsageError
from retrieval_bench.training.batches import Batch
from retrieval_bench.training.momentum import MomentumEncoder, Queue
from retrieval_bench.training.objective import Objective
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.soft_augmentation import masked, softened
from retrieval_bench.training.text_encoder import TextEncoder
from retrieval_bench.training.web_queries import rewritten


class CoCoSoDaSettings(Settings):
    """Settings of the recipe. The paper trains for ten epochs with momentum 0.999, too slow for some hundred steps."""

    negatives: int = Field(default=0, ge=0, le=0, description="none are mined: the queues hold the negatives")
    momentum: float = Field(default=0.99, ge=0, lt=1, description="share of its weights the momentum encoder keeps")
    queue: int = Field(default=1024, ge=2, description="vectors in each queue; fewer than there are training queries")


class CoCoSoDa(Objective):
    """The sum of the four contrasts: query to code, code to query, query to query, code to code."""

    def __init__(self, encoder: TextEncoder, settings: CoCoSoDaSettings) -> None:
        """Copy the encoder for the keys and make empty queues.

        Raises:
            UsageError: the encoder's tokenizer has no mask token.
        """
        super().__init__(encoder)
        self._settings = settings
        self._mask = encoder.model.tokenizer.mask_token
        if self._mask is None:
            raise UsageError(f"encoder {encoder.name!r}: its tokenizer has no mask token, which cocosoda needs")
        self.momentum = MomentumEncoder(encoder, settings.momentum)
        self.query_keys = Queue(settings.queue, encoder.dim)
        self.code_keys = Queue(settings.queue, encoder.dim)

    def forward(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """The loss of a batch; its keys enter the queues afterwards."""
        queries, code = self._views(batch, rng, self.encoder)
        with torch.no_grad():
            self.momentum.follow(self.encoder)
            query_keys, code_keys = self._views(batch, rng, self.momentum.copied)
        owners = torch.from_numpy(batch.query_rows).to(queries.device)
        relevant = torch.from_numpy(batch.relevant).to(queries.device)
        excluded = relevant & ~torch.eye(len(owners), dtype=torch.bool, device=queries.device)
        loss = torch.stack([
            queue.loss(asked, keys, owners, excluded, self._settings.temperature)
            for asked in (queries, code)
            for keys, queue in ((query_keys, self.query_keys), (code_keys, self.code_keys))
        ]).sum()  # fmt: skip
        self.query_keys.put(query_keys, owners)
        self.code_keys.put(code_keys, owners)
        return loss

    def _views(self, batch: Batch, rng: np.random.Generator, encoder: TextEncoder) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of the batch's queries and code, each augmented anew."""
        asked = rewritten(batch.queries, self._settings.web_queries, rng)
        return (
            encoder([masked(text, self._mask, rng) for text in asked], self._settings.query_tokens, "query"),
            encoder(
                [softened(text, self._mask, rng) for text in batch.documents],
                self._settings.document_tokens,
                "document",
            ),
        )
