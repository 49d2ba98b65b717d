"""A TREC run and judgments, as files: read, checked against each other, and scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retrieval_bench.datasets.trec import read_qrels, read_run
from retrieval_bench.errors import DataError
from retrieval_bench.quality import RunScores, parse, score_run


def scored_file(run_file: Path, qrels_file: Path, metrics: Sequence[str]) -> RunScores:
    """Score a run as trec_eval does.

    Args:
        run_file: a TREC run, plain or gzipped.
        qrels_file: judgments in the form of TREC or BEIR.
        metrics: names, as for ``score_run``.

    Raises:
        UsageError, UnknownNameError: a metric that is none; told before a file is read.
        DataError: a file cannot be read, judges a document twice with two grades, or they have no query in common.
    """
    for name in metrics:
        parse(name)
    judged, run = read_qrels(qrels_file).graded_once(), read_run(run_file)
    scores = score_run(run.columns, judged.columns, metrics)
    if scores.unanswered == len(scores.query_ids):
        raise DataError(
            f"{run_file}: has none of the queries that {qrels_file} judges (such as {run.query_ids[0]!r} here and "
            f"{scores.query_ids[0]!r} there), so every figure would be 0; give the judgments of this run's queries"
        )
    return scores
