"""Agreement with trec_eval (pytrec_eval) and ir_measures on random runs, to 1e-9."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench import quality
from retrieval_bench.errors import DataError

pytrec_eval = pytest.importorskip("pytrec_eval")

Run = dict[str, dict[str, float]]
Judgments = dict[str, dict[str, int]]

TREC = {
    "nDCG@3": "ndcg_cut_3",
    "nDCG@10": "ndcg_cut_10",
    "recall@3": "recall_3",
    "recall@100": "recall_100",
    "MRR": "recip_rank",
    "MAP": "map",
    "MAP@3": "map_cut_3",
    "P@3": "P_3",
    "P@10": "P_10",
    "success@3": "success_3",
}
IR_MEASURES = {
    "nDCG@10": "nDCG@10",
    "recall@100": "R@100",
    "MRR": "RR",
    "MRR@3": "RR@3",
    "MAP": "AP",
    "MAP@3": "AP@3",
    "P@3": "P@3",
    "success@3": "Success@3",
    "judged@3": "Judged@3",
    "judged@10": "Judged@10",
}

documents = st.sampled_from(["1", "10", "9", "a", "ab", "Z", "d-7", "é", "文", "d 8", "x" * 40, "_"])
queries = st.sampled_from(["q1", "q2", "q3", "q10"])
ties_and_near_ties = st.sampled_from([0.0, 1.0, 1.0 + 1e-12, 1.0 + 1e-6, -2.5, 1e39, 1e40, math.inf])
scores = ties_and_near_ties | st.floats(-1e6, 1e6, width=64)
runs = st.dictionaries(queries, st.dictionaries(documents, scores, min_size=1), max_size=4)
# trec_eval itself crashes on a query whose judgments are all below -1.
grades = st.dictionaries(documents, st.integers(-2, 4), min_size=1).filter(lambda judged: max(judged.values()) >= -1)
judgments = st.dictionaries(queries, grades, min_size=1, max_size=4)


def scored(run: Run, qrels: Judgments, metrics: list[str]) -> quality.RunScores:
    lines = [(q, d, s) for q, answers in run.items() for d, s in answers.items()]
    judged = [(q, d, g) for q, grades_of_q in qrels.items() for d, g in grades_of_q.items()]
    return quality.score_run(
        ([q for q, _, _ in lines], [d for _, d, _ in lines], [s for _, _, s in lines]),
        ([q for q, _, _ in judged], [d for _, d, _ in judged], [g for _, _, g in judged]),
        metrics,
    )


@settings(max_examples=300, deadline=None)
@given(run=runs, qrels=judgments)
def test_agrees_with_trec_eval(run: Run, qrels: Judgments) -> None:
    ours = scored(run, qrels, list(TREC))
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(TREC.values())).evaluate(run)
    for i, query in enumerate(ours.query_ids):
        for name, trec_name in TREC.items():
            expected = theirs[query][trec_name] if query in theirs else 0.0
            assert ours.values[name][i] == pytest.approx(expected, abs=1e-9), (query, name)
    assert list(ours.query_ids) == sorted(qrels)
    assert ours.unanswered == len(qrels.keys() - run.keys())
    assert ours.unjudged == len(run.keys() - qrels.keys())


@settings(max_examples=150, deadline=None)
@given(run=runs, qrels=judgments)
def test_agrees_with_ir_measures(run: Run, qrels: Judgments) -> None:
    # Some of its engines break ties by ascending id: it is given the order of trec_eval as scores without ties.
    untied: Run = {}
    for query, answers in run.items():
        ranked = sorted(((as_float32(score), document) for document, score in answers.items()), reverse=True)
        untied[query] = {document: -float(rank) for rank, (_, document) in enumerate(ranked)}
    ours = scored(run, qrels, list(IR_MEASURES))
    measures = {ir_measures.parse_measure(theirs): name for name, theirs in IR_MEASURES.items()}
    row = {query: i for i, query in enumerate(ours.query_ids)}
    results = [r for r in ir_measures.iter_calc(list(measures), qrels, untied) if r.query_id in qrels]
    assert len(results) == len(measures) * len(qrels)
    for result in results:
        name = measures[result.measure]
        assert ours.values[name][row[result.query_id]] == pytest.approx(result.value, abs=1e-9), (result, name)


def as_float32(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


@settings(max_examples=50, deadline=None)
@given(run=runs, qrels=judgments)
def test_the_order_of_lines_does_not_matter(run: Run, qrels: Judgments) -> None:
    backwards = {query: dict(reversed(answers.items())) for query, answers in reversed(run.items())}
    first, second = scored(run, qrels, list(TREC)), scored(backwards, qrels, list(TREC))
    for name in TREC:
        np.testing.assert_array_equal(first.values[name], second.values[name])


def test_ties_stand_in_descending_order_of_id() -> None:
    assert scored({"q": {"a": 1.0, "b": 1.0}}, {"q": {"a": 1}}, ["MRR"]).values["MRR"].tolist() == [0.5]
    assert scored({"q": {"a": 1.0, "b": 1.0}}, {"q": {"b": 1}}, ["MRR"]).values["MRR"].tolist() == [1.0]
    # Equal as float32, which is what trec_eval compares.
    assert scored({"q": {"a": 1.0 + 1e-12, "b": 1.0}}, {"q": {"a": 1}}, ["MRR"]).values["MRR"].tolist() == [0.5]


def test_a_run_that_answers_nothing_scores_zero() -> None:
    result = scored({}, {"q": {"a": 1}, "r": {"b": 0}}, list(TREC))
    assert result.unanswered == 2
    assert all(values.tolist() == [0.0, 0.0] for values in result.values.values())


def test_bad_columns_are_refused() -> None:
    good = (["q"], ["a"], [1])
    with pytest.raises(DataError, match="'a' for query 'q' is not a number"):
        quality.score_run((["q"], ["a"], [math.nan]), good, ["MAP"])
    with pytest.raises(DataError, match="run: document 'a' occurs more than once for query 'q'"):
        quality.score_run((["q", "q"], ["a", "a"], [1.0, 2.0]), good, ["MAP"])
    with pytest.raises(DataError, match="qrels: document 'a' occurs more than once"):
        quality.score_run((["q"], ["a"], [1.0]), (["q", "q"], ["a", "a"], [1, 0]), ["MAP"])
    with pytest.raises(DataError, match="run: columns of 1, 2 and 1 entries"):
        quality.score_run((["q"], ["a", "b"], [1.0]), good, ["MAP"])
    with pytest.raises(DataError, match="run: columns of 1, 1 and 2 entries"):
        quality.score_run((["q"], ["a"], [1.0, math.nan]), good, ["MAP"])
    with pytest.raises(DataError, match="no judgment"):
        quality.score_run((["q"], ["a"], [1.0]), ([], [], []), ["MAP"])
