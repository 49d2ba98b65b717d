"""From hits to the figures of a trial: which metrics apply at a depth, and what they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retrieval_bench.datasets import exact_neighbors
from retrieval_bench.runner import score as scoring
from retrieval_bench.types import Corpus, Dataset, Hits, Qrels, Queries

N, M = 200, 6
VECTORS = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
QRELS = Qrels(offsets=np.arange(M + 1), rows=np.arange(M) * 3, grades=np.ones(M, np.int64))


def dataset(*, judged: bool = True, own: bool = False) -> Dataset:
    queries = Queries(ids=[f"q{i}" for i in range(M)], vectors=VECTORS[:M], own_rows=np.arange(M) if own else None)
    return Dataset(
        name="d", fingerprint="f", corpus=Corpus(ids=[f"d{i:03}" for i in range(N)], vectors=VECTORS),
        queries={"test": queries, "tune": replace(queries, split="tune")}, metric="l2",
        qrels={"test": QRELS} if judged else {},
        neighbors={"test": exact_neighbors(VECTORS, VECTORS[:M], 100, "l2")},
    )  # fmt: skip


def answers(depth: int) -> Hits:
    return exact_neighbors(VECTORS, VECTORS[:M], depth, "l2")


@pytest.mark.parametrize(
    ("depth", "judged", "name"),
    [(100, True, "nDCG@10"), (3, True, "nDCG@3"), (10, False, "neighbor_recall@10"), (3, False, "neighbor_recall@3")],
)
def test_what_decides(depth: int, judged: bool, name: str) -> None:
    assert scoring.primary(dataset(judged=judged), depth) == name


def test_a_cut_deeper_than_the_search_is_left_out_unless_everything_is_ranked() -> None:
    data = dataset()
    assert scoring.measured(data, "test", kind="ranker", depth=5) == ["recall@5", "MRR", "MAP", "nDCG@5"]
    ten = scoring.measured(data, "test", kind="ranker", depth=10)
    assert ten == ["nDCG@10", "recall@5", "MRR", "MRR@10", "MAP", "P@10", "success@10", "judged@10"]
    assert set(scoring.measured(data, "test", kind="ranker", depth=N)) == set(scoring.JUDGED_METRICS)
    few = replace(data, corpus=Corpus(ids=list("abc")))
    assert set(scoring.measured(few, "test", kind="ranker", depth=3)) == set(scoring.JUDGED_METRICS)
    assert scoring.primary(few, 3) == "nDCG@10"


@pytest.mark.parametrize(("depth", "cuts"), [(100, [1, 10, 100]), (99, [1, 10]), (10, [1, 10]), (4, [1, 4]), (1, [1])])
def test_neighbor_recall_at_the_usual_cuts_and_at_a_shallow_depth(depth: int, cuts: list[int]) -> None:
    data = dataset(judged=False)
    names = [f"neighbor_recall@{k}" for k in cuts]
    assert scoring.measured(data, "test", kind="index", depth=depth) == names
    found = scoring.score(data, "test", answers(depth), kind="index", depth=depth)
    assert {name: values.tolist() for name, values in found.items()} == {name: [1.0] * M for name in names}
    assert scoring.measured(data, "tune", kind="index", depth=depth) == []
    assert scoring.measured(data, "test", kind="ranker", depth=depth) == []


def test_a_querys_own_document_is_no_neighbor() -> None:
    data = dataset(judged=False, own=True)
    assert scoring.measured(data, "test", kind="index", depth=100) == ["neighbor_recall@1", "neighbor_recall@10"]
    found = scoring.score(data, "test", answers(11), kind="index", depth=10)
    assert {name: values.tolist() for name, values in found.items()} == {
        "neighbor_recall@1": [1.0] * M, "neighbor_recall@10": [1.0] * M
    }  # fmt: skip


def test_wrong_rows_are_no_neighbors_and_equally_near_ones_are() -> None:
    data = dataset(judged=False)
    right = answers(10)
    wrong = Hits(rows=np.where(np.arange(10) < 5, right.rows, N - 1 - np.arange(10)), scores=right.scores)
    found = scoring.score(data, "test", wrong, kind="index", depth=10)
    assert found["neighbor_recall@1"].tolist() == [1.0] * M
    assert found["neighbor_recall@10"].max() < 1.0
    assert found["neighbor_recall@10"].min() >= 0.5


def test_figures_are_those_of_the_answers_without_the_own_documents() -> None:
    data = dataset(own=True)
    hits = answers(11)
    found = scoring.score(data, "test", hits, kind="ranker", depth=10)
    assert "neighbor_recall@10" not in found
    ranking = scoring.ranking(data, "test", hits, depth=10)
    assert ranking.rows.shape == (M, 10)
    assert not (ranking.rows == np.arange(M)[:, None]).any()
    place = [[*row, 3 * i].index(3 * i) for i, row in enumerate(ranking.rows.tolist())]
    assert found["MRR@10"].tolist() == [0.0 if i == 0 or p >= 10 else 1 / (p + 1) for i, p in enumerate(place)]


def test_what_is_said_of_ties_and_of_queries_without_an_answer() -> None:
    data = dataset()
    tied = Hits(rows=np.tile(np.arange(3 * M), (M, 1)), scores=np.zeros((M, 3 * M), np.float32))
    judged = scoring.ranking(data, "test", tied, depth=3 * M)
    values = scoring.score(data, "test", tied, kind="index", depth=3 * M)
    said = scoring.said_of_ties(data, "test", judged, values)
    assert "6 of them cut amid equal scores" in said
    assert "neighbor" not in said
    assert scoring.said_of_ties(data, "tune", judged, values) == ""
    whole = replace(data, corpus=Corpus(ids=data.corpus.ids[: 3 * M]))
    assert "cut" not in scoring.said_of_ties(whole, "test", judged, values)
    assert scoring.said_of_unmatched(tied, "bm25", "ranker") == ""
    rows = np.array([[1, -1], [-1, -1], [-1, -1]])
    empty = Hits(rows=rows, scores=np.where(rows < 0, -np.inf, 1).astype(np.float32))
    said = scoring.said_of_unmatched(empty, "bm25", "ranker")
    assert said.startswith("no document was returned for 2 of 3 queries: they share no term")
    assert scoring.said_of_unmatched(empty, "ivf", "index") == "no document was returned for 2 of 3 queries."
