"""Fusion of rankers: by reciprocal rank (Cormack, Clarke and Buettcher, SIGIR 2009), or by weighted scores.

Weighted scores are those of Bruch, Gai and Ingber (TOIS 2023, arXiv 2210.11934): a convex combination, its weights
learned on questions with judgments.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, FiniteFloat, field_validator, model_validator

from retrieval_bench import registry
from retrieval_bench.protocols import Ranker
from retrieval_bench.quality import with_places, without_own
from retrieval_bench.rankers._examples import judged
from retrieval_bench.rankers._fusing import learned_weights, scaled, summed, weighted
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.rankers._tiers import below
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
    fusion: Literal["rrf", "weighted"] = Field(
        default="rrf", description="rrf: by ranks; weighted: by scores, each ranker's scaled to 0 to 1 per query"
    )
    rrf_k: float = Field(default=60.0, ge=0, le=10_000, description="rrf: how little the first ranks stand out")
    weights: tuple[FiniteFloat, ...] | None = Field(
        default=None, description="weighted: one per ranker, at least 0 (not asked); None: learned on examples"
    )
    depth: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="candidates of each ranker; where more are asked for, rrf fuses k, weighted lists the others below",
    )

    @field_validator("rankers", mode="before")
    @classmethod
    def _named(cls, parts: object) -> object:
        if isinstance(parts, list | tuple):
            return tuple({"ranker": part} if isinstance(part, str) else part for part in parts)
        return parts

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights is None:
            return self
        if self.fusion == "rrf":
            raise ValueError("weights belong to fusion = 'weighted'; rrf takes none: change one of them")
        if len(self.weights) != len(self.rankers) or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"weights must be {len(self.rankers)} numbers, none below 0 and not all 0")
        return self


class _Saved(Frozen):
    params: HybridParams
    documents: int


@registry.rankers.register("hybrid")
class Fusion:
    """A document scores the sum over the rankers of 1 / (rrf_k + its rank there), or of weight times scaled score.

    Scores are scaled over the first ``depth`` hits of each ranker. What none of them has so far up follows below, from
    the rankers in turns. A ranker of weight 0 is not asked.

    Attributes:
        notes: what whoever reads the results should know of the weights learned.
    """

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
            DataError: weights are to be learned and there are no judged examples.
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
        self._documents = len(corpus)
        self.notes: list[str] = []
        weights = params.weights
        if params.fusion == "weighted" and weights is None:
            learn = judged(examples, what="hybrid with learned weights", instead="set `weights`")
            depth = min(params.depth, self._documents)
            rankings = [scaled(part.rank(learn.queries, depth)) for part in self._parts]
            own = learn.queries.own_rows
            weights = learned_weights(
                [without_own(hits, own, depth) for hits in rankings], learn.qrels, with_places(corpus)
            )
            if len(set(weights)) == 1 < len(weights):
                self.notes.append(
                    f"hybrid: no other weights are better on the {len(learn.queries)} questions: all are equal."
                )
        self.params = params.model_copy(update={"rankers": tuple(used), "weights": weights})

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k documents of greatest fused score for each query."""
        depth, weights = self.params.depth, self.params.weights or (1.0,) * len(self._parts)
        deep = min(max(depth, k), self._documents)
        rankings = [part.rank(queries, deep) for part, w in zip(self._parts, weights, strict=True) if w > 0]
        if self.params.weights is None:
            return fuse(rankings, k, self.params.rrf_k)
        # The weights were learned for scores scaled over so many hits: over more, the same scores would mean less.
        fused = weighted([scaled(hits.first(depth)) for hits in rankings], [w for w in weights if w > 0], k)
        if k <= depth:
            return fused
        in_turns = np.stack([hits.rows for hits in rankings], axis=2)
        return below(fused, in_turns.reshape(len(in_turns), -1), k)

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
    return summed(
        [hits.rows for hits in rankings],
        [np.broadcast_to(1 / (rrf_k + np.arange(1, 1 + hits.rows.shape[1])), hits.rows.shape) for hits in rankings],
        k,
    )
