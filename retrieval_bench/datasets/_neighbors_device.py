"""The scan for exact neighbors on a GPU: products and the best of them stay there until the last block."""

from __future__ import annotations

import numpy as np
import torch

from retrieval_bench.device.blocks import Blocks
from retrieval_bench.device.select import top
from retrieval_bench.device.stream import to_device
from retrieval_bench.types import FloatArray, IntArray

_QUERIES = 4096  # scored together


class DeviceScan:
    """The best rows so far of every query, by float32 products.

    Args:
        asked: (m, d) float32 queries.
        keep: rows of each query.
        device: where it runs.
    """

    def __init__(self, asked: FloatArray, keep: int, device: torch.device) -> None:
        self._asked = to_device(asked, device)
        self._rows = torch.zeros((len(asked), keep), dtype=torch.int64, device=device)
        self._scores = torch.full((len(asked), keep), -torch.inf, device=device)
        self._blocks = Blocks(_QUERIES, "exact neighbors: queries")

    def fold(self, block: FloatArray, bias: FloatArray | None, start: int) -> None:
        """Take in documents (b, d) from the row ``start`` on; ``bias`` (b,) is added to their products."""
        documents = to_device(block, self._asked.device)
        added = None if bias is None else to_device(bias, self._asked.device)
        numbers = torch.arange(start, start + len(block), device=documents.device)

        def work(part: slice) -> None:
            scores = self._asked[part] @ documents.T
            if added is not None:
                scores += added
            best = scores.topk(min(self._rows.shape[1], scores.shape[1]), dim=1)
            both = torch.cat([self._scores[part], best.values], dim=1)
            rows = torch.cat([self._rows[part], numbers[best.indices]], dim=1)
            self._rows[part], self._scores[part] = top(both, rows, self._rows.shape[1])

        self._blocks.run(len(self._asked), work)

    def best(self) -> tuple[IntArray, FloatArray]:
        """Rows (m, keep) int64 and scores (m, keep) float32."""
        return self._rows.cpu().numpy(), np.asarray(self._scores.cpu().numpy(), np.float32)
