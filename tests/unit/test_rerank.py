"""Re-ranking: order, depth, when it stops, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from low_rank import LowRank, LowRankSettings

from retrieval_bench.contract import check_hits
from retrieval_bench.errors import ArtifactError, BudgetError, ScorerError
from retrieval_bench.rankers._tiers import below, two_tiers
from retrieval_bench.rankers.rerank import Rerank, RerankParams
from retrieval_bench.registry import scorers
from retrieval_bench.scorers import Metered
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, Params, Queries

# Document i holds "word" i + 1 times among as many words as any other: bm25 ranks by i, the greatest first.
TEXTS = [" ".join(["word"] * (i + 1) + ["other"] * (60 - i)) + f" d{i}" for i in range(60)]
QUERY = Queries(ids=["a"], texts=["word"])


class PlaceSettings(Params):
    agrees: bool = True


@scorers.register("by_place")
class ByPlace:
    """Scores a document by its number, as bm25 does here, or the other way round."""

    name: ClassVar[str] = "by_place"
    Settings: ClassVar[type[Params]] = PlaceSettings
    revision = "1"
    nbytes = 0

    def __init__(self, settings: PlaceSettings) -> None:
        self.settings, self.calls = settings, 0

    @classmethod
    def open(cls, settings: PlaceSettings) -> Self:
        return cls(settings)

    def score(self, query_texts: Sequence[str], document_texts: Sequence[str]) -> FloatArray:
        self.calls += len(document_texts)
        sign = 1 if self.settings.agrees else -1
        return np.array([sign * int(text.rpartition("d")[2]) for text in document_texts], np.float32)


def built(budget: Budget | None = None, agrees: bool = True, **params: Any) -> Rerank:
    pytest.importorskip("bm25s")
    ranker = Rerank()
    wanted = {"ranker": "bm25", "scorer": "by_place", "scorer_settings": {"agrees": agrees}, **params}
    ranker.build(Corpus(ids=[f"{i}" for i in range(60)], texts=TEXTS), RerankParams(**wanted), budget or Budget())
    return ranker


def test_the_depth_is_reordered_and_the_rest_follows() -> None:
    ranker = built(depth=20, agrees=False)
    hits = ranker.rank(QUERY, 30)
    assert hits.rows[0].tolist() == [*range(40, 60), *range(39, 29, -1)]
    assert (np.diff(hits.scores[0]) < 0).all()
    assert ranker.scorer_calls == 20


def test_an_adaptive_depth_stops_when_the_order_is_settled() -> None:
    settled = built(depth=50, block=5, settle=5, patience=2)
    assert settled.rank(QUERY, 5).rows[0].tolist() == [59, 58, 57, 56, 55]
    assert settled.scorer_calls == 15  # one block to see an order, two that leave it as it is
    unsettled = built(depth=50, block=5, settle=5, patience=2, agrees=False)
    assert unsettled.rank(QUERY, 5).rows[0].tolist() == [10, 11, 12, 13, 14]
    assert unsettled.scorer_calls == 50


def test_the_depth_is_the_budgets_when_it_is_left_open() -> None:
    ranker = built(Budget(scorer_calls=7))
    assert ranker.params.depth == 7
    ranker.rank(QUERY, 10)
    assert ranker.scorer_calls == 7


def test_a_depth_over_the_budget_is_refused() -> None:
    with pytest.raises(BudgetError, match="rerank: spends 20 scorer calls per query, the budget allows 19"):
        built(Budget(scorer_calls=19), depth=20)


def test_saving_keeps_ranker_scorer_and_texts(tmp_path: Path) -> None:
    ranker = built(depth=20, agrees=False)
    ranker.save(tmp_path)
    loaded = Rerank.load(tmp_path)
    assert np.array_equal(loaded.rank(QUERY, 30).rows, ranker.rank(QUERY, 30).rows)
    assert ranker.memory().parts["texts"] == sum(len(text) for text in TEXTS)
    (tmp_path / "documents" / "texts-starts.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"texts-starts\.npy: is no \.npy file"):
        Rerank.load(tmp_path)


def test_a_session_refuses_the_call_that_would_be_one_too_many() -> None:
    scorer = LowRank()
    (session,) = Metered.over(scorer, [f"d{i}" for i in range(9)]).sessions(["q1"], allowed=5)
    assert session.score(np.arange(3)).shape == (3,)
    with pytest.raises(BudgetError, match="3 calls were made for it, 3 more are asked for, 5 are allowed"):
        session.score(np.arange(3))
    assert (session.calls, scorer.calls) == (3, 3)
    assert session.score(np.arange(2)).shape == (2,)


def test_a_bad_score_names_the_document() -> None:
    scorer = LowRank(LowRankSettings(wrong="nan"))
    with pytest.raises(ScorerError, match="'q1': gave nan for the document of row 4"):
        next(Metered.over(scorer, [f"d{i}" for i in range(9)]).sessions(["q1"])).score(np.array([2, 4]))


def test_two_tiers_move_guesses_below_scores() -> None:
    rows, scores = two_tiers(
        5, np.array([3, 1]), np.array([-2, -1], np.float32), np.array([0, 2]), np.array([7, 9], np.float32)
    )
    assert rows.tolist() == [1, 3, 2, 0, -1]
    assert (np.diff(scores[:4]) < 0).all()
    assert scores[4] == -np.inf


def test_further_documents_follow_below_in_their_order() -> None:
    best = Hits(
        rows=np.array([[4, 1, -1], [2, 0, 3], [-1, -1, -1]]),
        scores=np.array([[0.5, -7, -np.inf], [3, 2, 2], [-np.inf] * 3], np.float32),
    )
    further = np.array([[4, 9, 1, 3, 9, -1], [2, 0, 3, 7, 5, 6], [-1] * 6])
    found = below(best, further, 5)
    assert found.rows.tolist() == [[4, 1, 9, 3, -1], [2, 0, 3, 7, 5], [-1] * 5]
    assert found.scores[0, :2].tolist() == [0.5, -7]
    assert found.scores[0, 2] < -7
    assert found.scores[1, 3] < 2
    check_hits(found, 3, 5, 10)
    np.testing.assert_array_equal(below(best, further, 1).rows, [[4], [2], [-1]])
