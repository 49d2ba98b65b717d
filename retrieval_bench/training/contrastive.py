"""Contrastive dual encoder: a query must be nearer to its document than to all others of the batch.

Multiple-negatives ranking (Henderson et al. 2017, arXiv 1705.00652, section 4), which is InfoNCE (van den Oord et al.
2018, arXiv 1807.03748), both ways, with hard negatives from BM25 (Karpukhin et al. 2020, arXiv 2004.04906, sec. 3.2).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from retrieval_bench.training.batches import Batch
from retrieval_bench.training.objective import Objective
from retrieval_bench.training.settings import Settings
from retrieval_bench.training.text_encoder import TextEncoder
from retrieval_bench.training.web_queries import rewritten


def info_nce(
    queries: torch.Tensor, documents: torch.Tensor, relevant: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Mean cross-entropy of finding each query's document among all, and each document's query among all.

    Args:
        queries: (b, d) of length 1.
        documents: (n, d) of length 1, n >= b; document i is that of query i, the others are negatives ...
        relevant: (b, n) bool ... but for those marked here: documents relevant to a query without being its own.
        temperature: cosine similarities are divided by it.
    """
    count = len(queries)
    own = torch.eye(count, len(documents), dtype=torch.bool, device=queries.device)
    scores = (queries @ documents.T / temperature).masked_fill(relevant & ~own, -torch.inf)
    target = torch.arange(count, device=queries.device)
    return (functional.cross_entropy(scores, target) + functional.cross_entropy(scores[:, :count].T, target)) / 2


class Contrastive(Objective):
    """InfoNCE over a batch's queries and documents."""

    def __init__(self, encoder: TextEncoder, settings: Settings) -> None:
        super().__init__(encoder)
        self._settings = settings

    def forward(self, batch: Batch, rng: np.random.Generator) -> torch.Tensor:
        """The loss of a batch, some of its queries rewritten as web queries."""
        queries, documents = self.vectors(batch, rng)
        return self.loss(queries, documents, torch.from_numpy(batch.relevant).to(queries.device))

    def vectors(self, batch: Batch, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of the batch's queries (b, d) and documents (n, d)."""
        asked = rewritten(batch.queries, self._settings.web_queries, rng)
        return (
            self.encoder(asked, self._settings.query_tokens, "query"),
            self.encoder(batch.documents, self._settings.document_tokens, "document"),
        )

    def loss(self, queries: torch.Tensor, documents: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
        """Of the vectors; what other objectives replace."""
        return info_nce(queries, documents, relevant, self._settings.temperature)
