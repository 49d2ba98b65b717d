"""What a process does that serves one system in turns with others: it answers commands, one at a time.

Run by path, with the package that PYTHONPATH names: a regression gate runs this very file against an older revision of
the package, so it asks of it no more than registry, types, ``runner.prepared`` and ``measure.memory``.
"""

import importlib
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval_bench.runner.worker import Line


def main(job: dict[str, Any], line: "Line") -> None:
    """Open the data, build or load the system, say so, then answer the run's commands until there are no more."""
    from retrieval_bench import registry
    from retrieval_bench.measure.memory import private_bytes, settle
    from retrieval_bench.runner.prepared import learnable, opened
    from retrieval_bench.types import Budget

    importlib.import_module(job["plugin"])
    is_index = job["kind"] == "index"
    data = opened(Path(job["dataset_folder"]), texts=not is_index)
    plugin: Any = (registry.indexes if is_index else registry.rankers).get(job["backend"])
    settle()
    before = private_bytes()
    start = perf_counter_ns()
    if job["index_folder"] is not None:
        system = plugin.load(Path(job["index_folder"]))
    else:
        system = plugin()
        budget, wanted = Budget.model_validate(job["budget"]), plugin.BuildParams.model_validate(job["build"])
        examples = learnable(data)
        if is_index:
            asked = examples.queries if examples else None
            system.build(data.corpus, wanted, budget, metric=data.metric, queries=asked, seed=job["seed"])
        else:
            system.build(data.corpus, wanted, budget, examples=examples, seed=job["seed"])
    ready_seconds = (perf_counter_ns() - start) / 1e9
    queries, k = data.queries["test"], min(job["depth"], len(data.corpus))
    search = plugin.SearchParams.model_validate(job["search"]) if is_index else None

    def call() -> Any:
        return system.search(queries, k, search) if is_index else system.rank(queries, k)

    def sample() -> float:
        start = perf_counter_ns()
        for _ in range(repeats):
            call()
        return (perf_counter_ns() - start) / 1e9 / repeats

    call()
    repeats = 1
    # A sample too short to time well is made of several calls.
    repeats = max(1, round(job["sample_seconds"] / max(sample(), 1e-9)))
    line.send(ready_seconds=ready_seconds, queries=len(queries))
    for command in line.commands():
        if command["do"] == "time":
            line.send(seconds=sample(), batches=repeats)
        elif command["do"] == "answer":
            import numpy as np

            hits = call()
            np.savez(command["path"], rows=hits.rows, scores=hits.scores)
            line.send(path=command["path"])
        else:
            settle()
            line.send(private_bytes=private_bytes() - before, analytic_bytes=system.memory().total)
