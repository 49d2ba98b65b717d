"""The tuned pick against each peer's recommended setting, at one recall and three budgets of memory, in one run.

    python scripts/bench_tuned.py [--trials 24] [--data glove-50 --data pystdlib] [--rows 100000] [--threads 1]

A peer: its card as it stands, its first search parameter raised until tuning queries reach recall 0.95, for each value
that the card has for the others; the fastest of these. The pick: every candidate is tuned alike on tuning queries for
the most QPS at that recall; the fastest is the pick. Where the budget is too small for any peer to reach 0.95, 99 % of
the recall that the best of them reaches is asked instead. Pick and peers are then served side by side and measured in
turns; each line is how many times faster the pick is, with its 95 % interval, beside the recall of both on held-out
queries. Candidates and peers that cannot run on this machine, or do not fit the budget, are named.
"""

import argparse
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from retrieval_bench.errors import UnavailableError
from retrieval_bench.files import home
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store, Turns
from retrieval_bench.registry import indexes
from retrieval_bench.runner.finals import lead
from retrieval_bench.runner.race import contender, race
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
RECALL = 0.95
NEAR = 0.99  # of the best recall under a small budget: its last part is not to cost a peer every list it has
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


def swept(bench: Bench, card: SystemCard) -> list[TrialRecord]:
    """The peer on tuning queries, its first search parameter raised until the recall is reached or it is refused.

    Once for each value that its card has for the other search parameters.
    """
    knob = next(iter(card.search))
    tried: list[TrialRecord] = []
    for rest in {tuple((n, v) for n, v in s.items() if n != knob): None for s in card.settings()}:
        for value in KNOB:
            tried.append(bench.measure(card, {}, {knob: value, **dict(rest)}, splits=("tune",), effort=QUICK))
            refused = (
                tried[-1].outcome in ("over_budget", "crashed", "timed_out") or "budget allows" in tried[-1].reason
            )
            if refused:
                return tried
            if _tuning_recall(tried[-1]) >= RECALL:
                break
    return tried


def recommended(bench: Bench, card: SystemCard, tried: list[TrialRecord], recall: float) -> TrialRecord | None:
    """The peer on held-out queries at its fastest setting that reaches the recall on tuning queries; None: none."""
    reaching = [record for record in tried if _tuning_recall(record) >= recall]
    if not reaching:
        return None
    fastest = max(reaching, key=lambda record: record.value("batch_qps") or 0.0)
    return bench.measure(card, {}, fastest.search_params, splits=("test",), effort=QUICK)


def _tuning_recall(record: TrialRecord) -> float:
    return record.value("tune/neighbor_recall@10") or 0.0


def cell(
    dataset: str, bytes_per_vector: float | None, trials: int, threads: int, rows: int | None, table: Table
) -> None:
    """Find the peers' settings, tune, race, and add a line for each peer."""
    budget = Budget(bytes_per_vector=bytes_per_vector, threads=threads, tuning_trials=trials)
    limit = "unlimited" if bytes_per_vector is None else f"{bytes_per_vector:g} bytes"
    folder = home() / "bench_tuned" / f"{Path(dataset).name}-{rows or 'all'}-{bytes_per_vector or 'unlimited'}"
    bench = Bench(
        dataset, indexes=[p for p in PEERS if p in here()], rankers=None, encoder=None, budget=budget, rows=rows,
        queries=None, depth=10, seed=0, timeout=1800.0, out=folder / "peers", on_event=lambda _event: None,
    )  # fmt: skip
    sweeps = {card.name: swept(bench, card) for card in bench.cards}
    best = max(_tuning_recall(record) for tried in sweeps.values() for record in tried)
    recall = round(NEAR * best, 4) if 0.0 < best < RECALL else RECALL
    asked = f"{recall:g}"
    found = {card.name: recommended(bench, card, sweeps[card.name], recall) for card in bench.cards}
    tuned = tune(
        dataset, indexes=[c for c in CANDIDATES if c in here()], target=f"qps@recall={asked}", budget=budget, depth=10,
        out=folder / "tuned", effort=QUICK, rows=rows,
    )  # fmt: skip
    if tuned.winner is None or tuned.winner.held_out is None:
        table.add_row(dataset, limit, asked, "no candidate reaches the recall")
        return
    store = Store(folder / "tuned")
    pick = store.record(tuned.winner.held_out.trial)
    found_racing = [contender(store, pick, "pick")]
    found_racing += [contender(bench.records, record, name) for name, record in found.items() if record is not None]
    racing = [c for c in found_racing if c is not None]
    done = race(racing, rounds=20, seconds=180.0)
    line = (dataset, limit, asked, f"{pick.system} {_setting(pick)}", f"{pick.value('neighbor_recall@10'):.4f}")
    for name, tried in sweeps.items():
        record = found[name]
        if record is None or name not in done.names:
            table.add_row(*line, name, "-", tried[0].reason or f"never reaches {asked}")
            continue
        times = paired_ratio(done.seconds[:, done.names.index(name)], done.seconds[:, 0])
        theirs = f"{record.value('neighbor_recall@10'):.4f}"
        said = _told(lead((racing[0], racing[done.names.index(name)]), times, rounds=20, seconds=180.0))
        table.add_row(*line, f"{name} {_setting(record)}", theirs, said)


def _told(turns: Turns) -> str:
    """How many times faster the pick is, or that it is not told from the peer."""
    over = f" over {turns.processes} pairs of processes" if turns.processes > 1 else ""
    times = f"{turns.ratio:.2f} times ({turns.low:.2f} to {turns.high:.2f}{over})"
    if turns.ratio < 1:
        return f"not faster: {times}"
    return f"{times} faster" if turns.told else f"not told apart: {times}"


def _setting(record: TrialRecord) -> str:
    return " ".join(f"{name}={value}" for name, value in record.search_params.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="The tuned pick against each peer's recommended setting.")
    parser.add_argument("--data", action="append", help="glove-50 and pystdlib (384-d text vectors) by default")
    parser.add_argument("--trials", type=int, default=24, help="settings tried for each candidate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, help="use only the first so many vectors of sets without judgments")
    asked = parser.parse_args()
    table = Table(
        "data", "memory", "asked", "pick", "recall", "peer", "recall", "pick is", title="QPS at a recall, tuned alike"
    )
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
