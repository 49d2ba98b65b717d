"""How often the regression gate sees an injected fault, and how often it blames unchanged code.

    python scripts/inject_faults.py [--repeats 100]

Simulated, so that hundreds of gates take minutes: answers are those of an index that loses 5 % of the true neighbors of
real vectors, timings are blocks of a recording of this machine (see simulate_statistics.py), memory varies from process
to process by 1 %, and so does speed (standard deviation), or by what a line says. Two builds of unchanged code differ
in which neighbors they lose; a fault is added to a build of the same seed, as in the gate. Writes
docs/regression_gate.md.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from simulate_statistics import Processes, World, record_noise, share

from retrieval_bench.comparison import Finding
from retrieval_bench.datasets import exact_neighbors
from retrieval_bench.files import write_text
from retrieval_bench.quality import neighbor_recall
from retrieval_bench.regress import LEVEL, PILOT, Side, complaints, judged_speed, planned_rounds
from retrieval_bench.statistics import paired_ratio
from retrieval_bench.types import Hits

OUT = Path(__file__).resolve().parents[1] / "docs" / "regression_gate.md"
N, LOOKS, BYTES = 20_000, 5, 64 * 20_000
PROCESS = 0.01
Array = npt.NDArray[np.float64]


class Code:
    """What a revision would give, right or with a fault."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        vectors, queries = rng.normal(size=(N, 24)).astype(np.float32), rng.normal(size=(500, 24)).astype(np.float32)
        self.exact = exact_neighbors(vectors, queries, 100, "l2")

    def answers(self, lost: npt.NDArray[np.bool_]) -> Hits:
        """The ten best of those of the exact answers that are not lost."""
        order = np.argsort(lost, axis=1, kind="stable")[:, :10]
        order.sort(axis=1)
        return Hits(
            rows=np.take_along_axis(self.exact.rows, order, axis=1),
            scores=np.take_along_axis(self.exact.scores, order, axis=1),
        )

    def side(self, hits: Hits, private: float, analytic: int = BYTES) -> Side:
        """These answers with their recall, and memory."""
        never = np.full(hits.rows.shape, -np.inf)
        recall = neighbor_recall(hits.rows, self.exact, 10, never)
        memory = {"analytic_bytes": analytic, "private_bytes": round(private)}
        return Side(hits=hits, values={"neighbor_recall@10": recall}, memory=memory)


def ties_wrong(hits: Hits) -> Hits:
    """The first two answers of one query score the same and stand in the wrong order."""
    rows, scores = hits.rows.copy(), hits.scores.copy()
    scores[0, 1] = scores[0, 0]
    rows[0, :2] = sorted(rows[0, :2])[::-1]
    return replace(hits, rows=rows, scores=scores)


def gate(code: Code, world: World, fault: str, differ: float) -> bool:
    """Whether the gate complains of a head with this fault (or none)."""
    rng = world.rng
    lost = rng.random(code.exact.rows.shape) < 0.05
    base = code.side(code.answers(lost), BYTES * 1.1 * rng.normal(1, 0.01))
    more = rng.random(lost.shape) < (0.05 if fault == "none" else 0.0)
    hits = code.answers(more if fault == "none" else lost | (rng.random(lost.shape) < 0.0105 * (fault == "recall")))
    if fault == "ids":
        hits = replace(hits, rows=np.where(hits.rows + 1 < N, hits.rows + 1, 0))
    if fault == "ties":
        hits = ties_wrong(hits)
    grown = 1.1 if fault == "memory" else 1.0
    head = code.side(hits, BYTES * 1.1 * grown * rng.normal(1, 0.01), round(BYTES * grown))
    speed = judged(Processes(world, (1.0, 1.05 if fault == "slower" else 1.0), differ))
    return bool(complaints(base, head, speed, documents=N))


def judged(processes: Processes) -> Finding:
    """What the gate says of head's speed, base being the first of each pair of processes."""
    speeds = processes.started()
    first, second = processes.world.timings(PILOT, speeds).T
    rounds = planned_rounds(first, second, looks=LOOKS)
    seconds, decided = processes.race(speeds, rounds=rounds, looks=LOOKS, level=LEVEL / 2)

    def once_more(_: int) -> float:
        again, _decided = processes.race(processes.started(), rounds=rounds, looks=LOOKS)
        return paired_ratio(again[:, 0], again[:, 1]).value

    return judged_speed(seconds, once_more, decided=decided)


def main(repeats: int) -> None:
    code, noise = Code(), record_noise(600)
    spread = np.log(noise[:, :-1] / noise[:, 1:]).std()
    cases: list[tuple[str, str, float, str]] = [
        ("unchanged code, another build", "none", PROCESS, "at most 5 %"),
        ("unchanged code, processes that differ by 3 %", "none", 0.03, "at most 5 %"),
        ("5 % slower", "slower", PROCESS, "at least 95 %"),
        ("one point of recall lost", "recall", PROCESS, "at least 95 %"),
        ("ids shifted by one", "ids", PROCESS, "at least 95 %"),
        ("ties broken wrongly", "ties", PROCESS, "at least 95 %"),
        ("memory + 10 %", "memory", PROCESS, "at least 95 %"),
    ]
    lines = ["| head | blamed | wanted |", "|---|---|---|"]
    for name, fault, differ, wanted in cases:
        seen = partial(gate, code, World(noise), fault, differ)
        lines.append(f"| {name} | {share(sum(seen() for _ in range(repeats)), repeats)} | {wanted} |")
        print(lines[-1], flush=True)
    said = (
        f"Made by `scripts/inject_faults.py`, {repeats} gates a line, simulated as its docstring says; in brackets the "
        f"95 % interval of the share itself. One round of a program against itself differs by {spread:.1%} in the "
        "recording of this machine. A process is faster or slower by chance for as long as it lives, by "
        f"{PROCESS:.0%} (standard deviation) where a line says nothing else. A head that the first pair of processes "
        "finds slower is measured again in up to five new pairs, and blamed for its speed only where each of them "
        "favours base: by chance one time in 64 (2 to the power of -6). Beyond 25 % it is blamed at once, which is "
        "right as long as processes of equal code differ by less. The fixture "
        "`interleaved` compares two calls within one process; give it a `slack` where they hold memory of their own."
    )
    write_text(OUT, "\n\n".join(["# How often the regression gate errs", said, "\n".join(lines)]) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Injected faults and the regression gate.")
    parser.add_argument("--repeats", type=int, default=100)
    main(parser.parse_args().repeats)
