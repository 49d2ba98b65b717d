"""Nested vectors: a map after which the leading dimensions alone say the most about a vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.indexes._adanns_rank import prefixes
from retrieval_bench.projections import Projection, fit_pca, fit_query_aware
from retrieval_bench.types import FloatArray, Metric, Params, Queries

Kind = Literal["pca", "prefix", "query_aware", "adaptor"]
MOST_DIMENSIONS = 65_536


class AdannsBuild(Params):
    """How vectors are nested."""

    nesting: Kind = Field(
        "pca",
        description="what makes leading dimensions say the most: pca; prefix, as a model trained so gives them "
        "(Matryoshka); query_aware, from training queries; adaptor, a rotation learned on the vectors",
    )
    adaptor: Path | None = Field(
        None, description="file of a trained adaptor; None: nesting = adaptor learns one at the build, unsupervised"
    )
    dim: int | None = Field(
        None, ge=1, le=MOST_DIMENSIONS, description="leading dimensions kept; None: all, or what the budget allows"
    )


@dataclass(frozen=True, kw_only=True)
class Nesting:
    """What a query needs to be compared with nested documents.

    The documents' side of the map is not kept, since they are stored nested.

    Attributes:
        matrix: (d, kept) float32, or (d, 0) for the plain prefix.
        mean: (d,) float32 that was subtracted from documents; (0,) for the plain prefix.
        kept: leading dimensions kept.
    """

    matrix: FloatArray
    mean: FloatArray
    kept: int

    @property
    def dim(self) -> int:
        """Dimensions of a query."""
        return len(self.matrix)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix and the mean."""
        return self.matrix.nbytes + self.mean.nbytes

    def queries(self, vectors: FloatArray, metric: Metric) -> FloatArray:
        """(m, d) to (m, kept) float32, whose prefixes go with the documents' prefixes."""
        if not len(self.mean):
            return np.ascontiguousarray(vectors[:, : self.kept], np.float32)
        centred = vectors - self.mean if metric == "l2" else vectors
        return np.asarray(centred @ self.matrix, np.float32)

    def offsets(self, vectors: FloatArray, metric: Metric) -> FloatArray:
        """(m, 1) what centering the documents took from all scores of a query (m, d): ``<q, mean>``, or nothing."""
        if metric == "l2" or not len(self.mean):
            return np.zeros((len(vectors), 1), np.float32)
        return np.asarray(vectors @ self.mean, np.float32)[:, None]


def nesting_bytes(kind: Kind, d: int, kept: int) -> int:
    """Bytes of the Nesting of d dimensions."""
    return 0 if kind == "prefix" else 4 * d * (kept + 1)


def nested(
    params: AdannsBuild, vectors: FloatArray, kept: int, *, metric: Metric, queries: Queries | None, seed: int
) -> tuple[Nesting, FloatArray]:
    """Learn a nesting, and the documents (n, kept) float32 in it.

    ``pca`` and ``adaptor`` only turn the vectors, so that all dimensions together give the exact score; so does
    ``query_aware`` for inner products, where the map of the queries undoes that of the documents.

    Raises:
        ArtifactError: the adaptor's file cannot be read.
        DataError: ``query_aware`` without queries, or an adaptor of other dimensions.
        UsageError: ``query_aware`` under ``l2``.
    """
    d = vectors.shape[1]
    if params.nesting == "prefix":
        documents = np.ascontiguousarray(vectors[:, :kept], np.float32)
        return Nesting(matrix=np.empty((d, 0), np.float32), mean=np.empty(0, np.float32), kept=kept), documents
    projection = leading(_fitted(params, vectors, kept, metric, queries, seed), kept)
    return Nesting(matrix=projection.query, mean=projection.mean, kept=kept), projection.documents(vectors)


def _fitted(
    params: AdannsBuild, vectors: FloatArray, kept: int, metric: Metric, queries: Queries | None, seed: int
) -> Projection:
    asked = None if queries is None else queries.require_vectors()
    if params.nesting == "pca":
        return fit_pca(vectors, kept, seed=seed)
    if params.nesting == "query_aware":
        if asked is None:
            raise DataError("nesting = 'query_aware' learns from queries: give training queries, or use 'pca'")
        if metric == "l2":
            raise UsageError("nesting = 'query_aware' keeps inner products, not distances: use 'pca' under l2")
        return fit_query_aware(vectors, asked, kept, seed=seed)
    from retrieval_bench.projections.adaptor import fit_adaptor, load_adaptor  # the only nesting that needs torch

    d = vectors.shape[1]
    if params.adaptor is not None:
        trained = load_adaptor(params.adaptor)
        if trained.query.shape != (d, d):
            raise DataError(f"{params.adaptor}: is of {len(trained.mean)} dimensions, the vectors have {d}")
        return trained
    dims = [width for width in prefixes(d) if width < d] or [d]
    return fit_adaptor(vectors, dims=dims, queries=asked, metric=metric, seed=seed)


def leading(projection: Projection, kept: int) -> Projection:
    """The projection to the first ``kept`` of its dimensions."""
    query, database = (np.ascontiguousarray(side[:, :kept]) for side in (projection.query, projection.database))
    return Projection(query=query, database=database, mean=projection.mean)
