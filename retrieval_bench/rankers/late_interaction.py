"""Late interaction as a ranker: MaxSim with all documents, or with those whose mean token vector is near the query's.

ColBERT's scoring (Khattab and Zaharia 2020, arXiv 2004.12832) over the tokens of any sentence encoder. The candidates
are found as PLAID (Santhanam et al. 2022, arXiv 2205.09707) finds its own, by one cheap vector before all tokens; here
that is the mean of a document's token vectors, which is what a mean-pooling encoder calls its sentence vector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from retrieval_bench import registry
from retrieval_bench.budgets import require_bytes
from retrieval_bench.hits import make_hits
from retrieval_bench.rankers._calls import same_scorer
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.scorers.late_interaction import LateInteraction, LateInteractionSettings, TokenDocuments
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


class LateInteractionParams(LateInteractionSettings):
    """Build parameters: the scorer's settings, and how many documents it is put to."""

    max_length: int = Field(default=128, ge=8, le=8192, description="tokens kept of a text")
    candidates: int | None = Field(
        default=None,
        ge=1,
        description="documents scored, those of the nearest mean vectors, k at least; None scores all",
    )


class _Saved(Frozen):
    params: LateInteractionParams
    scorer_revision: str


@registry.rankers.register("late_interaction")
class LateInteractionRanker:
    """Documents by their MaxSim with the query."""

    name: ClassVar[str] = "late_interaction"
    BuildParams: ClassVar[type[Params]] = LateInteractionParams
    params: LateInteractionParams

    def build(
        self,
        corpus: Corpus,
        params: LateInteractionParams,
        budget: Budget,
        *,
        examples: Examples | None = None,  # noqa: ARG002 - learns nothing
        seed: int = 0,  # noqa: ARG002 - chooses nothing
    ) -> None:
        """Read the tokens of the documents.

        Raises:
            BudgetError: the weights of the encoder alone are over the budget.
        """
        self._scorer = _scorer(params)
        require_bytes("late_interaction: its encoder", self._scorer.nbytes, budget, len(corpus))
        self._attach(params, self._scorer.keep(corpus.require_texts()))

    def _attach(self, params: LateInteractionParams, documents: TokenDocuments) -> None:
        self.params, self._documents = params, documents
        self._means: FloatArray | None = None if params.candidates is None else documents.store.means()

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k documents of greatest MaxSim for each query."""
        store = self._documents.store
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for i, tokens in enumerate(self._scorer.tokens(queries.require_texts(), queries=True)):
            chosen = self._candidates(tokens, k)
            values = store.max_sim(tokens, chosen)
            order = np.lexsort((chosen, -values))[:k]
            rows[i, : len(order)], scores[i, : len(order)] = chosen[order], values[order]
        return make_hits(rows, scores)

    def _candidates(self, tokens: FloatArray, k: int) -> IntArray:
        n = len(self._documents.store)
        if self._means is None or self.params.candidates is None or max(self.params.candidates, k) >= n:
            return np.arange(n)
        near = self._means @ (tokens.mean(axis=0) @ self._documents.store.projection)
        count = max(self.params.candidates, k)
        return np.argpartition(-near, count - 1)[:count].astype(np.int64)

    def memory(self) -> MemoryReport:
        """Token vectors, mean vectors where candidates are chosen by them, and the weights of the encoder."""
        means = {} if self._means is None else {"means": self._means.nbytes}
        return MemoryReport(parts={**self._documents.memory().parts, **means, "encoder": self._scorer.nbytes})

    def save(self, folder: Path) -> None:
        """Write the token vectors; the encoder is named with its revision, not copied."""
        (folder / "documents").mkdir()
        self._documents.save(folder / "documents")
        save_params(folder, _Saved(params=self.params, scorer_revision=self._scorer.revision))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, and load the encoder.

        Raises:
            ArtifactError: the encoder has other weights now, or the files cannot be read.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker._scorer = _scorer(saved.params)
        same_scorer(folder, ranker._scorer, saved.scorer_revision)
        ranker._attach(saved.params, ranker._scorer.load_kept(folder / "documents"))
        return ranker


def _scorer(params: LateInteractionParams) -> LateInteraction:
    own: dict[str, Any] = params.model_dump(include=set(LateInteractionSettings.model_fields))
    return LateInteraction.open(LateInteractionSettings(**own))
