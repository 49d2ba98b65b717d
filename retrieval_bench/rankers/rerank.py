"""Re-ranking: any ranker finds candidates, a scorer of pairs (a cross-encoder) orders them.

With ``patience`` the depth adapts to the query: candidates are scored in blocks down the list, until so many blocks in
a row have left the best ``settle`` as they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from retrieval_bench import registry
from retrieval_bench.hits import make_hits
from retrieval_bench.protocols import Ranker
from retrieval_bench.rankers._calls import ScorerParams, calls_per_query, same_scorer
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.rankers._tiers import two_tiers
from retrieval_bench.scorers import Metered, Session, load_scorer
from retrieval_bench.specs import params as checked_params
from retrieval_bench.types import (
    Budget,
    Corpus,
    Examples,
    FloatArray,
    Frozen,
    Hits,
    IntArray,
    MemoryReport,
    Params,
    Queries,
)


class RerankParams(ScorerParams):
    """Build parameters."""

    ranker: str = Field(default="dense", description="ranker that finds the candidates")
    ranker_build: dict[str, Any] = Field(default_factory=dict, description="its build parameters")
    encoder: str | None = Field(
        default=None, description="encoder of the ranker where it names none; None: its default"
    )
    depth: int | None = Field(
        default=None, ge=1, description="most candidates scored; None: the budget's calls, else 100"
    )
    block: int = Field(default=10, ge=1, description="candidates scored between two looks at the order")
    settle: int = Field(default=10, ge=1, description="best documents that must stay as they are")
    patience: int | None = Field(
        default=None, ge=1, description="stop after so many blocks that changed nothing; None scores all of the depth"
    )


class _Saved(Frozen):
    params: RerankParams
    documents: int
    scorer_revision: str


@registry.rankers.register("rerank")
class Rerank:
    """Scored candidates by their score, below them what was not scored, in the order in which it was found.

    Attributes:
        build_scorer_calls: always 0.
    """

    name: ClassVar[str] = "rerank"
    BuildParams: ClassVar[type[Params]] = RerankParams
    params: RerankParams
    build_scorer_calls: int = 0

    def build(
        self, corpus: Corpus, params: RerankParams, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        """Build the ranker over the corpus, and let the scorer keep what it can of the documents.

        Raises:
            BudgetError: the depth is more than the scorer calls that the budget allows a query.
            UnknownNameError: no such ranker or scorer.
            CardError: it does not have such parameters.
        """
        depth = calls_per_query("rerank", params.depth, budget, len(corpus))
        ranker: Ranker = registry.rankers.get(params.ranker)()
        wanted = dict(params.ranker_build)
        if params.encoder is not None and "encoder" in ranker.BuildParams.model_fields:
            wanted.setdefault("encoder", params.encoder)
        where = f"rerank, parameters of the ranker {params.ranker!r}"
        checked = checked_params(ranker.BuildParams, wanted, where=where)
        scorer = load_scorer(params.scorer, params.scorer_settings, where="rerank")
        ranker.build(corpus, checked, budget, examples=examples, seed=seed)
        self._ranker, self._documents = ranker, len(corpus)
        self._scorer = Metered.over(scorer, corpus.require_texts())
        self.params = params.model_copy(update={"depth": depth, "ranker_build": ranker.params.model_dump()})

    @property
    def scorer_calls(self) -> int:
        """Pairs scored so far by this process."""
        return self._scorer.calls

    @property
    def notes(self) -> list[str]:
        """What the ranker and the scorer say of how they ran."""
        return [*getattr(self._ranker, "notes", ()), *getattr(self._scorer.scorer, "notes", ())]

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k best documents for each query.

        Raises:
            ScorerError: the scorer failed.
        """
        depth = self.params.depth or 0  # filled in by the build
        hits = self._ranker.rank(queries, min(max(depth, k), self._documents))
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for i, session in enumerate(self._scorer.sessions(queries.require_texts(), allowed=depth)):
            found = hits.rows[i][hits.rows[i] >= 0]
            values = self._scores(session, found[:depth])
            rest = found[len(values) :]
            if len(found):
                guesses = -np.arange(len(rest), dtype=np.float32)
                rows[i], scores[i] = two_tiers(k, found[: len(values)], values, rest, guesses)
        return make_hits(rows, scores)

    def _scores(self, session: Session, candidates: IntArray) -> FloatArray:
        """Scores of the candidates from the first on, as many as the depth or the patience lets be scored."""
        if self.params.patience is None:
            return session.score(candidates)
        scores = np.empty(0, np.float32)
        best: IntArray = np.empty(0, np.int64)
        unchanged = 0
        while len(scores) < len(candidates) and unchanged < self.params.patience:
            block = candidates[len(scores) : len(scores) + self.params.block]
            scores = np.concatenate([scores, session.score(block)])
            now = np.argsort(-scores, kind="stable")[: self.params.settle]
            unchanged = unchanged + 1 if np.array_equal(now, best) else 0
            best = now
        return scores

    def memory(self) -> MemoryReport:
        """Parts of the ranker, under its name, what the scorer keeps of the documents, and its weights."""
        nested = {f"{self._ranker.name}.{name}": held for name, held in self._ranker.memory().parts.items()}
        return MemoryReport(parts={**nested, **self._scorer.memory().parts})

    def save(self, folder: Path) -> None:
        """Write the ranker and the documents into folders of their own; the scorer is named with its revision."""
        for name, part in (("ranker", self._ranker), ("documents", self._scorer)):
            (folder / name).mkdir()
            part.save(folder / name)
        save_params(
            folder,
            _Saved(params=self.params, documents=self._documents, scorer_revision=self._scorer.scorer.revision),
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, and load the scorer.

        Raises:
            ArtifactError: the scorer has other weights now, or a part cannot be read.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker.params, ranker._documents = saved.params, saved.documents
        scorer = load_scorer(saved.params.scorer, saved.params.scorer_settings, where=str(folder))
        same_scorer(folder, scorer, saved.scorer_revision)
        ranker._scorer = Metered.load(folder / "documents", scorer)
        ranker._ranker = registry.rankers.get(saved.params.ranker).load(folder / "ranker")
        return ranker
