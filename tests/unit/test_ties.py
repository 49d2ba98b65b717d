"""Equal scores: judged in the order of trec_eval everywhere, and how far another order would move a figure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench import quality
from retrieval_bench.datasets.trec import Run, read_run, write_run
from retrieval_bench.errors import DataError
from retrieval_bench.hits import make_hits
from retrieval_bench.types import Corpus, Hits, IntArray, Qrels, RowIds

pytrec_eval = pytest.importorskip("pytrec_eval")

TREC = {
    "nDCG@3": "ndcg_cut_3", "nDCG@10": "ndcg_cut_10", "recall@3": "recall_3", "MRR": "recip_rank", "MAP": "map",
    "P@3": "P_3", "success@1": "success_1",
}  # fmt: skip
IDS = ("1", "10", "9", "09", "a", "Z", "é", "文", "e\u0301", "\U0001f600", "\uffee", "d-7", "_", "a\u00a0b")
# Equal in float32, or nearly equal, or truly different; -0.0 is 0.0.
SCORES = (0.5, 0.5 + 1e-12, 0.5 + 1e-9, 0.5 + 1e-6, -0.5, -0.5 - 1e-12, 0.0, -0.0, 1e-46, 3.0)


class Asked(NamedTuple):
    corpus: Corpus
    rows: IntArray
    scores: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    own: IntArray
    qrels: Qrels

    @property
    def hits(self) -> Hits:
        return make_hits(self.rows, self.scores)

    def ranking(self) -> quality.Ranking:
        return quality.ranked(self.hits, self.corpus, own_rows=self.own)


def compressed(judged: Sequence[dict[int, int]]) -> Qrels:
    return Qrels(
        offsets=np.cumsum([0, *map(len, judged)]).astype(np.int64),
        rows=np.array([row for each in judged for row in each], np.int64),
        grades=np.array([grade for each in judged for grade in each.values()], np.int64),
    )


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=8, unique=True))
    n, m = len(ids), draw(st.integers(1, 3))
    rows, scores = np.full((m, n), -1), np.full((m, n), -np.inf)
    for i in range(m):
        found = draw(st.permutations(range(n)))[: draw(st.integers(0, n))]
        rows[i, : len(found)] = found
        scores[i, : len(found)] = draw(st.lists(st.sampled_from(SCORES), min_size=len(found), max_size=len(found)))
    own = np.array(draw(st.lists(st.integers(-1, n - 1), min_size=m, max_size=m)))
    grades = st.dictionaries(st.integers(0, n - 1), st.integers(-1, 3), min_size=1)
    return Asked(Corpus(ids=ids), rows, scores, own, compressed([draw(grades) for _ in range(m)]))


@settings(max_examples=100, deadline=None)
@given(asked())
def test_hits_are_judged_as_trec_eval_judges_the_run_of_them(data: Asked) -> None:
    ids, qrels = data.corpus.ids, data.qrels
    ours = quality.evaluate(data.ranking(), qrels, [*TREC, "judged@3"])
    run = {
        str(i): {ids[row]: score for row, score in zip(rows, scores, strict=True) if row >= 0 and row != own}
        for i, (rows, scores, own) in enumerate(zip(data.rows.tolist(), data.scores.tolist(), data.own, strict=True))
    }
    judged = {
        str(i): {ids[qrels.rows[j]]: int(qrels.grades[j]) for j in range(qrels.offsets[i], qrels.offsets[i + 1])}
        for i in range(len(qrels))
    }
    theirs = pytrec_eval.RelevanceEvaluator(judged, set(TREC.values())).evaluate({q: a for q, a in run.items() if a})
    for name, trec in TREC.items():
        wanted = [theirs.get(str(i), {}).get(trec, 0.0) for i in range(len(qrels))]
        assert ours[name].tolist() == pytest.approx(wanted, abs=1e-9), name
    # A run file of the same answers, in whatever order, scores to the last digit.
    lines = [(q, d, s) for q, answers in run.items() for d, s in answers.items()][::-1]
    scored = quality.score_run(
        ([q for q, _, _ in lines], [d for _, d, _ in lines], [s for _, _, s in lines]),
        ([q for q, j in judged.items() for _ in j], [d for j in judged.values() for d in j],
         [g for j in judged.values() for g in j.values()]),
        [*TREC, "judged@3"],
    )  # fmt: skip
    for name, values in scored.values.items():
        assert dict(zip(scored.query_ids, values, strict=True)) == {str(i): v for i, v in enumerate(ours[name])}, name
        assert quality.mean(values) == quality.mean(ours[name])


@settings(max_examples=100, deadline=None)
@given(asked())
def test_bounds_are_the_worst_and_best_of_all_orders(data: Asked) -> None:
    names = ["nDCG@3", "recall@2", "MRR", "MAP", "P@2", "success@1", "judged@2"]
    ranking = data.ranking()
    ranking = quality.Ranking(rows=ranking.rows[:, :4], scores=ranking.scores[:, :4])  # few enough for all orders
    usual = quality.evaluate(ranking, data.qrels, names)
    worst, best = {n: [] for n in names}, {n: [] for n in names}  # type: dict[str, list[float]], dict[str, list[float]]
    for i in range(len(data.qrels)):
        one, judged = ranking.take(np.array([i])), data.qrels.take(np.array([i]))
        orders = [
            list(itertools.chain(*order))
            for order in itertools.product(
                *(
                    itertools.permutations(
                        row for row, score in zip(one.rows[0], one.scores[0], strict=True) if score == s
                    )
                    for s in dict.fromkeys(one.scores[0].tolist())
                )
            )
        ]
        rows = np.array(orders).reshape(len(orders), -1)
        all_orders = quality.Ranking(rows=rows, scores=np.broadcast_to(one.scores, rows.shape))
        found = quality.evaluate(all_orders, judged.take(np.zeros(len(orders), np.int64)), names)
        for name, values in found.items():
            worst[name].append(values.min())
            best[name].append(values.max())
    bounds = quality.tie_bounds(ranking, data.qrels, usual)
    for name in names:
        if worst[name] == best[name]:
            assert name not in bounds
        else:
            assert bounds[name].low == pytest.approx(np.mean(worst[name]), abs=1e-12)
            assert bounds[name].high == pytest.approx(np.mean(best[name]), abs=1e-12)
            assert bounds[name].queries == sum(a < b for a, b in zip(worst[name], best[name], strict=True))
            assert bounds[name].low <= quality.mean(usual[name]) <= bounds[name].high


def test_the_rule_by_hand() -> None:
    corpus = Corpus(ids=RowIds(12))  # by bytes: 9 stands after 10 and 11
    hits = Hits(rows=np.array([[3, 9, 10, 11, 2]]), scores=np.array([[2, 1, 1, 1, 0]], np.float32))
    assert quality.ranked(hits, corpus).rows.tolist() == [[3, 9, 11, 10, 2]]
    own = np.array([9])
    assert quality.ranked(hits, corpus, own_rows=own, k=3).rows.tolist() == [[3, 11, 10]]
    assert quality.ranked(hits, corpus, own_rows=np.array([-1]), k=3).rows.tolist() == [[3, 9, 11]], "cut after it"
    # What stands at the last place within the cut decides judged@k as it decides the rest.
    values = quality.evaluate(quality.ranked(hits, corpus), compressed([{11: 1}]), ["judged@2", "judged@3", "MRR"])
    assert {name: float(v[0]) for name, v in values.items()} == pytest.approx(
        {"judged@2": 0.0, "judged@3": 1 / 3, "MRR": 1 / 3}
    )


def test_hits_in_order_are_not_copied_and_none_are_written_to() -> None:
    corpus = Corpus(ids=["b", "a"])
    scores = np.array([[2, 1]], np.float32)
    hits = Hits(rows=np.array([[1, 0]]), scores=scores)
    assert np.shares_memory(quality.ranked(hits, corpus).rows, hits.rows)
    tied = Hits(rows=np.array([[1, 0]]), scores=np.ones((1, 2), np.float32))
    assert quality.ranked(tied, corpus).rows.tolist() == [[0, 1]]
    assert tied.rows.tolist() == [[1, 0]]


def test_places_that_were_worked_out_beforehand_are_used() -> None:
    names = ["b", "a", "c"]
    known = quality.with_places(Corpus(ids=names))
    stand_in = Corpus(ids=RowIds(3), id_places=known.id_places)  # a process that does not read the ids
    hits = Hits(rows=np.array([[0, 1, 2]]), scores=np.ones((1, 3), np.float32))
    assert quality.ranked(hits, stand_in).rows.tolist() == [[2, 0, 1]]
    assert quality.ranked(hits, Corpus(ids=RowIds(3))).rows.tolist() == [[2, 1, 0]]


def test_a_note_says_between_what_and_what_is_not_known() -> None:
    corpus = Corpus(ids=list("abcd"))
    hits = Hits(rows=np.array([[0, 1], [2, 3]]), scores=np.ones((2, 2), np.float32))
    qrels = compressed([{0: 1}, {2: 1, 3: 1}])
    ranking = quality.ranked(hits, corpus)
    bounds = quality.tie_bounds(ranking, qrels, quality.evaluate(ranking, qrels, ["MRR@10", "recall@2", "P@1"]))
    assert set(bounds) == {"MRR@10", "P@1"}
    assert (bounds["P@1"].low, bounds["P@1"].high, bounds["P@1"].queries, bounds["P@1"].cut) == (0.5, 1.0, 1, 1)
    said = quality.tie_note(bounds)
    assert "MRR@10 0.7500 to 1.0000 (1 queries, 1 of them cut amid equal scores" in said
    complete = quality.tie_bounds(ranking, qrels, quality.evaluate(ranking, qrels, ["P@1"]), complete=True)
    assert complete["P@1"].cut == 0
    assert quality.tie_note({}) == ""
    small = quality.TieBounds(metric="P@1", low=0.5, high=0.5004, queries=1, cut=0)
    assert quality.tie_note({"P@1": small}) == "", "moves by less than is told"


def test_a_group_that_ends_before_the_end_of_the_answer_is_known_whole() -> None:
    corpus, qrels = Corpus(ids=list("abcd")), compressed([{0: 1}])
    ranking = quality.ranked(Hits(rows=np.array([[0, 1, 2]]), scores=np.array([[1, 1, 0]], np.float32)), corpus)
    assert quality.tie_bounds(ranking, qrels, quality.evaluate(ranking, qrels, ["P@1"]))["P@1"].cut == 0
    late = quality.ranked(Hits(rows=np.array([[2, 0, 1]]), scores=np.array([[1, 0, 0]], np.float32)), corpus)
    values = quality.evaluate(late, qrels, ["P@1", "P@2"])
    assert quality.tie_bounds(late, qrels, values)["P@2"].cut == 1
    assert "P@1" not in quality.tie_bounds(late, qrels, values), "begins after the cut"


def test_ties_beyond_the_deepest_cut_of_a_run_count_as_alternatives() -> None:
    scores = quality.score_run((["q"] * 3, ["a", "b", "c"], [1.0, 1.0, 1.0]), (["q"], ["a"], [1]), ["P@1"])
    assert scores.values["P@1"].tolist() == [0.0]
    assert (scores.ties["P@1"].low, scores.ties["P@1"].high) == (0.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(scores=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_a_written_run_keeps_every_float32(scores: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run") / "a.run"
    names = [f"d{i}" for i in range(len(scores))]
    run = Run(query_ids=["q"] * len(scores), document_ids=names, ranks=np.arange(len(scores)),
              scores=np.array(scores, np.float64), tag="t")  # fmt: skip
    write_run(path, run)
    read = np.asarray(read_run(path).scores).astype(np.float32)
    assert np.array_equal(read, np.array(scores, np.float32))


def test_a_ranking_is_one_shape(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ranking: rows"):
        quality.Ranking(rows=np.zeros((1, 2), np.int64), scores=np.zeros((1, 3), np.float32))
