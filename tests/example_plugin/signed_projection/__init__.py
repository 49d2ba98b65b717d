"""A backend in a package of its own: binary codes of random hyperplanes, and exact re-ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from retrieval_bench.budgets import require_bytes
from retrieval_bench.checks import check_k, check_vectors
from retrieval_bench.errors import UsageError
from retrieval_bench.hits import make_hits
from retrieval_bench.types import Budget, Corpus, Hits, MemoryReport, Params, Queries

_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)


class Build(Params):
    bits: int = Field(256, ge=8, le=4096, multiple_of=8, description="hyperplanes, one bit of a code each")


class Search(Params):
    candidates: int = Field(200, ge=1, le=1 << 20, description="nearest codes that are re-ranked; at least k")


class SignedProjection:
    """Vectors at a small angle lie on the same side of most random hyperplanes (Charikar 2002)."""

    name: ClassVar[str] = "signed_projection"
    BuildParams: ClassVar[type[Params]] = Build
    SearchParams: ClassVar[type[Params]] = Search
    metrics: ClassVar[frozenset[str]] = frozenset({"ip"})
    params: Any

    def build(self, corpus: Corpus, params: Any, budget: Budget, *, seed: int = 0, **_: Any) -> None:
        n, d = corpus.require_vectors().shape
        require_bytes(self.name, n * (params.bits // 8 + 4 * d) + 4 * d * params.bits, budget, n)
        self.params = params
        self.vectors = corpus.require_vectors()
        self.planes = np.random.default_rng(seed).standard_normal((d, params.bits), np.float32)
        self.codes = np.packbits(self.vectors @ self.planes > 0, axis=1)

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        asked, n = queries.require_vectors(), len(self.vectors)
        check_k(k, n)
        check_vectors(asked, source="queries", metric="ip", dim=self.vectors.shape[1])
        if params.candidates < k:
            raise UsageError(f"candidates = {params.candidates} cannot give k = {k} hits; use candidates >= k")
        depth = min(params.candidates, n)
        rows, scores = np.empty((len(asked), k), np.int64), np.empty((len(asked), k), np.float32)
        for i, (query, code) in enumerate(zip(asked, np.packbits(asked @ self.planes > 0, axis=1), strict=True)):
            distances = _ONES[self.codes ^ code].sum(axis=1)
            near = np.argpartition(distances, depth - 1)[:depth]
            found = self.vectors[near] @ query
            best = np.lexsort((near, -found))[:k]
            rows[i], scores[i] = near[best], found[best]
        return make_hits(rows, scores)

    def memory(self) -> MemoryReport:
        sizes = {"projection": self.planes.nbytes, "codes": self.codes.nbytes, "originals": self.vectors.nbytes}
        return MemoryReport(parts=sizes)

    def save(self, folder: Path) -> None:
        np.savez(folder / "arrays.npz", planes=self.planes, codes=self.codes, vectors=self.vectors)
        (folder / "params.json").write_text(self.params.model_dump_json(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        index = cls()
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            index.planes, index.codes, index.vectors = arrays["planes"], arrays["codes"], arrays["vectors"]
        index.params = Build.model_validate_json((folder / "params.json").read_bytes())
        return index
