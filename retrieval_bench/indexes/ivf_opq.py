"""ivf_pq after a learned rotation, which spreads the variance over the sub-quantizers."""

from __future__ import annotations

from typing import Any, ClassVar

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.indexes._faiss import seed_clustering
from retrieval_bench.indexes._pq_plan import Layout
from retrieval_bench.indexes.ivf_pq import IvfPq, IvfPqBuild, refinable
from retrieval_bench.registry import indexes
from retrieval_bench.types import FloatArray, Params

_ROWS = 16_384  # the rotation has d * d numbers: more rows than this change it little and cost in proportion
_ROUNDS = 10


class IvfOpqBuild(IvfPqBuild):
    """How vectors are rotated, divided and compressed. What is None is chosen from the data and the budget."""

    opq_dim: int | None = Field(
        None, ge=1, le=65_536, description="dimensions after the rotation; None: the fewest that lose nothing"
    )


@indexes.register("ivf_opq")
class IvfOpq(IvfPq):
    """Optimized product quantization (Ge, He, Ke and Sun 2013)."""

    name = "ivf_opq"
    forms = refinable(r"turn\(ivfpq4?\)")
    BuildParams: ClassVar[type[Params]] = IvfOpqBuild
    rotated = True

    def _transformed(self, index: Any, d: int, layout: Layout, training: FloatArray, seed: int) -> Any:
        rotation = faiss.OPQMatrix(d, layout.sub_quantizers, layout.dim)
        quantizer = faiss.ProductQuantizer(layout.dim, layout.sub_quantizers, layout.bits)
        seed_clustering(quantizer.cp, seed)
        rotation.pq = quantizer
        rotation.niter = _ROUNDS
        sample = training[:: max(1, len(training) // _ROWS)]
        # faiss writes beyond its arrays where there are fewer rows than dimensions: some are given again.
        rotation.train(np.resize(sample, (max(len(sample), d), d)))
        rotation.pq = None
        return faiss.IndexPreTransform(rotation, index)

    def _chosen(self, layout: Layout) -> dict[str, int]:
        return {"opq_dim": layout.dim}
