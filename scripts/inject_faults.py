"""How often the regression gate sees an injected fault, and how often it blames unchanged code.

    python scripts/inject_faults.py [--repeats 100]

Simulated, so that hundreds of gates take minutes: answers are those of an index that loses 5 % of the true neighbors of
real vectors, timings are blocks of a recording of this machine (see simulate_statistics.py), memory varies from process
to process by 1 %, and speed as docs/process_offsets.md has measured it. Two builds of unchanged code differ in which
neighbors they lose; a fault is added to a build of the same seed, as in the gate. Writes docs/regression_gate.md.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from simulate_statistics import Processes, World, offsets, record_noise, share

from retrieval_bench.comparison import Finding
from retrieval_bench.datasets import exact_neighbors
from retrieval_bench.files import write_text
from retrieval_bench.quality import neighbor_recall
from retrieval_bench.regress import PILOT, Side, complaints, judged_speed, planned_rounds
from retrieval_bench.types import Hits

OUT = Path(__file__).resolve().parents[1] / "docs" / "regression_gate.md"
N, BYTES = 20_000, 64 * 20_000
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


def gate(code: Code, world: World, fault: str, differ: float, asked: list[int]) -> bool:
    """Whether the gate complains of a head with this fault (or none); ``asked`` gains the pairs of processes."""
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
    speed = judged(Processes(world, (1.05 if fault == "slower" else 1.0, 1.0), differ))
    asked.append(speed.processes)
    return bool(complaints(base, head, speed, documents=N))


def judged(processes: Processes) -> Finding:
    """What the gate says of head's speed, head being the first of each pair of processes."""
    speeds = processes.started()
    rounds = planned_rounds(*processes.world.timings(PILOT, speeds).T)
    seconds = processes.world.timings(rounds, speeds)
    return judged_speed(seconds[:, ::-1], lambda _: processes.ratio(rounds))


def main(repeats: int) -> None:
    code, noise = Code(), record_noise(600)
    spread = np.log(noise[:, :-1] / noise[:, 1:]).std()
    middle, worst = offsets()
    rare, seen = "at most 5 %", "at least 95 %"
    cases: list[tuple[str, str, float, str]] = [
        ("unchanged code, another build", "none", middle, rare),
        ("the same", "none", worst, rare),
        ("5 % slower", "slower", middle, seen),
        ("the same", "slower", worst, "power"),
        ("one point of recall lost", "recall", middle, seen),
        ("ids shifted by one", "ids", middle, seen),
        ("ties broken wrongly", "ties", middle, seen),
        ("memory + 10 %", "memory", middle, seen),
    ]
    lines = ["| head | processes differ by | blamed | wanted | pairs of processes |", "|---|---|---|---|---|"]
    for name, fault, differ, wanted in cases:
        asked: list[int] = []
        one = partial(gate, code, World(noise), fault, differ, asked)
        blamed = share(sum(one() for _ in range(repeats)), repeats)
        lines.append(f"| {name} | {differ:.1%} | {blamed} | {wanted} | {np.mean(asked):.1f} |")
        print(lines[-1], flush=True)
    said = (
        f"Made by `scripts/inject_faults.py`, {repeats} gates a line, simulated as its docstring says; in brackets the "
        f"95 % interval of the share itself. One round of a program against itself differs by {spread:.1%} in the "
        "recording of this machine. Two processes of equal code differ by as much as docs/process_offsets.md measured, "
        "by the middle or the worst of its lines (standard deviation of the log-ratio). The speed of head is asked of "
        "pair after pair of new processes until Wald's sequential test of signs says that it is slower or that it is "
        "not (`statistics.processes`); the last column is how many that took on average. Beyond 25 % one pair is "
        "enough, which is right as long as processes of equal code differ by less. The fixture "
        "`interleaved` compares two calls within one process; give it a `slack` where they hold memory of their own."
    )
    write_text(OUT, "\n\n".join(["# How often the regression gate errs", said, "\n".join(lines)]) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Injected faults and the regression gate.")
    parser.add_argument("--repeats", type=int, default=100)
    main(parser.parse_args().repeats)
