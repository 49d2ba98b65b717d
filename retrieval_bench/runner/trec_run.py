"""A trial's answers as a TREC run, which any tool scores, and ``score`` to the same figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval_bench.datasets.trec import Run, write_run
from retrieval_bench.errors import UsageError
from retrieval_bench.records import Store
from retrieval_bench.runner.prepared import opened, prepared_folder
from retrieval_bench.types import TrialRecord


def export_run(store: Store, trial: TrialRecord, path: Path) -> int:
    """Write the answers to the test queries as they were judged; scores keep every digit of their float32.

    Args:
        store: of the trial's run.
        trial: on data with judgments.
        path: file to write.

    Returns:
        How many lines were written.

    Raises:
        UsageError: the trial kept no answers, or the prepared data was removed.
        DataError: an id holds white space, which a TREC run cannot carry, or the file cannot be written.
    """
    answers, prepared = store.answers_path(trial.trial_id), prepared_folder(trial.dataset_fingerprint)
    if not answers.exists():
        why = "no judgments, or it was made by an earlier version" if trial.outcome == "ok" else trial.outcome
        raise UsageError(f"trial {trial.trial_id} ({trial.system}) kept no answers to write as a TREC run: {why}")
    if not prepared.exists():
        raise UsageError(f"{prepared}: the prepared data was removed; run the benchmark again")
    data = opened(prepared)
    with np.load(answers, allow_pickle=False) as kept:
        rows, scores = kept["rows"], kept["scores"]
    query, place = np.nonzero(rows >= 0)
    asked, names = data.queries["test"].ids, data.corpus.ids
    run = Run(
        query_ids=[asked[i] for i in query.tolist()],
        document_ids=[names[row] for row in rows[query, place].tolist()],
        ranks=place + 1,
        scores=scores[query, place].astype(np.float64),
        tag="-".join(trial.system.split()),
    )
    write_run(path, run)
    return len(run.query_ids)
