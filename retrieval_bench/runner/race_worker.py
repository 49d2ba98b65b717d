"""A process that serves one system and does what it is told, one line at a time: so systems can be measured in turns.

Run as a script, with the package that PYTHONPATH names: a regression gate runs this very file against an older revision
of the package, so it asks of it no more than registry, types, ``runner.prepared`` and ``measure``.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import Any


def main(job: dict[str, Any], descriptor: int) -> None:
    """Open the data, build or load the system, say so, then answer commands from standard input until it closes."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cpus"])  # before anything is imported, so that every engine's threads are pinned
    from retrieval_bench import registry
    from retrieval_bench.measure.memory import private_bytes, settle
    from retrieval_bench.runner.prepared import learnable, opened
    from retrieval_bench.types import Budget

    replies = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
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
    replies.write(json.dumps({"ready_seconds": ready_seconds, "queries": len(queries)}) + "\n")
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "time":
            said: dict[str, Any] = {"seconds": sample(), "batches": repeats}
        elif command["do"] == "answer":
            import numpy as np

            hits = call()
            np.savez(command["path"], rows=hits.rows, scores=hits.scores)
            said = {}
        else:
            settle()
            said = {"private_bytes": private_bytes() - before, "analytic_bytes": system.memory().total}
        replies.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
