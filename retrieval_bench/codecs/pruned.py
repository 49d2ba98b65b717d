"""Magnitude pruning after a rotation: of each vector only its largest principal coordinates are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, basis_bytes, components, half, principal
from retrieval_bench.codecs._plan import first_fitting, ranks
from retrieval_bench.types import FloatArray

_MOST_RANK = 256  # that a place of one byte can name
_MOST = 127
_SAMPLE = 2048


@dataclass(frozen=True)
class _Layout:
    rank: int
    kept: int

    def cost(self, n: int, d: int) -> int:
        return n * (2 * self.kept + HALF) + basis_bytes(d, self.rank)


@registered.register("pruned")
class Pruned(Codec):
    """As DeepLight (Deng et al. 2021) and PEP (Liu et al. 2021) prune embeddings, without the training.

    A vector is ``kept`` places of one byte, as many signed integers of 8 bits, and its scale.
    """

    name = "pruned"

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
        tried = [rank for rank in ranks(d) if rank <= _MOST_RANK]
        sample = vectors[:: max(1, n // _SAMPLE)]
        turned = sample @ components(vectors, tried[-1], seed).database
        energy = {rank: np.cumsum(-np.sort(-(turned[:, :rank] ** 2), axis=1), axis=1).mean(axis=0) for rank in tried}
        layouts = [_Layout(rank, kept) for rank in tried for kept in range(1, rank + 1)]
        layouts.sort(key=lambda p: -energy[p.rank][p.kept - 1])
        chosen = first_fitting(self.name, layouts, lambda p: p.cost(n, d), n=n, bytes_per_vector=bytes_per_vector)
        self.facts = {"rank": chosen.rank, "kept": chosen.kept}
        self.tables = principal(vectors, chosen.rank, seed)

    def encode(self, vectors: FloatArray) -> Arrays:
        """``places`` (n, kept) uint8, ``values`` (n, kept) int8 and ``scales`` (n,) float16."""
        reduced = self.queries(vectors)
        kept = self.facts["kept"]
        places = np.sort(np.argpartition(-np.abs(reduced), kept - 1, axis=1)[:, :kept], axis=1)
        values = np.take_along_axis(reduced, places, axis=1)
        scales = half(np.abs(values).max(axis=1) / _MOST, what=self.name)
        inverse = np.divide(1, scales, out=np.zeros(len(scales), np.float32), where=scales > 0)
        rounded = np.clip(np.rint(values * inverse[:, None]), -_MOST, _MOST)
        return {"places": places.astype(np.uint8), "values": rounded.astype(np.int8), "scales": scales}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        values = codes["values"][rows] * codes["scales"][rows, None].astype(np.float32)
        found = np.zeros((len(values), self.facts["rank"]), np.float32)
        np.put_along_axis(found, codes["places"][rows].astype(np.intp), values, axis=1)
        return found
