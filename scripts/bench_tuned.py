"""The tuned pick against each peer's recommended setting, at recall 0.95 and three budgets of memory, in one run.

    python scripts/bench_tuned.py [--trials 24] [--data glove-50 --data pystdlib] [--rows 100000] [--threads 1]

The pick: every candidate is tuned alike on tuning queries (qps@recall=0.95); the fastest is the pick. A peer: its card
as it stands, its first search parameter raised until tuning queries reach the recall. Pick and peers are then served
side by side and measured in turns; each line is how many times faster the pick is, with its 95 % interval, beside the
recall of both on held-out queries. Candidates and peers that cannot run on this machine, or do not fit the budget,
are named.
"""

import argparse
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from retrieval_bench.comparison import race
from retrieval_bench.comparison.compare import contender
from retrieval_bench.errors import UnavailableError
from retrieval_bench.files import home
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store
from retrieval_bench.registry import indexes
from retrieval_bench.specs import SystemCard, system_cards
from retrieval_bench.statistics import paired_ratio
from retrieval_bench.tuning import tune
from retrieval_bench.tuning.bench import Bench
from retrieval_bench.types import Budget, TrialRecord

CANDIDATES = (
    "hnsw",
    "ivf",
    "ivf_pq",
    "ivf_opq",
    "leanvec",
    "leanvec_ivf",
    "coded_ivf",
    "rabitq",
    "hnswlib",
    "usearch",
    "scann",
)
PEERS = ("hnswlib", "usearch", "scann", "svs", "svs_leanvec", "hnsw", "ivf", "ivf_pq", "ivf_opq", "rabitq")
BUDGETS = (None, 64.0, 128.0)  # bytes per vector
RECALL, TARGET = 0.95, "qps@recall=0.95"
QUICK = Effort(seconds=0.5, concurrent_seconds=0.02)
KNOB = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)


@cache
def here() -> dict[str, str]:
    """Candidates and peers whose engine runs on this machine; the others are named below the table."""
    cards, found = system_cards("index"), {}
    for name in dict.fromkeys((*CANDIDATES, *PEERS)):
        try:
            indexes.get(cards[name].backend)
        except (KeyError, UnavailableError):
            continue
        found[name] = cards[name].backend
    return found


def recommended(bench: Bench, card: SystemCard) -> TrialRecord:
    """The peer at the least value of its first search parameter that reaches the recall on tuning queries."""
    knob = next(iter(card.search))
    tried = []
    for value in KNOB:
        record = bench.measure(card, {}, {knob: value}, splits=("tune",), effort=QUICK)
        tried.append(record)
        if record.outcome in ("over_budget", "crashed", "timed_out") or "budget allows" in record.reason:
            return record
        if (record.value("tune/neighbor_recall@10") or 0.0) >= RECALL:
            return bench.measure(card, {}, {knob: value}, splits=("test",), effort=QUICK)
    return max(tried, key=lambda record: record.value("tune/neighbor_recall@10") or 0.0)


def cell(
    dataset: str, bytes_per_vector: float | None, trials: int, threads: int, rows: int | None, table: Table
) -> None:
    """Tune, find the peers' settings, race, and add a line for each peer."""
    budget = Budget(bytes_per_vector=bytes_per_vector, threads=threads, tuning_trials=trials)
    folder = home() / "bench_tuned" / f"{Path(dataset).name}-{bytes_per_vector or 'unlimited'}"
    tuned = tune(
        dataset, indexes=[c for c in CANDIDATES if c in here()], target=TARGET, budget=budget, depth=10,
        out=folder / "tuned", effort=QUICK, rows=rows,
    )  # fmt: skip
    limit = "unlimited" if bytes_per_vector is None else f"{bytes_per_vector:g} bytes"
    if tuned.winner is None or tuned.winner.held_out is None:
        table.add_row(dataset, limit, "no candidate reaches the recall")
        return
    bench = Bench(
        dataset, indexes=[p for p in PEERS if p in here()], rankers=None, encoder=None, budget=budget, rows=rows,
        queries=None, depth=10, seed=0, timeout=1800.0, out=folder / "peers", on_event=lambda _event: None,
    )  # fmt: skip
    store = Store(folder / "tuned")
    pick = store.record(tuned.winner.held_out.trial)
    found = [(card.name, recommended(bench, card)) for card in bench.cards]
    racing = [contender(store, pick, "pick")]
    racing += [contender(bench.records, r, name) for name, r in found if r.value("neighbor_recall@10") is not None]
    done = race([c for c in racing if c is not None], rounds=20, seconds=180.0)
    chosen = f"{pick.system} {_setting(pick)}"
    for name, record in found:
        recall = f"{pick.value('neighbor_recall@10'):.4f}"
        if name not in done.names:
            table.add_row(dataset, limit, chosen, recall, name, "-", record.reason or f"never reaches {RECALL:g}")
            continue
        times = paired_ratio(done.seconds[:, done.names.index(name)], done.seconds[:, 0])
        theirs = f"{record.value('neighbor_recall@10'):.4f}"
        said = f"{times.value:.2f} times faster ({times.low:.2f} to {times.high:.2f})"
        table.add_row(dataset, limit, chosen, recall, f"{name} {_setting(record)}", theirs, said)


def _setting(record: TrialRecord) -> str:
    return " ".join(f"{name}={value}" for name, value in record.search_params.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="The tuned pick against each peer's recommended setting.")
    parser.add_argument("--data", action="append", help="glove-50 and pystdlib (384-d text vectors) by default")
    parser.add_argument("--trials", type=int, default=24, help="settings tried for each candidate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, help="use only the first so many vectors of sets without judgments")
    asked = parser.parse_args()
    table = Table("data", "memory", "pick", "recall", "peer", "recall", "pick is", title=f"{TARGET}, tuned alike")
    missing = sorted({*CANDIDATES, *PEERS} - set(here()))
    console = Console(width=180)
    for dataset in asked.data or ["glove-50", "pystdlib"]:
        for bytes_per_vector in BUDGETS:
            cell(dataset, bytes_per_vector, asked.trials, asked.threads, asked.rows, table)
            console.print(table)  # after each cell: the next takes minutes
    if missing:
        console.print(f"Not here: {', '.join(missing)}")


if __name__ == "__main__":
    main()
