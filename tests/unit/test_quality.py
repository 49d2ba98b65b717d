"""Metrics of hits: names, rules worked out by hand, own documents, neighbors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrieval_bench import quality
from retrieval_bench.errors import DataError, UnknownNameError, UsageError
from retrieval_bench.types import Hits, IntArray, Qrels

ALL = ["nDCG@2", "recall@2", "MRR@2", "MRR", "MAP", "MAP@2", "P@2", "success@2", "judged@2"]


def qrels(*queries: dict[int, int]) -> Qrels:
    return Qrels(
        offsets=np.cumsum([0, *(len(q) for q in queries)]).astype(np.int64),
        rows=np.array([row for q in queries for row in q], np.int64),
        grades=np.array([grade for q in queries for grade in q.values()], np.int64),
    )


def rows(*answers: list[int]) -> IntArray:
    return np.array(answers, np.int64).reshape(len(answers), -1)


def in_order(answers: IntArray) -> quality.Ranking:
    """As they stand: no two scores are equal."""
    scores = np.broadcast_to(-np.arange(answers.shape[1], dtype=np.float32), answers.shape)
    return quality.Ranking(rows=answers, scores=np.where(answers >= 0, scores, np.float32(-np.inf)))


def ranking(*answers: list[int]) -> quality.Ranking:
    return in_order(rows(*answers))


def hits(answers: IntArray, scores: list[list[float]] | None = None) -> Hits:
    given = np.zeros(answers.shape) if scores is None else np.array(scores)
    return Hits(rows=answers, scores=given.astype(np.float32))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ndcg@10", "nDCG@10"),
        (" NDCG@10 ", "nDCG@10"),
        ("Recall@100", "recall@100"),
        ("mrr", "MRR"),
        ("MRR@010", "MRR@10"),
        ("map@5", "MAP@5"),
        ("p@1", "P@1"),
        ("Neighbor_Recall@10", "neighbor_recall@10"),
    ],
)
def test_names_are_read_in_any_case_and_written_in_one(text: str, canonical: str) -> None:
    metric = quality.parse(text)
    assert str(metric) == canonical
    assert quality.parse(canonical) == metric


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("ndgc@10", UnknownNameError, "'nDCG@10'"),
        ("recal@100", UnknownNameError, "'recall@100'"),
        ("", UnknownNameError, "MRR"),
        ("recall", UsageError, "'recall@10'"),
        ("ndcg@0", UsageError, "at least 1"),
        ("nDCG@-1", UsageError, "at least 1"),
        ("nDCG@", UsageError, "at least 1"),
        ("P@1.5", UsageError, "at least 1"),
        ("P@٣", UsageError, "at least 1"),
        ("P@" + "9" * 5000, UsageError, "at least 1"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_the_nearest(text: str, error: type[Exception], hint: str) -> None:
    with pytest.raises(error) as caught:
        quality.parse(text)
    assert hint in str(caught.value)


def test_values_worked_out_by_hand() -> None:
    judgments = qrels({7: 3, 5: 1, 9: -1, 4: 0})
    found = quality.evaluate(ranking([9, 7, 2, 5]), judgments, [*ALL, "nDCG@10", "P@10", "judged@10"])
    ideal = 3 / math.log2(2) + 1 / math.log2(3)
    expected = {
        "nDCG@2": 3 / math.log2(3) / ideal,
        "nDCG@10": (3 / math.log2(3) + 1 / math.log2(5)) / ideal,
        "recall@2": 1 / 2,
        "MRR@2": 1 / 2,
        "MRR": 1 / 2,
        "MAP": (1 / 2 + 2 / 4) / 2,
        "MAP@2": (1 / 2) / 2,
        "P@2": 1 / 2,
        "P@10": 2 / 10,
        "success@2": 1.0,
        "judged@2": 1.0,
        "judged@10": 3 / 4,
    }
    assert {name: values[0] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


def test_queries_without_judgments_are_nan_and_left_out_of_the_mean() -> None:
    found = quality.evaluate(ranking([1, 2], [1, 2], [1, 2]), qrels({1: 1}, {}, {1: 0, 2: -1}), ALL)
    for name, values in found.items():
        assert values[0] > 0
        assert math.isnan(values[1])
        assert values[2] == (1.0 if name == "judged@2" else 0.0)
    assert quality.mean(found["success@2"]) == 0.5
    assert math.isnan(quality.mean(np.array([np.nan])))
    assert math.isnan(quality.mean(np.array([])))


def test_a_short_answer_is_a_short_ranking_and_an_empty_one_scores_zero() -> None:
    found = quality.evaluate(ranking([1, -1, -1], [-1, -1, -1]), qrels({1: 1, 2: 1}, {1: 1}), [*ALL, "P@5"])
    assert found["recall@2"].tolist() == [0.5, 0.0]
    assert found["P@5"].tolist() == [0.2, 0.0]
    assert found["judged@2"].tolist() == [1.0, 0.0]
    assert all(values[1] == 0.0 for values in found.values())


def test_no_hits_at_all_and_no_queries_at_all() -> None:
    empty = quality.evaluate(in_order(np.empty((2, 0), np.int64)), qrels({1: 1}, {}), ALL)
    assert all(values[0] == 0.0 and math.isnan(values[1]) for values in empty.values())
    assert quality.evaluate(in_order(np.empty((0, 3), np.int64)), qrels(), ["MAP"])["MAP"].shape == (0,)


def test_padding_is_not_taken_for_the_last_document_of_the_query_before() -> None:
    found = quality.evaluate(ranking([0, 1], [-1, -1]), qrels({1: 1}, {0: 1}), ["judged@2", "recall@2"])
    assert found["judged@2"].tolist() == [0.5, 0.0]
    assert found["recall@2"].tolist() == [1.0, 0.0]


def test_queries_are_scored_alike_in_one_block_and_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    judgments = qrels(*({int(r): int(g) for r, g in rng.integers(0, 9, (rng.integers(0, 6), 2))} for _ in range(50)))
    answers = rng.permuted(np.tile(np.arange(9), (50, 1)), axis=1)
    whole = quality.evaluate(in_order(answers), judgments, ALL)
    monkeypatch.setattr("retrieval_bench.quality.scoring._BLOCK_HITS", 20)
    for name, values in quality.evaluate(in_order(answers), judgments, ALL).items():
        np.testing.assert_array_equal(values, whole[name])


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(UsageError, match="exact neighbors"):
        quality.evaluate(ranking([1]), qrels({1: 1}), ["neighbor_recall@1"])
    with pytest.raises(DataError, match="2 queries"):
        quality.evaluate(ranking([1]), qrels({1: 1}, {}), ["MAP"])
    with pytest.raises(DataError, match="query 1 hold row 3 more than once"):
        quality.evaluate(ranking([1, 2, 4], [3, 2, 3]), qrels({1: 1}, {2: 1, 3: 1}), ["MAP"])


def test_inputs_are_not_written_to() -> None:
    answers, own = rows([1, 2], [2, 1]), np.array([1, -1])
    for array in (answers, own):
        array.setflags(write=False)
    assert quality.without_own(hits(answers), own, 2).rows.tolist() == [[2, -1], [2, 1]]
    assert answers.tolist() == [[1, 2], [2, 1]]


def test_own_documents_are_taken_out_and_k_remain() -> None:
    answers = hits(rows([4, 5, 6], [5, 4, 6], [4, 5, 6], [4, 5, -1]))
    own = np.array([4, 6, -1, 9])
    assert quality.without_own(answers, own, 2).rows.tolist() == [[5, 6], [5, 4], [4, 5], [4, 5]]
    assert quality.without_own(answers, own, 3).rows.tolist() == [[5, 6, -1], [5, 4, -1], [4, 5, 6], [4, 5, -1]]
    assert quality.without_own(answers, None, 2).rows.tolist() == [[4, 5], [5, 4], [4, 5], [4, 5]]
    with pytest.raises(DataError, match="own rows"):
        quality.without_own(answers, np.array([1]), 2)


class TestNeighborRecall:
    exact = hits(rows([0, 1, 2, 3], [4, 5, -1, -1]), [[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, -np.inf, -np.inf]])

    def test_counts_the_exact_top_k(self) -> None:
        returned = rows([2, 0, 9, 1], [9, 5, 4, -1])
        low = np.full((2, 2), -1.0)
        assert quality.neighbor_recall(returned, self.exact, 2, low).tolist() == [0.5, 0.5]
        assert quality.neighbor_recall(returned, self.exact, 4, np.full((2, 4), -1.0)).tolist() == [0.75, 1.0]

    def test_counts_a_tie_with_the_last_neighbor_within_rounding(self) -> None:
        returned = rows([0, 8], [4, -1])
        for score, recall in [(0.8, 1.0), (0.8 * (1 - 9e-6), 1.0), (0.8 * (1 - 2e-5), 0.5), (0.9, 1.0)]:
            true = np.array([[np.nan, score], [np.nan, np.nan]])
            assert quality.neighbor_recall(returned, self.exact, 2, true).tolist() == [recall, 0.5]

    def test_ties_of_negative_scores_are_seen_from_the_right_side(self) -> None:
        exact = hits(rows([0, 1]), [[-1.0, -4.0]])
        for score, recall in [(-4.00002, 1.0), (-4.001, 0.5), (-3.0, 1.0)]:
            assert quality.neighbor_recall(rows([0, 7]), exact, 2, np.array([[0.0, score]])).tolist() == [recall]

    def test_a_row_counts_once_and_no_more_than_k_count(self) -> None:
        high = np.ones((1, 2))
        one = hits(rows([0, 1]), [[0.9, 0.8]])
        assert quality.neighbor_recall(rows([0, 0]), one, 2, high).tolist() == [0.5]
        assert quality.neighbor_recall(rows([7, 7]), one, 2, high).tolist() == [0.5]
        few = hits(rows([0, -1]), [[0.9, -np.inf]])
        assert quality.neighbor_recall(rows([0, 7]), few, 2, high).tolist() == [1.0]

    def test_true_scores_are_needed_only_outside_the_exact_top_k(self) -> None:
        returned = rows([2, 0, 9, 1], [9, 5, 4, -1])
        assert quality.outside_exact(returned, self.exact, 2).tolist() == [[True, False], [True, False]]
        needed = quality.outside_exact(returned, self.exact, 4)
        assert needed.tolist() == [[False, False, True, False], [True, False, False, False]]

    def test_a_shallow_answer_and_a_query_without_neighbors(self) -> None:
        assert quality.neighbor_recall(rows([1], [4]), self.exact, 4, np.zeros((2, 1))).tolist() == [0.25, 0.5]
        none = hits(rows([-1, -1]), [[-np.inf, -np.inf]])
        assert math.isnan(quality.neighbor_recall(rows([1, 2]), none, 2, np.zeros((1, 2)))[0])

    def test_agrees_with_counting_one_by_one(self) -> None:
        rng = np.random.default_rng(1)
        m, n, k = 40, 12, 5
        scores = rng.integers(0, 5, (m, n)).astype(np.float32)  # many ties
        order = np.lexsort((np.broadcast_to(np.arange(n), (m, n)), -scores))
        exact = Hits(rows=order, scores=np.take_along_axis(scores, order, axis=1))
        returned = rng.integers(-1, n, (m, k))
        true = np.take_along_axis(scores, np.maximum(returned, 0), axis=1)
        expected = [
            sum(1 for row in set(returned[i].tolist()) - {-1} if scores[i, row] >= exact.scores[i, k - 1]) / k
            for i in range(m)
        ]
        assert quality.neighbor_recall(returned, exact, k, true).tolist() == pytest.approx(expected)

    def test_what_cannot_be_compared_is_refused(self) -> None:
        with pytest.raises(UsageError, match="4 deep"):
            quality.neighbor_recall(rows([1], [1]), self.exact, 5, np.zeros((2, 1)))
        with pytest.raises(UsageError, match="k = 0"):
            quality.outside_exact(rows([1], [1]), self.exact, 0)
        with pytest.raises(DataError, match="1 queries"):
            quality.outside_exact(rows([1]), self.exact, 2)
        with pytest.raises(DataError, match="true scores"):
            quality.neighbor_recall(rows([1], [1]), self.exact, 2, np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ndcg_cut_10", "nDCG@10"), ("map_cut_100", "MAP@100"), ("map", "MAP"), ("P_5", "P@5"),
        ("recall_100", "recall@100"), ("recip_rank", "MRR"), ("success_1", "success@1"),
    ],
)  # fmt: skip
def test_names_of_trec_eval_are_known(theirs: str, ours: str) -> None:
    assert str(quality.parse(theirs)) == ours
