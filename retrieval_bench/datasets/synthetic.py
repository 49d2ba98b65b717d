"""Made-up vectors with the two properties that vector indexes live on: clusters, and few intrinsic dimensions.

Documents are a mixture of Gaussians in ``intrinsic`` dimensions, turned into ``dim`` dimensions by a random rotation,
plus isotropic noise. Queries come from the same mixture. With ``shift`` > 0 they are out of distribution as in
text-to-image search (Jaiswal et al. 2022, arXiv 2211.12850; the gap: Liang et al. 2022, arXiv 2203.02053): their
subspace is tilted away from that of the documents, and their mean is moved along a direction of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Corpus, Dataset, FloatArray, Frozen, Queries, RowIds

_BLOCK_ROWS = 1 << 16


class Options(Frozen):
    """Size and shape of the data."""

    n: int = Field(20_000, ge=1, description="documents")
    dim: int = Field(64, ge=3, description="dimensions")
    intrinsic: int = Field(16, ge=1, description="dimensions that the clusters span")
    clusters: int = Field(100, ge=1, description="Gaussians in the mixture")
    spread: float = Field(0.5, gt=0, description="deviation within a cluster; that between cluster centres is 1")
    noise: float = Field(0.1, ge=0, description="deviation of the noise in every dimension")
    shift: float = Field(0.0, ge=0, le=1, description="how far queries are out of distribution; 1 is a right angle")
    test: int = Field(1000, ge=1, description="test queries")
    tune: int = Field(1000, ge=1, description="tuning queries")
    train: int = Field(2000, ge=0, description="training queries; 0 for none")
    seed: int = Field(0, ge=0, description="of every random choice")

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.dim < 2 * self.intrinsic + 1:
            raise ValueError(f"dim = {self.dim} must be at least 2 * intrinsic + 1 = {2 * self.intrinsic + 1}")
        return self


@readers.register("synthetic")
def read(card: DatasetCard, path: Path | None) -> Dataset:  # noqa: ARG001 - made, not read
    """Make the data; the same options give the same bits.

    Raises:
        CardError: options that are out of range or do not fit together.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    mixture = _Mixture(options)
    sizes = {"test": options.test, "tune": options.tune, "train": options.train}
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=Corpus(ids=RowIds(options.n), vectors=mixture.draw(options.n, stream=0, shift=0.0)),
        queries={
            split: Queries(ids=RowIds(size), vectors=mixture.draw(size, stream, options.shift), split=split)
            for stream, (split, size) in enumerate(sizes.items(), start=1)
            if size
        },
        metric=card.metric or "l2",
    )


class _Mixture:
    """The distribution that documents and queries are drawn from."""

    def __init__(self, options: Options) -> None:
        self._options = options
        rng = np.random.default_rng(options.seed)
        self._centres = rng.standard_normal((options.clusters, options.intrinsic))
        # Columns: the documents' subspace, as many directions at right angles to it, and that of the moved mean.
        axes, _ = np.linalg.qr(rng.standard_normal((options.dim, 2 * options.intrinsic + 1)))
        self._axes: npt.NDArray[np.float64] = axes

    def draw(self, size: int, stream: int, shift: float) -> FloatArray:
        """(size, dim) float32; each stream of one seed is independent of the others and of their sizes."""
        o = self._options
        rng = np.random.default_rng([o.seed, stream])
        angle = shift * np.pi / 2
        own, other, gap = np.split(self._axes, [o.intrinsic, 2 * o.intrinsic], axis=1)
        axes = np.cos(angle) * own + np.sin(angle) * other
        vectors = np.empty((size, o.dim), np.float32)
        for start in range(0, size, _BLOCK_ROWS):
            rows = min(_BLOCK_ROWS, size - start)
            inner = self._centres[rng.integers(o.clusters, size=rows)]
            inner = inner + o.spread * rng.standard_normal(inner.shape)
            block = inner @ axes.T + o.noise * rng.standard_normal((rows, o.dim))
            block += shift * np.sqrt(o.intrinsic) * gap[:, 0]
            # Decimals that a BLAS may round one way or the other are dropped.
            vectors[start : start + rows] = block.round(5)
        return vectors
