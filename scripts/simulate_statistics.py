"""How often the statistics err, by simulation: A/A comparisons, coverage, family-wise error, power.

    python scripts/simulate_statistics.py [--quick]

Quality is simulated by per-query values as retrieval gives them (many 0, many near 1, correlated between systems);
timings by blocks of a recording: one exact search is timed again and again against itself at the start, so that drifts,
spikes and ties of this machine's clock are all in it. Writes docs/simulations.md.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from process_offsets import measured

from retrieval_bench import statistics
from retrieval_bench.comparison import Finding, asked_again, judge_quality, judge_speed
from retrieval_bench.files import write_text
from retrieval_bench.measure.clock import timed
from retrieval_bench.measure.machine import machine

Array = npt.NDArray[np.float64]
Case = tuple[str, Callable[[], bool], str]
OUT = Path(__file__).resolve().parents[1] / "docs" / "simulations.md"
BLOCK = 10  # rounds of the recording taken together, so that its slow spells stay together
RARE, COVERS, POWER = "at most 5 %", "92 to 98 %", "power"


def record_noise(rounds: int, systems: int = 5) -> Array:
    """(rounds, systems) seconds of one and the same search, timed so often in a round."""
    rng = np.random.default_rng(0)
    vectors, queries = rng.random((20_000, 64), np.float32), rng.random((20, 64), np.float32)

    def search() -> None:
        np.argpartition(queries @ vectors.T, -10, axis=1)

    search()
    return np.array([[timed(search)[1] for _ in range(systems)] for _ in range(rounds)])


class World:
    """Draws what a benchmark would measure."""

    def __init__(self, noise: Array, seed: int = 1) -> None:
        self.noise, self.rng = noise, np.random.default_rng(seed)

    def quality(self, n: int, difference: float = 0.0) -> tuple[Array, Array]:
        """Two systems on n queries, exchangeable but for ``difference`` in the mean: nDCG-like, correlated by .7."""
        hard = self.rng.normal(0, 1, (n, 1))
        scores = 1 / (1 + np.exp(-2.5 * (np.sqrt(0.7) * hard + np.sqrt(0.3) * self.rng.normal(0, 1, (n, 2)))))
        scores[scores < 0.15] = 0.0  # nothing relevant found
        return scores[:, 0] + difference, scores[:, 1]

    def timings(self, n: int, slower: tuple[float, ...]) -> Array:
        """(n, systems) rounds of equal programs, each made ``slower``; chance orders those of a round."""
        starts = self.rng.integers(0, len(self.noise) - BLOCK, -(-n // BLOCK))
        rounds = np.concatenate([self.noise[s : s + BLOCK] for s in starts])[:n]
        return self.rng.permuted(rounds, axis=1)[:, : len(slower)] * slower

    def pair(self, n: int, slower: float = 1.0) -> tuple[Array, Array]:
        """The rounds of two of them, the first made ``slower``."""
        both = self.timings(n, (slower, 1.0))
        return both[:, 0], both[:, 1]

    def looked_at(self, slower: tuple[float, ...]) -> statistics.GroupSequential:
        """A finished group-sequential comparison of programs that differ by these factors: 5 looks of 8 rounds."""
        names = [str(i) for i in range(len(slower))]
        test = statistics.GroupSequential(names, looks=5, resamples=500, seed=int(self.rng.integers(1 << 30)))
        while not test.finished:
            test.look(np.log(self.timings(8, slower)))
        return test


class Processes:
    """Pairs of processes, each of which is faster or slower by chance for as long as it lives.

    Args:
        world: draws rounds.
        slower: how much slower the code of each is.
        differ: standard deviation of the logarithm of the ratio of two processes of equal code.
    """

    def __init__(self, world: World, slower: tuple[float, float], differ: float) -> None:
        self.world, self.slower, self.differ = world, slower, differ

    def started(self) -> tuple[float, float]:
        """Seconds that a new pair takes, relative to equal code in equal processes."""
        first, second = np.exp(self.world.rng.normal(0, self.differ / math.sqrt(2), 2)) * self.slower
        return float(first), float(second)

    def ratio(self, rounds: int) -> float:
        """What so many rounds of a new pair say: how many times faster the first is."""
        seconds = self.world.timings(rounds, self.started())
        return statistics.paired_ratio(seconds[:, 1], seconds[:, 0]).value

    def compared(self) -> Finding:
        """What ``compare`` finds: at most 5 looks of 12 rounds, asked again in new pairs of 60 rounds at most."""
        seed, speeds = int(self.world.rng.integers(1 << 30)), self.started()
        test = statistics.GroupSequential(["a", "b"], looks=5, resamples=500, seed=seed)
        seconds: list[Array] = []
        while not test.finished:
            seconds.append(self.world.timings(12, speeds))
            test.look(np.log(seconds[-1]))
        done = np.concatenate(seconds)
        found = judge_speed(done[:, 0], done[:, 1], decided=bool(test.decided))
        return asked_again(found, lambda _: self.ratio(len(done)))


def offsets() -> tuple[float, float]:
    """How far two processes of equal code differ, as measured: the middle and the worst of the indexes."""
    found = measured()
    return float(np.median(found)), max(found)


def alike(world: World) -> Iterator[Case]:
    """Equal systems called different."""

    def quality(n: int) -> bool:
        return judge_quality("m", *world.quality(n), resamples=1_000).different

    def speed(n: int) -> bool:
        return judge_speed(*world.pair(n)).different

    def equivalent(n: int) -> bool:
        a, b = world.quality(n)
        return statistics.equivalence_test(0.95 * a, b, margin=0.05, resamples=500).not_worse

    for n in (50, 300):
        yield f"quality, {n} queries", partial(quality, n), RARE
    for n in (8, 20, 60):
        yield f"speed, {n} rounds", partial(speed, n), RARE
    for differ in offsets():
        pairs = Processes(world, (1.0, 1.0), differ)
        yield f"speed, processes that differ by {differ:.1%}", partial(_different, pairs), RARE
    yield "called as good within 5 %, truly 5 % worse, 300 queries", partial(equivalent, 300), RARE


def _different(pairs: Processes) -> bool:
    return pairs.compared().different


def covering(world: World) -> Iterator[Case]:
    """95 % intervals that hold the truth."""
    truth = float(np.mean([world.quality(10_000) for _ in range(100)]))

    def mean(n: int) -> bool:
        low, high = statistics.mean_interval(world.quality(n)[0], resamples=1_000)
        return low <= truth <= high

    def difference(n: int) -> bool:
        low, high = statistics.difference_interval(*world.quality(n, 0.02), resamples=1_000)
        return low <= 0.02 <= high

    def optimism(n: int, m: int) -> bool:
        low, high = statistics.unpaired_interval(world.quality(n)[0], world.quality(m)[0])
        return low <= 0.0 <= high

    def ratio(n: int) -> bool:
        found = statistics.paired_ratio(*world.pair(n, 1.3))
        return found.low <= 1.3 <= found.high

    for n in (50, 300):
        yield f"mean of {n} queries", partial(mean, n), COVERS
        yield f"difference over {n} queries", partial(difference, n), COVERS
    yield "optimism: 100 tuning queries minus 300 others", partial(optimism, 100, 300), COVERS
    for n in (10, 20, 60):
        yield f"ratio of timings, {n} rounds", partial(ratio, n), COVERS


def sequential(world: World) -> Iterator[Case]:
    """AdaStop: any false claim in a whole comparison, and true differences that are found."""

    def wrong(slower: tuple[float, ...]) -> bool:
        equal = {str(i) for i, factor in enumerate(slower) if factor == 1}
        return any(equal.issuperset(pair) for pair in world.looked_at(slower).decided)

    def found(factor: float) -> bool:
        return bool(world.looked_at((1.0, factor)).decided)

    yield "any false claim, 2 equal systems", partial(wrong, (1.0, 1.0)), RARE
    yield "any false claim, 5 equal systems", partial(wrong, (1.0,) * 5), RARE
    yield "any false claim among 3 equal systems, 2 slower beside them", partial(wrong, (1.0, 1.0, 1.0, 1.2, 1.6)), RARE
    for factor in (1.02, 1.05, 1.2):
        yield f"{factor - 1:.0%} slower, at most 40 rounds", partial(found, factor), POWER


def powerful(world: World) -> Iterator[Case]:
    """True differences that are seen."""

    def quality(difference: float) -> bool:
        return judge_quality("m", *world.quality(300, difference), resamples=1_000).word == "better"

    def speed(factor: float) -> bool:
        return judge_speed(*world.pair(60, factor)).word == "worse"

    for difference in (0.01, 0.02, 0.04):
        yield f"quality, 300 queries, {difference:+g}", partial(quality, difference), POWER
    for factor in (1.02, 1.05, 1.1):
        yield f"speed, 60 rounds, {factor - 1:.0%} slower", partial(speed, factor), POWER
        for differ in offsets():
            pairs = Processes(world, (factor, 1.0), differ)
            yield f"the same, processes that differ by {differ:.1%}", partial(_different, pairs), POWER


def share(hits: int, of: int) -> str:
    """A share with its 95 % interval (Wilson 1927), in percent."""
    p, z = hits / of, 1.96
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{100 * p:.1f} % ({100 * (centre - half):.1f} to {100 * (centre + half):.1f})"


def main(repeats: int) -> None:
    noise = record_noise(600)
    spread = np.log(noise[:, :-1] / noise[:, 1:]).std()
    parts = [
        "# How often the statistics err",
        f"Made by `scripts/simulate_statistics.py`, {repeats:,} repeats a line; in brackets the 95 % interval of the "
        f"share itself. Timings are blocks of a recording made on {machine()['cpu']}, where one round of a program "
        f"against itself differs by {spread:.1%} (standard deviation of the log-ratio). Two processes of equal code "
        "differ by as much as docs/process_offsets.md measured: by the middle and by the worst of its lines (standard "
        "deviation of the log-ratio). A pair of processes has at most 60 rounds; a difference that the first pair "
        "shows is claimed when new pairs bear it out (`statistics.processes`), or at once beyond 25 %.",
    ]
    for cases in (alike, covering, sequential, powerful):
        lines = [f"## {(cases.__doc__ or '').rstrip('.')}", "", "| case | share | wanted |", "|---|---|---|"]
        for name, event, wanted in cases(World(noise)):
            lines.append(f"| {name} | {share(sum(event() for _ in range(repeats)), repeats)} | {wanted} |")
            print(lines[-1], flush=True)
        parts.append("\n".join(lines))
    write_text(OUT, "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How often the statistics err, by simulation.")
    parser.add_argument("--quick", action="store_true", help="200 repeats instead of 4,000")
    main(200 if parser.parse_args().quick else 4_000)
