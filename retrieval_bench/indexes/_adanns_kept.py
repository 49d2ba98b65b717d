"""Nested vectors kept for re-ranking, as exactly as the budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.indexes._adanns_rank import pair_scores
from retrieval_bench.indexes._pq_plan import Refine
from retrieval_bench.types import FloatArray, IntArray, Metric


@dataclass(frozen=True, kw_only=True)
class KeptVectors:
    """(n, kept) values of which any prefix can be scored.

    Attributes:
        codes: (n, kept) float32, float16, or uint8 for int8; (n, 0) where nothing is kept.
        low: (kept,) float32 value of the code 0; (0,) for floating types.
        step: (kept,) float32 from one code to the next; (0,) for floating types.
    """

    codes: npt.NDArray[Any]
    low: FloatArray
    step: FloatArray

    @classmethod
    def of(cls, documents: FloatArray, refine: Refine) -> KeptVectors:
        """Keep these documents (n, kept) in this precision."""
        nothing = np.empty(0, np.float32)
        if refine == "none":
            return cls(codes=np.empty((len(documents), 0), np.float32), low=nothing, step=nothing)
        if refine != "int8":
            kind = {"float32": np.float32, "fp16": np.float16}[refine]
            return cls(codes=documents.astype(kind), low=nothing, step=nothing)
        low, high = documents.min(axis=0), documents.max(axis=0)
        step = np.maximum((high - low) / 255, np.finfo(np.float32).tiny)
        codes = np.rint((documents - low) / step).clip(0, 255).astype(np.uint8)
        return cls(codes=codes, low=low, step=step)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and their scales."""
        return self.codes.nbytes + self.low.nbytes + self.step.nbytes

    def scores(self, asked: FloatArray, positions: IntArray, metric: Metric) -> FloatArray:
        """Scores (m, c) on the dimensions of the queries (m, d_r) of the documents at positions (m, c)."""
        width = asked.shape[1]
        if not len(self.low):
            return pair_scores(asked, self.codes[:, :width], positions, metric)
        low, step = self.low[:width], self.step[:width]
        if metric == "l2":
            return pair_scores(asked - low, self.codes[:, :width], positions, metric, scale=step)
        return pair_scores(asked * step, self.codes[:, :width], positions, metric) + (asked @ low)[:, None]
