"""Results in the form of MTEB's result files (``TaskResult``), of one set or the mean of the parts of one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from retrieval_bench.measure.machine import libraries
from retrieval_bench.types import TrialRecord

DEPTH = 100  # of a run over judged texts, and so of MAP
METRICS = {
    "nDCG@10": "ndcg_at_10",
    "recall@100": f"recall_at_{DEPTH}",
    "MAP": f"map_at_{DEPTH}",
    "MRR@10": "mrr_at_10",
    "P@10": "precision_at_10",
}


def leaderboard(records: Sequence[TrialRecord], task: str) -> dict[str, Any]:
    """Trials of one system as one result: of a set, or of its parts, each of which counts alike as BEIR has it."""
    revisions = [record.dataset_fingerprint for record in records]
    scores = {METRICS[ours]: value for ours, value in means(records).items()}
    return {
        "dataset_revision": revisions[0] if len(revisions) == 1 else digest(revisions),
        "task_name": task,
        "mteb_version": None,
        "retrieval_bench_version": libraries().get("retrieval-bench", ""),
        "scores": {
            "test": [{**scores, "main_score": scores["ndcg_at_10"], "hf_subset": "default", "languages": ["eng-Latn"]}]
        },
        "evaluation_time": sum(record.seconds for record in records),
        "kg_co2_emissions": None,
    }


def means(records: Sequence[TrialRecord]) -> Mapping[str, float]:
    """Mean over the records of each metric that all of them have."""
    found = {name: [value for record in records if (value := record.value(name)) is not None] for name in METRICS}
    return {name: sum(values) / len(values) for name, values in found.items() if len(values) == len(records)}


def digest(revisions: Sequence[str]) -> str:
    """One revision of several."""
    return hashlib.blake2b(" ".join(revisions).encode(), digest_size=8).hexdigest()
