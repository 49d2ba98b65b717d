"""Fusion of rankers by reciprocal rank (Cormack, Clarke and Buettcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, field_validator

from retrieval_bench import registry
from retrieval_bench.hits import make_hits
from retrieval_bench.protocols import Ranker
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.specs import params as checked_params
from retrieval_bench.types import Budget, Corpus, Examples, Frozen, Hits, MemoryReport, Params, Queries


class Part(Frozen):
    """One of the rankers that are fused."""

    ranker: str
    build: dict[str, Any] = Field(default_factory=dict, description="its build parameters")


class HybridParams(Params):
    """Build parameters."""

    rankers: tuple[Part, ...] = Field(
        default=(Part(ranker="bm25"), Part(ranker="dense")),
        min_length=1,
        description="names, or tables of `ranker` and `build`",
    )
    encoder: str | None = Field(default=None, description="encoder of the parts that name none; None: their default")
    rrf_k: float = Field(default=60.0, ge=0, le=10_000, description="how little the first ranks stand out")
    depth: int = Field(
        default=100, ge=1, le=100_000, description="candidates of each ranker; k where more are asked for"
    )

    @field_validator("rankers", mode="before")
    @classmethod
    def _named(cls, parts: object) -> object:
        if isinstance(parts, list | tuple):
            return tuple({"ranker": part} if isinstance(part, str) else part for part in parts)
        return parts


class _Saved(Frozen):
    params: HybridParams
    documents: int


@registry.rankers.register("hybrid")
class Fusion:
    """A document scores the sum over the rankers of 1 / (rrf_k + its rank there), ranks counted from 1."""

    name: ClassVar[str] = "hybrid"
    BuildParams: ClassVar[type[Params]] = HybridParams
    params: HybridParams

    def build(
        self, corpus: Corpus, params: HybridParams, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        """Build every part over the corpus; each gets the whole budget, the sum of all is what counts afterwards.

        Raises:
            UnknownNameError: no such ranker.
            CardError: a part does not have such parameters.
        """
        self._parts: list[Ranker] = []
        used = []
        for part in params.rankers:
            ranker = registry.rankers.get(part.ranker)()
            wanted = dict(part.build)
            if params.encoder is not None and "encoder" in ranker.BuildParams.model_fields:
                wanted.setdefault("encoder", params.encoder)
            where = f"hybrid, parameters of the ranker {part.ranker!r}"
            ranker.build(
                corpus,
                checked_params(ranker.BuildParams, wanted, where=where),
                budget,
                examples=examples,
                seed=seed,
            )
            self._parts.append(ranker)
            used.append(Part(ranker=part.ranker, build=ranker.params.model_dump()))
        self.params = params.model_copy(update={"rankers": tuple(used)})
        self._documents = len(corpus)

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k documents of greatest fused score for each query."""
        depth = min(max(self.params.depth, k), self._documents)
        return fuse([part.rank(queries, depth) for part in self._parts], k, self.params.rrf_k)

    def memory(self) -> MemoryReport:
        """Parts of all rankers, each under the number and name of its ranker."""
        return MemoryReport(
            parts={
                f"{place}.{part.name}.{name}": held
                for place, part in enumerate(self._parts)
                for name, held in part.memory().parts.items()
            }
        )

    def save(self, folder: Path) -> None:
        """Write every part into a folder of its own."""
        for place, part in enumerate(self._parts):
            own = folder / f"{place}-{part.name}"
            own.mkdir()
            part.save(own)
        save_params(folder, _Saved(params=self.params, documents=self._documents))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: a part cannot be read.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker.params = saved.params
        ranker._documents = saved.documents
        ranker._parts = [
            registry.rankers.get(part.ranker).load(folder / f"{place}-{part.ranker}")
            for place, part in enumerate(saved.params.rankers)
        ]
        return ranker


def fuse(rankings: Sequence[Hits], k: int, rrf_k: float) -> Hits:
    """Fuse rankings of the same m queries by reciprocal rank.

    Args:
        rankings: hits of shape (m, any depth); padding counts nothing.
        k: hits to return, padded where all rankings together have fewer.
        rrf_k: the constant of the paper, 60 there.

    Returns:
        (m, k) hits, scored by the sum of 1 / (rrf_k + rank).
    """
    m = len(rankings[0].rows)
    rows = np.concatenate([hits.rows for hits in rankings], axis=1)
    gains = np.concatenate([1 / (rrf_k + np.arange(1, 1 + hits.rows.shape[1])) for hits in rankings])
    query, place = np.nonzero(rows >= 0)
    # One number per (query, document), so that one pass over all queries sums the gains of each document.
    n = int(rows.max(initial=0)) + 1
    pairs, inverse = np.unique(query * n + rows[query, place], return_inverse=True)
    total = np.bincount(inverse, gains[place], len(pairs)).astype(np.float32)
    query, row = np.divmod(pairs, n)
    order = np.lexsort((row, -total, query))
    query, row, total = query[order], row[order], total[order]
    rank = np.arange(len(query)) - np.searchsorted(query, query)  # from the first pair of the same query
    kept = rank < k
    fused_rows = np.full((m, k), -1, np.int64)
    fused_scores = np.full((m, k), -np.inf, np.float32)
    fused_rows[query[kept], rank[kept]] = row[kept]
    fused_scores[query[kept], rank[kept]] = total[kept]
    return make_hits(fused_rows, fused_scores)
