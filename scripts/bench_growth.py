"""How build and search grow with n: every index backend at four sizes, with the exponent of the power law fitted.

    python scripts/bench_growth.py                 # 10k, 30k, 100k, 300k GloVe vectors
    python scripts/bench_growth.py --quick

One process, one thread. Search is the time of a batch of the same queries, the median of repeats, at the middle
setting of the backend's card; a backend that refuses it at one of the sizes is named below the table. The interval is
that of the slope of log(seconds) over log(n), at 95 %: with four sizes it is wide, and says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from one_setting import backends, markdown
from scipy import stats
from threadpoolctl import threadpool_limits

from retrieval_bench.checks import normalised
from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.measure.clock import timed
from retrieval_bench.measure.machine import machine
from retrieval_bench.registry import indexes
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Budget, Corpus, FloatArray, Queries, RowIds

_SIZES, _QUICK = (10_000, 30_000, 100_000, 300_000), (1_000, 2_000, 4_000)
_K, _REPEATS = 10, 3


def exponent(n: list[int], seconds: list[float]) -> tuple[float, float, float]:
    """Slope of log(seconds) over log(n) and its 95 % interval by the t distribution."""
    fit = stats.linregress(np.log(n), np.log(seconds))
    half = float(stats.t.ppf(0.975, len(n) - 2) * fit.stderr) if len(n) > 2 else float("inf")
    return float(fit.slope), float(fit.slope) - half, float(fit.slope) + half


@dataclass(frozen=True)
class Growth:
    """Seconds of a backend at each size, and the exponents with their intervals."""

    backend: str
    setting: dict[str, object]
    n: list[int]
    build_seconds: list[float]
    search_seconds: list[float]
    build_exponent: tuple[float, float, float]
    search_exponent: tuple[float, float, float]


def seconds_of(card: SystemCard, vectors: FloatArray, queries: Queries) -> tuple[float, float]:
    """Of the build, and of one batch."""
    index = indexes.get(card.backend)()
    corpus = Corpus(ids=RowIds(len(vectors)), vectors=np.ascontiguousarray(vectors))
    wanted, setting = index.BuildParams(**card.build), index.SearchParams(**card.search)
    _, build = timed(lambda: index.build(corpus, wanted, Budget(), metric="ip", seed=0))
    index.search(queries, _K, setting)
    return build, median(timed(lambda: index.search(queries, _K, setting))[1] for _ in range(_REPEATS))


def grown(card: SystemCard, vectors: FloatArray, queries: Queries, sizes: list[int]) -> Growth:
    build, search = map(list, zip(*(seconds_of(card, vectors[:n], queries) for n in sizes), strict=True))
    return Growth(card.backend, card.search, sizes, build, search, exponent(sizes, build), exponent(sizes, search))


def row(found: Growth) -> dict[str, str]:
    def fitted(exponent: tuple[float, float, float]) -> str:
        return f"{exponent[0]:.2f} ({exponent[1]:.2f} to {exponent[2]:.2f})"

    return {
        "backend": found.backend,
        "build s": " / ".join(f"{t:.3g}" for t in found.build_seconds),
        "build exponent": fitted(found.build_exponent),
        "search s": " / ".join(f"{t:.3g}" for t in found.search_seconds),
        "search exponent": fitted(found.search_exponent),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"sizes {_QUICK} and 200 queries")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"default: {_SIZES}")
    parser.add_argument("--backend", action="append", help="only this backend; repeat for more")
    parser.add_argument("--out", type=Path, default=Path("bench-growth"), help="folder of growth.json and growth.md")
    asked = parser.parse_args()
    sizes = list(asked.sizes or (_QUICK if asked.quick else _SIZES))
    data = load_dataset("glove-50", rows=max(sizes))
    vectors = normalised(data.corpus.require_vectors())
    test = normalised(data.queries["test"].require_vectors())[: 200 if asked.quick else 1000]
    queries = Queries(ids=RowIds(len(test)), vectors=test)
    cards, absent = backends()
    results, rows = [], []
    asked.out.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):
        for card in cards:
            if asked.backend and card.backend not in asked.backend:
                continue
            try:
                seconds_of(card, vectors[: sizes[0]], queries)  # what is imported and made once is not growth
                found = grown(card, vectors, queries, sizes)
            except RetrievalBenchError as error:
                absent[card.backend] = str(error)
                continue
            results.append(asdict(found))
            rows.append(row(found))
            print(json.dumps(asdict(found)), flush=True)
            facts = {"machine": machine(), "sizes": sizes, "results": results, "absent": absent}
            (asked.out / "growth.json").write_text(json.dumps(facts, indent=1) + "\n")
    head = f"{machine()['cpu']}, 1 thread, glove-50, n = {' / '.join(f'{n:,}' for n in sizes)}, {len(test)} queries\n\n"
    text = head + markdown(rows) + "".join(f"\nNot here: {name} ({why})" for name, why in absent.items())
    (asked.out / "growth.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
