"""Speed of scoring: 100,000 queries with 100 hits each, and the ratio to pytrec_eval on a smaller set.

Run with ``pytest tests/benchmarks/test_bench_quality.py --benchmark-enable``; the ratios stand in ``extra_info``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from retrieval_bench import quality
from retrieval_bench.types import Hits, IntArray, Qrels

pytrec_eval = pytest.importorskip("pytrec_eval")

T = TypeVar("T")
METRICS = {
    "nDCG@10": "ndcg_cut_10",
    "recall@100": "recall_100",
    "MRR": "recip_rank",
    "MAP": "map",
    "P@10": "P_10",
    "success@10": "success_10",
}
DOCUMENTS, DEPTH = 1_000_000, 100


class Judged(NamedTuple):
    rows: IntArray
    qrels: Qrels

    @property
    def ranking(self) -> quality.Ranking:
        """The answers, no two of a query with equal scores."""
        scores = np.broadcast_to(-np.arange(DEPTH, dtype=np.float32), self.rows.shape)
        return quality.Ranking(rows=self.rows, scores=scores)


def judged(queries: int) -> Judged:
    """Random answers without repeats; about ten judgments a query, half of them of returned documents."""
    rng = np.random.default_rng(0)
    starts = rng.integers(DOCUMENTS, size=(queries, 1))
    rows = (starts + rng.permuted(np.tile(np.arange(DEPTH) * 7919, (queries, 1)), axis=1)) % DOCUMENTS
    query = np.repeat(np.arange(queries), 10)
    returned = rows[query, rng.integers(DEPTH, size=len(query))]
    document = np.where(rng.random(len(query)) < 0.5, returned, rng.integers(DOCUMENTS, size=len(query)))
    query, document = np.divmod(np.unique(query * DOCUMENTS + document), DOCUMENTS)
    offsets = np.searchsorted(query, np.arange(queries + 1))
    return Judged(rows, Qrels(offsets=offsets, rows=document, grades=rng.integers(0, 4, len(document))))


def as_dicts(data: Judged) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """The run and the judgments in the form of pytrec_eval; scores fall with the rank."""
    rows, (offsets, documents, grades) = data.rows.tolist(), _lists(data.qrels)
    run = {str(i): {str(row): float(-rank) for rank, row in enumerate(answer)} for i, answer in enumerate(rows)}
    qrels = {
        str(i): {str(documents[j]): grades[j] for j in range(offsets[i], offsets[i + 1])} for i in range(len(rows))
    }
    return run, qrels


def _lists(qrels: Qrels) -> tuple[list[int], list[int], list[int]]:
    return qrels.offsets.tolist(), qrels.rows.tolist(), qrels.grades.tolist()


def columns(by_query: Mapping[str, Mapping[str, T]]) -> tuple[list[str], list[str], list[T]]:
    """Query ids, document ids and values, as a file holds them."""
    lines = [(query, document, value) for query, values in by_query.items() for document, value in values.items()]
    return [q for q, _, _ in lines], [d for _, d, _ in lines], [v for _, _, v in lines]


def interleaved(benchmark: BenchmarkFixture, ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[Any, Any]:
    """Time both in turn (A B A B ...), note the ratio of medians, and give both results back."""
    seconds: list[float] = []
    results: list[Any] = []

    def peer() -> None:
        start = time.perf_counter()
        results[:] = [theirs()]
        seconds.append(time.perf_counter() - start)

    result = benchmark.pedantic(ours, setup=peer, rounds=7, warmup_rounds=1)  # type: ignore[no-untyped-call]
    if benchmark.stats is not None:
        benchmark.extra_info["pytrec_eval_seconds"] = median(seconds)
        benchmark.extra_info["times_faster"] = median(seconds) / benchmark.stats.stats.median
    return result, results[0]


def test_evaluate(benchmark: BenchmarkFixture) -> None:
    data = judged(100_000)
    values = benchmark(quality.evaluate, data.ranking, data.qrels, list(METRICS))
    assert 0.4 < quality.mean(values["recall@100"]) < 0.6


def test_evaluate_beside_pytrec_eval(benchmark: BenchmarkFixture) -> None:
    data = judged(2_000)
    run, qrels = as_dicts(data)
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, set(METRICS.values()))
    ours, theirs = interleaved(
        benchmark,
        lambda: quality.evaluate(data.ranking, data.qrels, list(METRICS)),
        lambda: evaluator.evaluate(run),
    )
    for name, trec_name in METRICS.items():
        expected = [theirs[str(i)][trec_name] for i in range(len(data.rows))]
        np.testing.assert_allclose(ours[name], expected, atol=1e-9)


def test_score_run_beside_pytrec_eval(benchmark: BenchmarkFixture) -> None:
    """Both start from the columns of a run: pytrec_eval needs them as dictionaries."""
    run, qrels = as_dicts(judged(2_000))
    run_columns, qrels_columns = columns(run), columns(qrels)
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, set(METRICS.values()))

    def pytrec() -> Any:
        answers: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for query, document, score in zip(*run_columns, strict=True):
            answers[query][document] = score
        return evaluator.evaluate(answers)

    ours, theirs = interleaved(benchmark, lambda: quality.score_run(run_columns, qrels_columns, list(METRICS)), pytrec)
    for name, trec_name in METRICS.items():
        np.testing.assert_allclose(ours.values[name], [theirs[q][trec_name] for q in ours.query_ids], atol=1e-9)


def test_neighbor_recall(benchmark: BenchmarkFixture) -> None:
    rows = judged(100_000).rows[:, :10]
    exact = Hits(rows=np.where(np.arange(10) < 9, rows, DOCUMENTS), scores=np.ones(rows.shape, np.float32))
    low = np.zeros(rows.shape)
    recall = benchmark(quality.neighbor_recall, rows, exact, 10, low)
    np.testing.assert_allclose(recall, 0.9)
