"""Compare retrieval systems on your data under one budget, and import the winner.

    import retrieval_bench as rb

    searcher = rb.build("ivf_opq", vectors, budget=rb.Budget(bytes_per_vector=64))
    answers = searcher.search(query_vectors, k=10)

``run`` benchmarks systems on a data set, ``export`` writes the one that won, ``load`` reads it in an application.
Engines (faiss, torch ...) are imported when a system that needs them is used, not by this package. Names are imported
when they are asked for: a trial's process, of which a run starts dozens, needs few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval_bench.api import build, export
    from retrieval_bench.artifact import Answers, Searcher, load
    from retrieval_bench.datasets import load_dataset
    from retrieval_bench.errors import RetrievalBenchError
    from retrieval_bench.runner.run import Run, run
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

_HOMES = {
    "Answers": "artifact",
    "RetrievalBenchError": "errors",
    "Run": "runner.run",
    "Searcher": "artifact",
    "build": "api",
    "export": "api",
    "load": "artifact",
    "load_dataset": "datasets",
    "run": "runner.run",
}  # all others are types

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'types')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
