"""Mixed precision by frequency: more bits for the vectors that are asked for most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import basis_bytes, principal
from retrieval_bench.codecs._bits import pack, packed_bytes, unpack
from retrieval_bench.codecs._groups import members
from retrieval_bench.codecs._plan import first_fitting, lost, ranks, variances
from retrieval_bench.codecs._uniform import learned_steps, quantized, restored
from retrieval_bench.types import FloatArray

_BITS = (8, 4, 2, 1)
_HOT_SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
_COLD, _HOT = 0, 1


@dataclass(frozen=True)
class _Layout:
    rank: int
    cold: int
    hot: int
    hot_rows: int

    def cost(self, n: int, d: int) -> int:
        codes = (n - self.hot_rows) * packed_bytes(self.rank, self.cold) + self.hot_rows * packed_bytes(
            self.rank, self.hot
        )
        tiers = n if self.hot_rows else 0
        return codes + tiers + 4 * self.rank * (1 + (self.hot_rows > 0)) + basis_bytes(d, self.rank)


@registered.register("mixed")
class Mixed(Codec):
    """Two tiers, as in multi-granular quantized embeddings (Kang et al. 2020). Without traffic there is one tier.

    The layout is the one with the least expected error of a vector drawn as the traffic draws it.
    """

    name = "mixed"

    def fit(
        self,
        vectors: FloatArray,
        bytes_per_vector: float,
        *,
        seed: int = 0,
        traffic: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """See Codec."""
        n, d = vectors.shape
        counts = np.ones(n) if traffic is None else traffic
        order = np.argsort(-counts, kind="stable")
        asked = np.concatenate([[0.0], np.cumsum(counts[order]) / counts.sum()])  # share of the first so many rows
        spread = variances(vectors)

        def expected(layout: _Layout) -> float:
            hot = float(asked[layout.hot_rows])
            losses = (lost(spread, layout.rank, layout.rank * b, adaptive=False) for b in (layout.hot, layout.cold))
            return hot * next(losses) + (1 - hot) * next(losses)

        layouts = sorted(_layouts(n, d, uniform=bool(np.ptp(counts) == 0)), key=expected)
        chosen = first_fitting(self.name, layouts, lambda p: p.cost(n, d), n=n, bytes_per_vector=bytes_per_vector)
        self.facts = {"rank": chosen.rank, "cold": chosen.cold, "hot": chosen.hot}
        self.tables = principal(vectors, chosen.rank, seed)
        self._tiers = np.zeros(n, np.uint8)
        self._tiers[order[: chosen.hot_rows]] = _HOT
        reduced = self.queries(vectors)
        self.tables["steps_cold"] = learned_steps(reduced, chosen.cold)
        if chosen.hot_rows:
            self.tables["steps_hot"] = learned_steps(reduced, chosen.hot)

    def encode(self, vectors: FloatArray) -> Arrays:
        """``cold`` (rows, bytes) uint8; where there are two tiers also ``hot`` and ``tiers`` (n,) uint8."""
        reduced = self.queries(vectors)
        codes = {"cold": self._coded(reduced[self._tiers == _COLD], "cold")}
        if "steps_hot" in self.tables:
            codes |= {"hot": self._coded(reduced[self._tiers == _HOT], "hot"), "tiers": self._tiers}
        return codes

    def _coded(self, reduced: FloatArray, tier: str) -> npt.NDArray[np.uint8]:
        bits = self.facts[tier]
        return pack(quantized(reduced, self.tables[f"steps_{tier}"], bits), bits)

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        if "tiers" not in codes:
            return self._restored(codes["cold"][rows], "cold")
        found = np.empty((len(codes["tiers"][rows]), self.facts["rank"]), np.float32)
        for group, where, places in members(codes["tiers"], rows, 2):
            tier = "hot" if group == _HOT else "cold"
            found[where] = self._restored(codes[tier][places], tier)
        return found

    def _restored(self, packed: npt.NDArray[np.uint8], tier: str) -> FloatArray:
        bits = self.facts[tier]
        return restored(unpack(packed, bits, self.facts["rank"]), self.tables[f"steps_{tier}"], bits)


def _layouts(n: int, d: int, *, uniform: bool) -> Iterator[_Layout]:
    for rank in ranks(d):
        for cold in _BITS:
            yield _Layout(rank, cold, cold, 0)
            if not uniform:
                for hot in (b for b in _BITS if b > cold):
                    yield from (_Layout(rank, cold, hot, rows) for s in _HOT_SHARES if (rows := int(s * n)))
