"""Compare retrieval systems on your data under one budget, and import the winner.

    import retrieval_bench as rb

    searcher = rb.build("ivf_opq", vectors, budget=rb.Budget(bytes_per_vector=64))
    answers = searcher.search(query_vectors, k=10)

``run`` benchmarks systems on a data set, ``export`` writes the one that won, ``load`` reads it in an application.
Engines (faiss, torch ...) are imported when a system that needs them is used, not by this package.
"""

from retrieval_bench.api import build, export
from retrieval_bench.artifact import Answers, Searcher, load
from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.runner import Run, run
from retrieval_bench.types import (
    Budget,
    Corpus,
    Dataset,
    Examples,
    Hits,
    Measurement,
    Params,
    Qrels,
    Queries,
    TrialRecord,
)

__all__ = [
    "Answers",
    "Budget",
    "Corpus",
    "Dataset",
    "Examples",
    "Hits",
    "Measurement",
    "Params",
    "Qrels",
    "Queries",
    "RetrievalBenchError",
    "Run",
    "Searcher",
    "TrialRecord",
    "build",
    "export",
    "load",
    "load_dataset",
    "run",
]
