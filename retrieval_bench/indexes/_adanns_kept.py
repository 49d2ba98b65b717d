"""Nested vectors kept for re-ranking, as exactly as the budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.arrays import Shape, unfit
from retrieval_bench.indexes._adanns_rank import pair_scores
from retrieval_bench.indexes._pq_plan import Refine
from retrieval_bench.types import FloatArray, IntArray, Metric

_KINDS: dict[Refine, type[np.generic]] = {
    "float32": np.float32, "fp16": np.float16, "int8": np.uint8, "none": np.float32,
}  # fmt: skip
FORMS: dict[str, tuple[Any, Shape]] = {
    "codes": ((np.float32, np.float16, np.uint8), ("n", None)), "low": (np.float32, (None,)),
    "step": (np.float32, (None,)),
}  # fmt: skip


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
            return cls(codes=documents.astype(_KINDS[refine]), low=nothing, step=nothing)
        low, high = documents.min(axis=0), documents.max(axis=0)
        step = np.maximum((high - low) / 255, np.finfo(np.float32).tiny)
        codes = np.rint((documents - low) / step).clip(0, 255).astype(np.uint8)
        return cls(codes=codes, low=low, step=step)

    @classmethod
    def checked(cls, folder: Path, refine: Refine, kept: int, arrays: dict[str, npt.NDArray[Any]]) -> KeptVectors:
        """What was read from a folder, if it is of this precision and has so many dimensions.

        Raises:
            ArtifactError: it is not.
        """
        held, codes = cls(**arrays), arrays["codes"]
        coded = kept if refine == "int8" else 0
        if (
            codes.dtype != _KINDS[refine]
            or codes.shape[1] != (0 if refine == "none" else kept)
            or {len(held.low), len(held.step)} != {coded}
        ):
            raise unfit(folder, f"the vectors kept to re-rank with are not {kept} dimensions in {refine}")
        return held

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
