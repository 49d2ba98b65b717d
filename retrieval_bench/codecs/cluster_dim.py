"""A dimension for each cluster: clusters of vectors have principal components of their own, as many as each needs."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, components, half
from retrieval_bench.codecs._codebooks import configure
from retrieval_bench.codecs._groups import members
from retrieval_bench.codecs._plan import first_fitting, in_all, variances
from retrieval_bench.codecs._uniform import learned_steps, quantized, restored
from retrieval_bench.types import FloatArray

_BITS = 8
_CLUSTERS = (16, 8, 4, 2, 1)
_ROWS_PER_CLUSTER = 64  # on average, below which a cluster's components are mostly noise
_STEP_BYTES = 4


@registered.register("cluster_dim")
class ClusterDim(Codec):
    """Mixed dimensions (Ginart et al. 2021) chosen by reverse water-filling over local components.

    Each further dimension goes to the cluster where it saves most squared error for its bytes: one byte for each of the
    cluster's vectors, and a column of its basis.
    """

    name = "cluster_dim"

    def fit(
        self,
        vectors: FloatArray,
        bytes_per_vector: float,
        *,
        seed: int = 0,
        traffic: npt.NDArray[np.float64] | None = None,  # noqa: ARG002 - treats all vectors alike
    ) -> None:
        """See Codec."""
        n, d = vectors.shape
        column = HALF * d + _STEP_BYTES

        def least(clusters: int) -> int:  # an eighth of the bytes at most for what every cluster costs at once
            needed: int = n + clusters * HALF * d
            return needed

        wanted = [c for c in _CLUSTERS if c == 1 or n >= c * _ROWS_PER_CLUSTER]
        roomy = [c for c in wanted if c == 1 or 8 * c * (HALF * d + column) <= bytes_per_vector * n]
        clusters = first_fitting(self.name, roomy, least, n=n, bytes_per_vector=bytes_per_vector)
        self._group, centres = _clustered(vectors, clusters, seed)
        self.facts = {"clusters": clusters}
        self.tables = {"centres": half(centres, what=self.name)}
        residuals = vectors - self.tables["centres"].astype(np.float32)[self._group]
        sizes = np.bincount(self._group, minlength=clusters)
        dims = _dimensions(residuals, self._group, sizes, in_all(bytes_per_vector, n) - n - clusters * HALF * d, column)
        for cluster, dim in enumerate(dims):
            own = residuals[self._group == cluster]
            if dim:
                basis = half(components(own, dim, seed).database, what=self.name)
                self.tables[f"basis_{cluster}"] = basis
                self.tables[f"steps_{cluster}"] = learned_steps(own @ basis.astype(np.float32), _BITS)

    def queries(self, vectors: FloatArray) -> FloatArray:
        """See Codec: the working space is that of the vectors, since each cluster has a basis of its own."""
        return vectors

    def encode(self, vectors: FloatArray) -> Arrays:
        """``clusters`` (n,) uint8, and ``codes_i`` (rows, dimensions) uint8 of each cluster that has dimensions."""
        codes: Arrays = {"clusters": self._group}
        for cluster in range(self.facts["clusters"]):
            if f"basis_{cluster}" in self.tables:
                own = vectors[self._group == cluster] - self.tables["centres"][cluster].astype(np.float32)
                reduced = own @ self.tables[f"basis_{cluster}"].astype(np.float32)
                codes[f"codes_{cluster}"] = quantized(reduced, self.tables[f"steps_{cluster}"], _BITS)
        return codes

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        found = self.tables["centres"].astype(np.float32)[codes["clusters"][rows]]
        for cluster, where, places in members(codes["clusters"], rows, self.facts["clusters"]):
            if f"basis_{cluster}" in self.tables:
                values = restored(codes[f"codes_{cluster}"][places], self.tables[f"steps_{cluster}"], _BITS)
                found[where] += values @ self.tables[f"basis_{cluster}"].astype(np.float32).T
        return found


def _clustered(vectors: FloatArray, clusters: int, seed: int) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    if clusters == 1:
        return np.zeros(len(vectors), np.uint8), vectors.mean(axis=0, keepdims=True, dtype=np.float64).astype(
            np.float32
        )
    clustering = faiss.Clustering(vectors.shape[1], clusters)
    configure(clustering, seed)
    index = faiss.IndexFlatL2(vectors.shape[1])
    clustering.train(np.ascontiguousarray(vectors), index)
    nearest = index.search(np.ascontiguousarray(vectors), 1)[1]
    centres: npt.NDArray[np.float32] = faiss.vector_to_array(clustering.centroids)
    return nearest[:, 0].astype(np.uint8), centres.reshape(clusters, -1)


def _dimensions(
    residuals: FloatArray, group: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64], room: int, column: int
) -> list[int]:
    """Dimensions of each cluster: best value first until the bytes are spent."""
    d = residuals.shape[1]
    offers = []
    for cluster, size in enumerate(sizes):
        if size:
            price = int(size) + column
            gains = size * variances(residuals[group == cluster])
            offers += [(-float(gain) / price, place, cluster, price) for place, gain in enumerate(gains)]
    dims, spent = [0] * len(sizes), 0
    for _, place, cluster, price in sorted(offers):
        if place == dims[cluster] < d and spent + price <= room:
            dims[cluster] += 1
            spent += price
    return dims
