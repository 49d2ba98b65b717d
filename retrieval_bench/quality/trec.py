"""Scores of a TREC run: string ids in, the order of trec_eval, the metrics of ``evaluate`` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retrieval_bench.errors import DataError
from retrieval_bench.quality.judged import BoolArray, Float64Array
from retrieval_bench.quality.names import parse
from retrieval_bench.quality.order import Ranking
from retrieval_bench.quality.scoring import evaluate
from retrieval_bench.quality.ties import TieBounds, tie_bounds
from retrieval_bench.types import IntArray, Qrels


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """Per-query values of a run.

    Attributes:
        query_ids: the m judged queries, in ascending order of id.
        values: by canonical metric name, (m,) float64 in the order of ``query_ids``.
        unanswered: judged queries that the run leaves out; they score 0, as under ``trec_eval -c`` and in ir_measures.
        unjudged: queries of the run that have no judgment; they are left out of ``values``.
        judged: documents that the run returns for a judged query and that have a judgment.
        ties: how far other orders of equal scores would move the means, for the metrics that they move.
    """

    query_ids: Sequence[str]
    values: Mapping[str, Float64Array]
    unanswered: int
    unjudged: int
    judged: int
    ties: Mapping[str, TieBounds]


class _Columns(NamedTuple):
    queries: IntArray
    documents: IntArray
    values: npt.NDArray[np.generic]

    def take(self, chosen: BoolArray | IntArray) -> _Columns:
        return _Columns(self.queries[chosen], self.documents[chosen], self.values[chosen])


def score_run(
    run: tuple[Sequence[str], Sequence[str], Sequence[float] | npt.NDArray[np.floating]],
    qrels: tuple[Sequence[str], Sequence[str], Sequence[int] | npt.NDArray[np.integer]],
    metrics: Sequence[str],
) -> RunScores:
    """Score a run against judgments as trec_eval does; the lines of both may stand in any order.

    Documents of a query are ranked by score as float32, descending, then by document id, descending: ranks written in
    the run are not looked at.

    Args:
        run: query ids, document ids and scores, one entry per line of the run.
        qrels: query ids, document ids and grades, one entry per judgment.
        metrics: names such as ``nDCG@10``, in any case.

    Returns:
        Values of every judged query, and how many queries one side lacks.

    Raises:
        UsageError: a metric name that ``evaluate`` does not know.
        DataError: columns of different lengths, no judgment at all, a score that is NaN, or a document that occurs
            twice for one query.
    """
    cuts = [parse(name).cut for name in metrics]
    with np.errstate(over="ignore"):  # beyond float32 is infinite, as in trec_eval
        scores = np.asarray(run[2], np.float64).astype(np.float32)
    if not len(qrels[0]):
        raise DataError("qrels: hold no judgment")
    query_names, run_queries, qrels_queries = _numbers(run[0], qrels[0])
    _, run_documents, qrels_documents = _numbers(run[1], qrels[1])
    judged_queries, qrels_queries = np.unique(qrels_queries, return_inverse=True)
    judgments = _checked("qrels", qrels, qrels_queries, qrels_documents, np.asarray(qrels[2], np.int64))
    answers = _checked("run", run, run_queries, run_documents, scores)
    if np.isnan(scores).any():
        line = int(np.isnan(scores).argmax())
        raise DataError(f"run: the score of document {run[1][line]!r} for query {run[0][line]!r} is not a number")
    is_judged = np.isin(answers.queries, judged_queries)
    unjudged = len(np.unique(answers.queries[~is_judged]))
    answers = answers.take(is_judged)
    answers = answers._replace(queries=np.searchsorted(judged_queries, answers.queries))
    m = len(judged_queries)
    depth = None if None in cuts else max((cut for cut in cuts if cut is not None), default=1)
    ranking, answered = _ranked(answers, m, depth)
    judged = Qrels(
        offsets=np.searchsorted(judgments.queries, np.arange(m + 1)),
        rows=judgments.documents,
        grades=judgments.values.astype(np.int64),
    )
    values = evaluate(ranking, judged, metrics)
    return RunScores(
        query_ids=query_names.take(judged_queries).to_pylist(),
        values=values,
        unanswered=m - answered,
        unjudged=unjudged,
        judged=int(np.isin(_pairs(answers, judgments), _pairs(judgments, answers)).sum()),
        ties=tie_bounds(ranking, judged, values, complete=True),
    )


def _pairs(columns: _Columns, others: _Columns) -> IntArray:
    """One number per query and document, the same in both columns."""
    stride = 1 + max(int(part.documents.max(initial=0)) for part in (columns, others))
    return columns.queries * stride + columns.documents


def _numbers(first: Sequence[str], second: Sequence[str]) -> tuple[pa.StringArray, IntArray, IntArray]:
    """The distinct ids of two columns in ascending order of their UTF-8 bytes, and each column as places in it."""
    both = pa.chunked_array([pa.array(column, pa.large_string()) for column in (first, second)]).combine_chunks()
    encoded = both.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    place = np.empty(len(order), np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    numbers = place[encoded.indices.to_numpy()]
    return encoded.dictionary.take(order), numbers[: len(first)], numbers[len(first) :]


def _checked(
    what: str,
    columns: tuple[Sequence[str], Sequence[str], object],
    queries: IntArray,
    documents: IntArray,
    values: npt.NDArray[np.generic],
) -> _Columns:
    """The columns as numbers, ordered by query and document; refuses a document that a query has twice."""
    if not len(queries) == len(documents) == len(values):
        raise DataError(f"{what}: columns of {len(queries)}, {len(documents)} and {len(values)} entries")
    order = np.lexsort((documents, queries))
    ordered = _Columns(queries, documents, values).take(order)
    double = (np.diff(ordered.queries) == 0) & (np.diff(ordered.documents) == 0)
    if double.any():
        line = int(order[int(double.argmax())])
        raise DataError(f"{what}: document {columns[1][line]!r} occurs more than once for query {columns[0][line]!r}")
    return ordered


def _ranked(answers: _Columns, m: int, depth: int | None) -> tuple[Ranking, int]:
    """(m, longest answer or depth) documents in the order of trec_eval, and how many queries have an answer.

    Document numbers follow the order of the ids, so the tie rule works on numbers. Cut at a depth, an answer keeps the
    documents that are tied with its last, for they could stand in its place.
    """
    ordered = answers.take(np.lexsort((-answers.documents, -answers.values.astype(np.float32), answers.queries)))
    starts = np.searchsorted(ordered.queries, np.arange(m + 1))
    lengths = np.diff(starts)
    rank = np.arange(len(ordered.queries)) - starts[ordered.queries]
    scores = ordered.values.astype(np.float32)
    within = np.ones(len(rank), np.bool_)
    if depth is not None and len(rank):
        last = scores[np.minimum(starts[:-1] + depth, starts[1:])[ordered.queries] - 1]
        within = (rank < depth) | (scores == last)
    width = int(rank[within].max(initial=-1)) + 1
    rows, found = np.full((m, width), -1, np.int64), np.full((m, width), -np.inf, np.float32)
    rows[ordered.queries[within], rank[within]] = ordered.documents[within]
    found[ordered.queries[within], rank[within]] = scores[within]
    return Ranking(rows=rows, scores=found), int((lengths > 0).sum())
