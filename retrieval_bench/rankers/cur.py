"""Nearest neighbors under a scorer of pairs (a cross-encoder) without scoring every pair: the CUR family.

At the build the scorer is asked about anchor queries; a new query is put to it with a few documents only, and the
scores of all others follow from the anchors' (see ``_cur.solve``). Documents that were scored stay candidates.

- ``anncur`` (Yadav et al. 2022, arXiv 2210.12579): one fixed set of anchor documents, then the best by the estimate.
- ``adacur`` (Yadav et al. 2023, arXiv 2305.02996): anchor documents are chosen in rounds, by the estimate so far.
- ``axn`` (Yadav et al. 2024, arXiv 2405.03651): learned factors of documents and rounds as in adacur, started from a
  dual encoder when one is named; then a sparse share of the anchors' scores is enough.
- ``residual`` (ours): rounds as in axn, over the dual encoder's vectors and the rows of what they leave unexplained of
  the anchors' scores: ADACUR of the residual, for a scorer that mostly agrees with a dual encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from retrieval_bench import registry
from retrieval_bench.arrays import load_array, save_array, unfit
from retrieval_bench.errors import BudgetError, DataError, UsageError
from retrieval_bench.hits import make_hits
from retrieval_bench.rankers._calls import ScorerParams, calls_per_query, same_scorer
from retrieval_bench.rankers._cur.anchors import anchor_queries, scored
from retrieval_bench.rankers._cur.factors import Known, fitted, pivots, truncated, with_residuals
from retrieval_bench.rankers._cur.solve import in_rounds
from retrieval_bench.rankers._cur.start import Start, rows_to_score
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.rankers._tiers import two_tiers
from retrieval_bench.scorers import BLOCK_QUERIES, Metered, load_scorer
from retrieval_bench.threads import blas
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

_DEFAULT_ANCHORS = 100
_BLOCK_VALUES = 1 << 24  # estimates held together


class CurParams(ScorerParams):
    """Build parameters. Anchors and calls that are left open are chosen from the budget and filled in by the build."""

    method: Literal["anncur", "adacur", "axn", "residual"] = Field(default="adacur", description="see the module")
    anchors: int | None = Field(
        default=None, ge=1, description="anchor queries; None: what build_scorer_calls pays for, at most 100"
    )
    calls: int | None = Field(default=None, ge=2, description="scorer calls per query; None: the budget's, else 100")
    rounds: int = Field(default=5, ge=2, le=1000, description="of scoring; anncur always has two")
    first: Literal["pivoted", "random"] = Field(
        default="pivoted", description="first documents: QR pivots of the anchors' scores, or drawn; axn: the encoder's"
    )
    ridge: float = Field(default=0.01, ge=0, description="of the query's regression; 0 is the pseudo-inverse")
    dual_encoder: str | None = Field(
        default=None, description="axn, residual: encoder to start from; None: axn takes the full matrix, its SVD"
    )
    factors: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="axn: dimensions of the documents' factors; None: the encoder's or rank",
    )
    density: float = Field(
        default=0.2, gt=0, le=1, description="axn with an encoder: share of documents scored per anchor, half at random"
    )


class _Saved(Frozen):
    params: CurParams
    documents: int
    scorer_revision: str
    encoder_revision: str | None
    build_scorer_calls: int


@registry.rankers.register("cur")
class Cur:
    """Scores a few documents per query and estimates the others; hits not scored stand below those that were.

    Attributes:
        build_scorer_calls: pairs in the anchors' matrix, whether scored by this build or found in the cache.
    """

    name: ClassVar[str] = "cur"
    BuildParams: ClassVar[type[Params]] = CurParams
    params: CurParams
    build_scorer_calls: int

    def build(
        self, corpus: Corpus, params: CurParams, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        """Score the anchor queries; an interrupted build goes on where it stopped.

        Args:
            corpus: its texts are scored.
            params: checked against the budget before any call.
            budget: ``build_scorer_calls`` and ``scorer_calls`` limit the scorer.
            examples: their questions are the anchor queries; without, first sentences of documents are.
            seed: of the choice of anchors.

        Raises:
            BudgetError: fewer calls are allowed than the parameters ask for, or than one anchor query needs.
            DataError: there is no text to make an anchor of.
            ScorerError: the scorer failed.
        """
        documents, n = corpus.require_texts(), len(corpus)
        rng = np.random.default_rng(seed)
        calls = calls_per_query("cur", params.calls, budget, n)
        candidates = anchor_queries(examples, documents)
        if not candidates:
            raise DataError("cur: no query to learn from and no document with a text; there is nothing to score")
        if params.method == "residual" and params.dual_encoder is None:
            raise UsageError("cur: the method 'residual' needs a dual_encoder, e.g. 'minilm'")
        started = params.method in ("axn", "residual") and params.dual_encoder is not None
        each = max(2, round(params.density * n)) if started and params.method == "axn" else n
        count = _anchors(params.anchors, budget, each, len(candidates))
        queries = [candidates[i] for i in rng.permutation(len(candidates))[:count]]
        scorer = load_scorer(params.scorer, params.scorer_settings, where="cur")
        self._scorer = Metered.over(scorer, documents)
        self._start: Start | None = None
        if started:
            known = self._from_encoder(params, documents, queries, min(each, n), rng)
        else:
            known = scored(self._scorer, documents, queries, [np.arange(n)] * count)
            matrix = np.stack([scores for _, scores in known])
            self._factors = truncated(matrix, params.factors) if params.method == "axn" else matrix
        self.build_scorer_calls = sum(len(rows) for rows, _ in known)
        self._first = self._first_rows(params, calls, rng)
        self.params = params.model_copy(update={"anchors": count, "calls": calls})

    def _from_encoder(
        self, params: CurParams, documents: Sequence[str], queries: list[str], each: int, rng: np.random.Generator
    ) -> list[Known]:
        """Score each anchor with ``each`` documents, half of them the dual encoder's best, and extend its vectors."""
        self._start, items = Start.over(params.dual_encoder, documents, params.factors)
        asked = self._start.reduced(queries)
        known = scored(self._scorer, documents, queries, rows_to_score(asked, items, each, rng))
        self._start.calibrate(asked, items, known)
        flat = np.vstack([items, np.ones((1, items.shape[1]), np.float32)])
        priors = self._start.priors(queries)
        if params.method == "axn":
            self._factors = fitted(flat, priors, known, ridge=params.ridge)
        else:
            self._factors = with_residuals(flat, priors, np.stack([scores for _, scores in known]))
        return known

    def _first_rows(self, params: CurParams, calls: int, rng: np.random.Generator) -> IntArray:
        share = calls // 2 if params.method == "anncur" else calls // params.rounds
        share = max(1, share)
        if params.first == "pivoted":
            return pivots(self._factors, share)
        return rng.permutation(self._factors.shape[1])[:share].astype(np.int64)

    @property
    def scorer_calls(self) -> int:
        """Pairs scored so far by this process, at the build and for queries."""
        return self._scorer.calls

    @property
    def notes(self) -> list[str]:
        """What the scorer and the dual encoder say of how they ran."""
        encoder = None if self._start is None else self._start.encoder
        return [*getattr(self._scorer.scorer, "notes", ()), *getattr(encoder, "notes", ())]

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k best documents of each query, those that were scored first.

        Raises:
            ScorerError: the scorer failed.
        """
        texts = list(queries.require_texts())
        rows = np.full((len(texts), k), -1, np.int64)
        scores = np.full((len(texts), k), -np.inf, np.float32)
        block = max(1, min(BLOCK_QUERIES, _BLOCK_VALUES // self._factors.shape[1]))
        # Products are small, and a pool of BLAS threads that spins takes the cores from the scorer's own.
        with blas().limit(limits=1):
            for start in range(0, len(texts), block):
                for i, hits in enumerate(self._rank(texts[start : start + block], k), start):
                    rows[i], scores[i] = hits
        return make_hits(rows, scores)

    def _rank(self, texts: list[str], k: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """Rows and scores of each query's hits, (k,)."""
        params, calls, n = self.params, self.params.calls or 0, self._factors.shape[1]  # calls: filled in by the build
        first, priors = np.tile(self._first, (len(texts), 1)), None
        if self._start is not None:
            priors = self._start.priors(texts)
            priors = np.pad(priors, ((0, 0), (0, len(self._factors) - priors.shape[1])))
            first = np.argsort(-(priors @ self._factors), axis=1, kind="stable")[:, : first.shape[1]]
        sessions = list(self._scorer.sessions(texts, allowed=calls))
        rows, scores, estimates = in_rounds(
            self._factors, first, lambda asked: np.stack([s.score(a) for s, a in zip(sessions, asked, strict=True)]),
            calls=calls, rounds=1 if params.method == "anncur" else params.rounds - 1, ridge=params.ridge,
            priors=priors,
        )  # fmt: skip
        for known, values, guesses in zip(rows, scores, estimates, strict=True):
            others = np.setdiff1d(np.arange(n), known) if k > calls else known[:0]
            yield two_tiers(k, known, values, others, guesses[others])

    def memory(self) -> MemoryReport:
        """The factors, what the scorer keeps of the documents, its weights, and those of a dual encoder."""
        parts = {**self._scorer.memory().parts, "factors": self._factors.nbytes, "first": self._first.nbytes}
        if self._start is not None:
            parts |= self._start.parts()
        return MemoryReport(parts=parts)

    def save(self, folder: Path) -> None:
        """Write the arrays and what the scorer keeps of the documents; models are named with their revisions."""
        save_array(folder / "factors.npy", self._factors)
        save_array(folder / "first.npy", self._first)
        if self._start is not None:
            self._start.save(folder)
        (folder / "documents").mkdir()
        self._scorer.save(folder / "documents")
        saved = _Saved(
            params=self.params,
            documents=self._factors.shape[1],
            scorer_revision=self._scorer.scorer.revision,
            encoder_revision=None if self._start is None else self._start.encoder.revision,
            build_scorer_calls=self.build_scorer_calls,
        )
        save_params(folder, saved)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, and load the models.

        Raises:
            ArtifactError: a model has other weights now, or the files cannot be read or do not fit each other.
            UnavailableError: a model cannot be had on this machine.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker.params, ranker.build_scorer_calls = saved.params, saved.build_scorer_calls
        scorer = load_scorer(saved.params.scorer, saved.params.scorer_settings, where=str(folder))
        same_scorer(folder, scorer, saved.scorer_revision)
        ranker._scorer = Metered.load(folder / "documents", scorer)
        ranker._start, n = None, saved.documents
        ranker._factors = load_array(folder / "factors.npy", (np.float32, np.float64), (None, n))
        ranker._first = load_array(folder / "first.npy", np.int64, (None,), low=0, high=n)
        if saved.encoder_revision is not None:
            ranker._start = Start.load(folder, saved.params.dual_encoder, saved.encoder_revision)
        most = 0 if ranker._start is None else ranker._start.axes.shape[1] + 1
        if not len(ranker._first) or len(ranker._factors) < most:
            raise unfit(folder, "the files of this cur ranker do not fit each other")
        return ranker


def _anchors(asked: int | None, budget: Budget, each: int, candidates: int) -> int:
    """Anchor queries that are scored, ``each`` calls a query.

    Raises:
        BudgetError: more are asked for than the budget pays for, or it pays for none.
    """
    allowed = budget.build_scorer_calls
    if allowed is None:
        return min(asked or _DEFAULT_ANCHORS, candidates)
    affordable = allowed // each
    wanted = min(asked or max(1, min(_DEFAULT_ANCHORS, affordable)), candidates)
    if wanted > affordable:
        raise BudgetError(
            f"cur: {wanted} anchor queries need {wanted * each} scorer calls at the build ({each} each), the budget "
            f"allows {allowed} (build_scorer_calls)"
        )
    return wanted
