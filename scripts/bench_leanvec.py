"""LeanVec against its peers on real text vectors: one process, interleaved, one pinned thread.

For each level of recall, every system runs at the fastest of its settings that reaches it on the tuning queries; the
test queries are asked at that setting only. Rounds of all systems follow each other, and a ratio is taken within each.
Written to leanvec.json and leanvec.md in the folder --out.

    RETRIEVAL_BENCH_DATA=... python scripts/bench_leanvec.py --out results
"""

import argparse
import json
import os
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from retrieval_bench.datasets import load_dataset
from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import UnavailableError, UnknownNameError
from retrieval_bench.files import write_text
from retrieval_bench.kernels import description
from retrieval_bench.measure.clock import Effort, singles, timed
from retrieval_bench.measure.machine import code, machine
from retrieval_bench.protocols import Index
from retrieval_bench.registry import indexes
from retrieval_bench.runner.prepared import encoded, opened, store
from retrieval_bench.statistics import difference_interval, mean_interval, median_interval
from retrieval_bench.types import Budget, Dataset, Hits, Queries

K = 10
LEVELS = (0.95, 0.99, 0.999)
DEPTHS = (20, 30, 40, 50, 75, 100, 125, 150, 200, 300, 500)
PROBES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
EFS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
GRAPHS = ("hnsw", "hnswlib", "svs")


@dataclass(frozen=True)
class Plan:
    """A system: builds to try, and the search settings of each."""

    backend: str
    builds: tuple[dict[str, Any], ...]
    search: dict[str, tuple[int, ...]] = field(default_factory=dict)


PLANS = {
    "leanvec": Plan("leanvec", ({"dim": 96}, {"dim": 128}, {"dim": 160}, {"dim": 192}), {"rerank": DEPTHS}),
    "leanvec_ivf": Plan(
        "leanvec_ivf",
        tuple({"dim": dim, "lists": lists} for dim, lists in product((128, 192), (256, 512))),
        {"nprobe": PROBES, "rerank": DEPTHS[:8]},
    ),
    "flat": Plan("flat", ({},)),
    "ivf_pq": Plan(
        "ivf_pq",
        ({"lists": 256}, {"lists": 512}, {"lists": 256, "code_bytes": 48}),
        {"nprobe": PROBES, "refine_factor": (2, 4, 8, 16, 32)},
    ),
    "scann": Plan(
        "scann",
        tuple({"lists": lists, "spill": spill} for lists, spill in product((256, 512), (False, True))),
        {"nprobe": PROBES, "refine_factor": (2, 4, 8, 16, 32)},
    ),
    "hnsw": Plan("hnsw", ({"m": 16}, {"m": 32}), {"ef": EFS}),
    "hnswlib": Plan("hnswlib", ({"m": 16}, {"m": 32}), {"ef": EFS}),
    "svs": Plan("svs", ({"codes": "lvq4x8"}, {"codes": "leanvec"}), {"window": EFS}),
}


@dataclass(frozen=True)
class Setting:
    """One way to run a system: an index, its search parameters, and what they gave on the tuning queries."""

    system: str
    index: Index
    search: Any
    recall: float
    seconds: float

    def run(self, queries: Queries) -> Hits:
        """The answers, which is all that is timed."""
        return self.index.search(queries, K, self.search)


def recall(hits: Hits, exact: Hits) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Share of the exact neighbors found, by query; a tie with the last of them counts."""
    reached = hits.scores >= exact.scores[:, K - 1 : K] - 1e-5
    among = np.array([np.isin(a, b) for a, b in zip(hits.rows, exact.rows[:, :K], strict=True)])
    return np.asarray((reached | among).mean(axis=1))


def settings(system: str, data: Dataset, facts: dict[str, Any]) -> list[Setting]:
    """All settings of a system, each timed once after it was run once; builds are timed and weighed on the way."""
    plan, found, queries, exact = PLANS[system], [], data.queries["tune"], data.neighbors["tune"]
    backend = indexes.get(plan.backend)
    for build in plan.builds:
        index = backend()
        params = backend.BuildParams.model_validate(build)
        _, seconds = timed(
            partial(
                index.build, data.corpus, params, Budget(threads=1), metric="ip", queries=data.queries["train"], seed=0
            )
        )
        facts.setdefault(system, []).append(
            {
                "build": {k: v for k, v in index.params.model_dump().items() if v is not None},
                "build_seconds": seconds,
                "bytes_per_vector": index.memory().total / len(data.corpus),
            }
        )
        for values in product(*(_possible(name, plan.search[name], index) for name in plan.search)):
            search = backend.SearchParams.model_validate(dict(zip(plan.search, values, strict=True)))
            hits = index.search(queries, K, search)
            _, seconds = timed(partial(index.search, queries, K, search))
            found.append(Setting(system, index, search, float(recall(hits, exact).mean()), seconds))
        print(f"  {system} {build}: built in {facts[system][-1]['build_seconds']:.2f} s", flush=True)
    return found


def _possible(name: str, values: tuple[int, ...], index: Index) -> tuple[int, ...]:
    """Those of the values that the index can be searched with: no more lists than there are."""
    return tuple(v for v in values if name != "nprobe" or v <= index.params.model_dump()["lists"])


def compare(
    ours: str, peers: list[str], all_settings: dict[str, list[Setting]], data: Dataset, rounds: int
) -> list[dict[str, Any]]:
    """At each level of recall, how many times faster than each peer, by ratios within rounds."""
    rows, queries, exact = [], data.queries["test"], data.neighbors["test"]
    for level in LEVELS:
        fastest = {}
        for system in (ours, *peers):
            reached = [s for s in all_settings[system] if s.recall >= level]
            if reached:
                fastest[system] = min(reached, key=lambda s: s.seconds)
        if ours not in fastest:
            continue
        times: dict[str, list[float]] = {system: [] for system in fastest}
        for _ in range(rounds):
            for system, setting in fastest.items():
                times[system].append(timed(partial(setting.run, queries))[1])
        for system, setting in fastest.items():
            ratios = np.array(times[system]) / np.array(times[ours])
            low, high = median_interval(ratios)
            latency = singles(setting.run, [queries.take(slice(i, i + 1)) for i in range(200)], Effort(seconds=1.0))
            rows.append(
                {
                    "level": level, "ours": ours, "system": system,
                    "recall": float(recall(setting.run(queries), exact).mean()), "tune_recall": setting.recall,
                    "qps": len(queries) / float(np.median(times[system])),
                    "speedup": float(np.median(ratios)), "low": low, "high": high,
                    "single_ms": 1e3 * float(np.median(latency)),
                    "build": setting.index.params.model_dump(exclude_none=True),
                    "search": setting.search.model_dump(exclude_none=True),
                    "bytes_per_vector": setting.index.memory().total / len(data.corpus),
                }
            )  # fmt: skip
    return rows


def projections(data: Dataset, exact: Hits) -> list[dict[str, Any]]:
    """Recall of query-aware and other projections at equal dimensions and re-rank depth, against PCA, by query."""
    backend, rows, queries = indexes.get("leanvec"), [], data.queries["test"]
    names = ("pca", "query_aware", "eigenvector_search", "frank_wolfe", "random_rotation")
    for dim in (64, 96, 128):
        values = {}
        for name in names:
            index = backend()
            params = backend.BuildParams.model_validate({"dim": dim, "projection": name})
            index.build(data.corpus, params, Budget(), metric="ip", queries=data.queries["train"], seed=0)
            for depth in (20, 50, 100):
                search = backend.SearchParams.model_validate({"rerank": depth})
                values[name, depth] = recall(index.search(queries, K, search), exact)
        for (name, depth), found in values.items():
            low, high = mean_interval(found)
            gain_low, gain_high = difference_interval(found, values["pca", depth])
            rows.append(
                {
                    "dim": dim, "rerank": depth, "projection": name, "recall": float(found.mean()), "low": low,
                    "high": high, "gain": float((found - values["pca", depth]).mean()), "gain_low": gain_low,
                    "gain_high": gain_high,
                }
            )  # fmt: skip
    return rows


def markdown(report: dict[str, Any]) -> str:
    lines = [f"CPU: {report['machine']['cpu']}; kernel: {report['kernel']}; commit {report['code']['commit']}", ""]
    for name, part in report["datasets"].items():
        lines += [
            f"### {name}: {part['documents']:,} vectors of {part['dim']} dimensions, {part['queries']} queries",
            "",
        ]
        lines += ["| recall@10 | system | QPS | times ours | interval | single ms | bytes/vector | settings |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for r in part["rows"]:
            speed = "1 (ours)" if r["system"] == r["ours"] else f"{r['speedup']:.2f} slower"
            lines.append(
                f"| {r['level']}: {r['recall']:.4f} | {r['system']} | {r['qps']:,.0f} | {speed} | "
                f"{r['low']:.2f} to {r['high']:.2f} | {r['single_ms']:.2f} | {r['bytes_per_vector']:,.0f} | "
                f"{r['build']} {r['search']} |"
            )
        lines += ["", "| system | build | seconds | bytes/vector |", "|---|---|---|---|"]
        for system, builds in part["builds"].items():
            lines += [
                f"| {system} | {b['build']} | {b['build_seconds']:.2f} | {b['bytes_per_vector']:,.0f} |" for b in builds
            ]
        lines += ["", "| dims | re-ranked | projection | recall@10 | gain over PCA |", "|---|---|---|---|---|"]
        for r in part["projections"]:
            gain = f"{r['gain']:+.4f} ({r['gain_low']:+.4f} to {r['gain_high']:+.4f})"
            lines.append(f"| {r['dim']} | {r['rerank']} | {r['projection']} | {r['recall']:.4f} | {gain} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("datasets", nargs="*", default=["text-sentences", "text-sentences-ood"])
    parser.add_argument("--systems", nargs="*", default=list(PLANS))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, default=Path("results"))
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    report: dict[str, Any] = {"machine": machine(), "kernel": description(), "code": code(), "datasets": {}}
    with threadpool_limits(1):
        for name in given.datasets:
            loaded = load_dataset(name)
            made = loaded if loaded.corpus.vectors is not None else encoded(loaded, load_encoder(), progress=True)
            data = opened(store(made), texts=False)
            exact = data.neighbors["test"]
            facts: dict[str, Any] = {}
            print(f"{name}: {len(data.corpus)} vectors", flush=True)
            found: dict[str, list[Setting]] = {}
            for system in given.systems:
                try:
                    found[system] = settings(system, data, facts)
                except (UnavailableError, UnknownNameError) as error:
                    print(f"  {system}: left out: {error}", flush=True)
            peers = [s for s in found if not s.startswith("leanvec")]
            rows = compare("leanvec", [p for p in peers if p == "flat"], found, data, given.rounds)
            rows += compare("leanvec_ivf", peers, found, data, given.rounds)
            report["datasets"][name] = {
                "documents": len(data.corpus), "dim": data.corpus.dim, "queries": len(data.queries["test"]),
                "rows": rows, "builds": facts, "projections": projections(data, exact),
            }  # fmt: skip
            write_text(given.out / "leanvec.json", json.dumps(report, indent=1))
            write_text(given.out / "leanvec.md", markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
