"""Where codes are fine enough: vectors taken from one centre, or from the centres of a few cells.

A code resolves a share of the length of what is coded, and a coded query a share of its own. So codes tell neighbors
from each other where these lie apart by some share of their distance from the centre. They do for text vectors and
images; they do not where groups lie far from each other, or one dimension is much wider than the rest: there the rows
are divided until they do. Ordinary data have one cell, whose centre is the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_bench.projections import centre, sampled, shortened
from retrieval_bench.types import FloatArray, IntArray

Int32Array = npt.NDArray[np.int32]

COUNTS = (4, 16, 64, 256)  # of cells that are tried, where one is too coarse
_FINE = 0.25  # distance of neighbors, as a share of that from the centre, that codes of 6 bits resolve well
_PROBES, _NEAR = 64, 10  # rows whose neighbors are looked at, and the neighbor that counts
_FAR, _FAR_PROBES = 0.02, 32  # share of the rows that lie farthest out, where small groups do, and probes among them
_MOST_ROWS = 1 << 13  # among which neighbors are looked for
_REPEATED = 0.9  # share of the probes with ten equals, from which on groups of equals are what is to be told apart
_ROWS_PER_CELL, _ROWS_FOR_MEAN = 16, 4096
_UNEVEN = 4.0  # times the median length, or part of it: where one step no longer serves all rows
_AWAY = 3.0  # times the median length: centres so far away that a query's product with them is taken apart
_ROUNDS = 8  # of k-means
_BLOCK_ROWS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A division of rows.

    Attributes:
        centres: (cells, d) float32.
        of_row: (n,) int32.
        lengths: (n,) float32, distances of the rows from their centres.
    """

    centres: FloatArray
    of_row: Int32Array
    lengths: FloatArray

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def uneven(self) -> bool:
        """Whether the lengths differ so much that each row needs a scale of its own."""
        typical, short = np.quantile(self.lengths, (0.5, 0.1))
        return bool(self.lengths.max() > _UNEVEN * typical or typical > _UNEVEN * short)

    @property
    def away(self) -> bool:
        """Whether most rows lie much farther from the origin than from their centre."""
        distances = np.linalg.norm(self.centres, axis=1)[self.of_row]
        return bool(np.median(distances) > _AWAY * np.median(self.lengths))

    def blocks(self, vectors: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
        """Rows (n, d) without their centres, block by block, as new arrays."""
        for start in range(0, len(vectors), _BLOCK_ROWS):
            rows = slice(start, min(start + _BLOCK_ROWS, len(vectors)))
            centres = self.centres[0] if len(self) == 1 else self.centres[self.of_row[rows]]
            yield rows, np.asarray(vectors[rows] - centres, np.float32)

    def along(self, vectors: FloatArray) -> FloatArray:
        """(n,) float32 products of each row (n, d), without its centre, with that centre."""
        found = np.empty(len(vectors), np.float32)
        for rows, block in self.blocks(vectors):
            found[rows] = np.einsum("nd,nd->n", block, self.centres[self.of_row[rows]])
        return found

    @classmethod
    def of(cls, vectors: FloatArray, centres: FloatArray, of_row: Int32Array) -> Self:
        """Rows (n, d) divided in this way."""
        cells = cls(centres=centres, of_row=of_row, lengths=np.empty(len(vectors), np.float32))
        for rows, block in cells.blocks(vectors):
            cells.lengths[rows] = np.sqrt(np.einsum("nd,nd->n", block, block))
        return cells


def find_cells(vectors: FloatArray, seed: int) -> Cells:
    """One cell where codes tell neighbors apart, else the fewest cells of those tried within which they do.

    A few very long rows change neither the centres nor the division.

    Args:
        vectors: (n, d).
        seed: of the samples.
    """
    mean = centre(sampled(vectors, seed))
    best = Cells.of(vectors, mean[None], np.zeros(len(vectors), np.int32))
    probes = _probes(best.lengths, seed)
    near = _near(vectors, probes, mean)
    finest = _fineness(near, best.lengths[probes])
    for count in COUNTS:
        if finest >= _FINE or count * _ROWS_PER_CELL > len(vectors):
            break
        tried = _divided(vectors, mean, count, seed)
        if (fine := _fineness(near, tried.lengths[probes])) > finest:
            best, finest = tried, fine
    return best


def _probes(lengths: FloatArray, seed: int) -> IntArray:
    """Rows drawn from all, and then from those that lie farthest out."""
    generator, n = np.random.default_rng(seed), len(lengths)
    farthest = np.argsort(-lengths, kind="stable")[: max(1, int(_FAR * n))]
    drawn = [generator.choice(n, min(_PROBES, n), replace=False)]
    drawn.append(generator.choice(farthest, min(_FAR_PROBES, len(farthest)), replace=False))
    return np.concatenate(drawn)


def _near(vectors: FloatArray, probes: IntArray, mean: FloatArray) -> npt.NDArray[np.float64]:
    """(p,) distance of each probe to its tenth neighbor: chosen by float32 products, computed in float64."""
    rows = vectors[:: max(1, -(-len(vectors) // _MOST_ROWS))]
    asked = vectors[probes] - mean
    scores = np.empty((len(probes), len(rows)), np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS] - mean
        scores[:, start : start + _BLOCK_ROWS] = asked @ block.T - np.einsum("nd,nd->n", block, block) / 2
    count = min(_NEAR + 1, len(rows))  # a row is its own nearest
    nearest = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    apart = rows[nearest].astype(np.float64) - vectors[probes][:, None]
    return np.asarray(np.sqrt(np.square(apart).sum(axis=2)).max(axis=1), np.float64)


def _fineness(near: npt.NDArray[np.float64], lengths: FloatArray) -> float:
    """A low share of the neighbors' distance in the distance from the centre; equal rows count only where most are."""
    share = np.divide(near, lengths, out=np.ones(len(near)), where=lengths > 0)
    shares = [share[:_PROBES], share[_PROBES:]]
    if np.mean(near == 0) < _REPEATED:
        shares = [part[part > 0] for part in shares]
    return min(float(np.quantile(part, low)) for part, low in zip(shares, (0.1, 0.25), strict=True) if len(part))


def _divided(vectors: FloatArray, mean: FloatArray, count: int, seed: int) -> Cells:
    """K-means of rows of which the very long are shortened; cells that no row falls into are left out."""
    sample = sampled(vectors, seed) - mean
    kmeans = faiss.Kmeans(
        vectors.shape[1], count, niter=_ROUNDS, seed=seed % (1 << 31),
        min_points_per_centroid=1, max_points_per_centroid=1 << 30,
    )  # fmt: skip
    kmeans.train(np.ascontiguousarray(shortened(sample)))
    blocks = (vectors[i : i + _BLOCK_ROWS] - mean for i in range(0, len(vectors), _BLOCK_ROWS))
    nearest = np.concatenate([kmeans.index.search(shortened(block, sample), 1)[1][:, 0] for block in blocks])
    of_row = np.unique(nearest, return_inverse=True)[1]
    order = np.argsort(of_row, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(of_row))[:-1])
    centres = [centre(vectors[rows[:: max(1, len(rows) // _ROWS_FOR_MEAN)]]) for rows in parts]
    return Cells.of(vectors, np.stack(centres), of_row.astype(np.int32))
