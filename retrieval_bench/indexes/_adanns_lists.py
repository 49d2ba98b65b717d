"""Inverted lists of nested vectors: clustered on one prefix, scanned on any other, each vector stored once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_bench.indexes._adanns_rank import best
from retrieval_bench.indexes._faiss import METRICS, seed_clustering, training_rows
from retrieval_bench.types import FloatArray, IntArray, Metric

_ROUNDS = 10  # of k-means, as faiss trains its inverted files
_ASKED, _AMONG = 16, 2048  # rows that are looked at to judge a corpus
_LOST = 1 / 256  # of the squared distance to a neighbor


def cluster(vectors: FloatArray, lists: int, metric: Metric, seed: int) -> tuple[FloatArray, IntArray]:
    """Centroids (lists, w) of vectors (n, w), and the list (n,) that each vector belongs to."""
    width = vectors.shape[1]
    clustering = faiss.Clustering(width, lists)
    clustering.niter = _ROUNDS
    seed_clustering(clustering, seed)
    quantizer = faiss.IndexFlat(width, METRICS[metric])
    clustering.train(training_rows(vectors, lists, seed), quantizer)
    _, nearest = quantizer.search(np.ascontiguousarray(vectors), 1)
    return faiss.vector_to_array(clustering.centroids).reshape(lists, width), nearest[:, 0]


def nearest_lists(asked: FloatArray, centroids: FloatArray, nprobe: int, metric: Metric) -> IntArray:
    """The ``nprobe`` lists (m, nprobe) whose centroids (lists, w) are best for queries (m, w), in no order.

    Where there are fewer lists, all of them.
    """
    scores = asked @ centroids.T
    if metric == "l2":
        scores -= 0.5 * np.einsum("lw,lw->l", centroids, centroids)
    return best(scores, min(nprobe, len(centroids)))


def products_lose(vectors: FloatArray) -> bool:
    """Whether ``2 x.q - |x|^2 - |q|^2`` in float32 loses the distances between neighbors of these rows (n, d).

    So it is where groups of rows lie far apart: the rounding of their squares is left when these cancel, and is large
    beside the squared distances within a group. Judged by a sample.
    """
    among = np.asarray(vectors[:: -(-len(vectors) // _AMONG)], np.float64)
    asked = among[:: -(-len(among) // _ASKED)]
    apart = np.stack([np.square(among - one).sum(axis=1) for one in asked])
    nearest = np.where(apart > 0, apart, np.inf).min(axis=1)
    rounding = float(np.finfo(np.float32).eps) * np.square(asked).sum(axis=1)
    return bool(np.median(rounding / nearest) > _LOST)


@dataclass(frozen=True, kw_only=True)
class NestedLists:
    """What is searched.

    Attributes:
        vectors: (n, d) float32, list after list: a scan reads the first columns only, 16 to a cache line.
        rows: (n,) int32 corpus rows of the vectors.
        starts: (lists + 1,) int64 where each list begins in ``vectors``.
        centroids: (lists, d_c) float32.
    """

    vectors: FloatArray
    rows: npt.NDArray[np.int32]
    starts: IntArray
    centroids: FloatArray

    @classmethod
    def of(cls, vectors: FloatArray, centroids: FloatArray, members: IntArray) -> NestedLists:
        """Lists of these vectors (n, d); ``members`` (n,) says to which list each belongs."""
        rows = np.argsort(members, kind="stable").astype(np.int32)
        sizes = np.bincount(members, minlength=len(centroids))
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(vectors=vectors[rows], rows=rows, starts=starts, centroids=centroids)

    def fault(self, lists: int, width: int) -> str:
        """What is wrong with arrays that were read, for lists clustered on ``width``; empty where nothing is."""
        n, starts = len(self.vectors), self.starts
        if self.centroids.shape != (lists, width) or width > self.vectors.shape[1] or len(starts) != lists + 1:
            return "the centroids are not those of its lists"
        if starts[0] != 0 or starts[-1] != n or (np.diff(starts) < 0).any():
            return "the lists do not hold as many documents as there are"
        return "" if self.rows.min() >= 0 and self.rows.max() < n else "a row is beyond the documents"

    def scan(self, asked: FloatArray, probed: IntArray, depth: int, metric: Metric) -> tuple[IntArray, FloatArray]:
        """The ``depth`` best of the probed lists on the leading dimensions.

        Args:
            asked: (m, d_s) queries.
            probed: (m, nprobe) lists.
            depth: candidates wanted for each query.
            metric: ``ip`` or ``l2``.

        Returns:
            Positions (m, depth) in ``vectors``, -1 where there are too few, and their scores (m, depth), in no order.
        """
        m, width = asked.shape
        sizes = np.diff(self.starts)[probed]
        ends = np.cumsum(sizes, axis=1)
        begins = ends - sizes
        scores = np.full((m, max(depth, int(ends[:, -1].max()))), -np.inf, np.float32)
        order = np.argsort(probed, axis=None, kind="stable")
        query, begin = order // probed.shape[1], begins.ravel()[order]
        lists, first = np.unique(probed.ravel()[order], return_index=True)
        for number, (start, stop) in zip(lists, pairwise([*first, len(order)]), strict=True):
            block = self.vectors[self.starts[number] : self.starts[number + 1], :width]
            asking = query[start:stop]
            if metric == "l2" and self._apart:
                found = np.stack([-np.square(block - one).sum(axis=1) for one in asked[asking]])
            else:
                found = asked[asking] @ block.T
                if metric == "l2":
                    found *= 2
                    found -= np.einsum("nw,nw->n", block, block)
                    found -= np.einsum("mw,mw->m", asked[asking], asked[asking])[:, None]
            for row, column, part in zip(asking, begin[start:stop], found, strict=True):
                scores[row, column : column + len(block)] = part
        columns = best(scores, depth)
        return self._positions(columns, probed, begins, ends), np.take_along_axis(scores, columns, axis=1)

    @cached_property
    def _apart(self) -> bool:
        return products_lose(self.vectors)

    def _positions(self, columns: IntArray, probed: IntArray, begins: IntArray, ends: IntArray) -> IntArray:
        """Positions in ``vectors`` of columns (m, c) of the scores, -1 behind the last list of a query."""
        far = int(max(ends.max(), columns.max())) + 1
        shift = far * np.arange(len(probed))[:, None]  # so that one sorted array holds the ends of all queries
        list_of = np.searchsorted((ends + shift).ravel(), (columns + shift).ravel(), side="right")
        inside = columns < ends[:, -1:]
        list_of = np.where(inside.ravel(), list_of, 0)
        positions = self.starts[probed.ravel()[list_of]] - begins.ravel()[list_of] + columns.ravel()
        return np.where(inside, positions.reshape(columns.shape), -1)
