"""Systems measured in turns (A B C, C B A, ...), each in its own process, until they can be told apart."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench import registry
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.records import Store
from retrieval_bench.runner.isolate import pinned_cpus, thread_environment
from retrieval_bench.runner.prepared import prepared_folder
from retrieval_bench.statistics import GroupSequential, paired_ratio
from retrieval_bench.types import Budget, Hits, TrialRecord

SAMPLE_SECONDS = 0.02  # least duration of one timed sample; shorter batches are repeated within it
WORKER = Path(__file__).with_name("race_worker.py")


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A system to serve: loaded from ``index_folder``, or built where that is None.

    Attributes:
        plugin: module that registers the backend.
        tree: root of the source tree whose package serves it; None is this one.
    """

    name: str
    kind: str
    backend: str
    plugin: str
    dataset_folder: Path
    index_folder: Path | None = None
    build: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    depth: int = 10
    threads: int = 1
    seed: int = 0
    tree: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Race:
    """What was measured in turns.

    Attributes:
        names: of the contenders.
        seconds: (rounds, contenders) of one batch.
        queries: in a batch.
        decided: pairs that the group-sequential test tells apart, with the median log-ratio of their seconds.
        looks: looks it took.
    """

    names: tuple[str, ...]
    seconds: npt.NDArray[np.float64]
    queries: int
    decided: dict[tuple[str, str], float]
    looks: int


def contender(store: Store, trial: TrialRecord, name: str) -> Contender | None:
    """The trial as a contender; None where its built index or its data was removed."""
    built = store.build_folder(trial.build_id) / "index"
    prepared = prepared_folder(trial.dataset_fingerprint)
    if not built.exists() or not prepared.exists():
        return None
    plugins = registry.indexes if trial.kind == "index" else registry.rankers
    return Contender(
        name=name, kind=trial.kind, backend=trial.backend, plugin=plugins.get(trial.backend).__module__,
        dataset_folder=prepared, index_folder=built, search=trial.search_params, depth=trial.depth,
        threads=trial.budget.threads or 1,
    )  # fmt: skip


class Served:
    """A contender's process; ``ready`` is what it said when it was warm (``ready_seconds``, ``queries``)."""

    def __init__(self, contender: Contender, *, sample_seconds: float) -> None:
        self.contender = contender
        read_end, write_end = os.pipe()
        job = {
            "cpus": sorted(pinned_cpus(contender.threads)), "plugin": contender.plugin, "kind": contender.kind,
            "dataset_folder": str(contender.dataset_folder), "backend": contender.backend,
            "index_folder": None if contender.index_folder is None else str(contender.index_folder),
            "build": contender.build, "search": contender.search, "seed": contender.seed, "depth": contender.depth,
            "budget": contender.budget.model_copy(update={"threads": contender.threads}).model_dump(),
            "sample_seconds": sample_seconds,
        }  # fmt: skip
        environment = thread_environment(contender.threads)
        tree = contender.tree or Path(__file__).parents[2]
        environment["PYTHONPATH"] = os.pathsep.join([str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), json.dumps(job), str(write_end)],
            stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, env=environment, pass_fds=[write_end],
        )  # fmt: skip
        os.close(write_end)
        self._replies = os.fdopen(read_end, encoding="utf-8")
        self.ready: dict[str, Any] = {}

    def wait(self) -> dict[str, Any]:
        """Its next reply.

        Raises:
            RetrievalBenchError: the process ended; holds the last line that it wrote.
        """
        line = self._replies.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise RetrievalBenchError(f"{self.contender.name}: its process ended: {said[-1]}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def tell(self, **command: object) -> dict[str, Any]:
        """Send a command and wait for its reply: of ``time``, the ``seconds`` of a batch and the ``batches`` made."""
        assert self._process.stdin is not None  # noqa: S101 - narrows the type
        with contextlib.suppress(BrokenPipeError):  # then ``wait`` says why
            self._process.stdin.write((json.dumps(command) + "\n").encode())
            self._process.stdin.flush()
        return self.wait()

    def hits(self) -> Hits:
        """Its answers to the test queries, as it gave them."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "hits.npz"
            self.tell(do="answer", path=str(path))
            with np.load(path, allow_pickle=False) as arrays:
                return Hits(rows=arrays["rows"], scores=arrays["scores"])

    def close(self) -> None:
        """End the process: its input closes, so it finishes by itself; killed where it does not."""
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._replies.close()
        self._log.close()


@contextlib.contextmanager
def served(contenders: Sequence[Contender], *, sample_seconds: float = SAMPLE_SECONDS) -> Iterator[list[Served]]:
    """Start every contender's process, one after another, and end them all afterwards.

    Args:
        contenders: what to serve.
        sample_seconds: least duration of one timed sample; shorter batches are repeated within it.

    Raises:
        RetrievalBenchError: one of them cannot be served.
    """
    running: list[Served] = []
    try:
        for contender in contenders:
            running.append(Served(contender, sample_seconds=sample_seconds))
            running[-1].ready = running[-1].wait()
        yield running
    finally:
        for process in running:
            process.close()


def take_turns(
    running: Sequence[Served], *, looks: int = 5, rounds: int = 12, seconds: float = 60.0, level: float = 0.05,
    seed: int = 0,
) -> Race:  # fmt: skip
    """Measure served systems in turns, in looks of some rounds, until every pair is decided or the looks are used.

    Args:
        running: two or more served systems of different names.
        looks: most looks; the error is spent over them (see ``statistics.GroupSequential``).
        rounds: of each look.
        seconds: after so long no further look is begun; fewer looks than planned can only leave pairs undecided.
        level: error allowed to all claims together.
        seed: of the order within a round and of the test.
    """
    test = GroupSequential([s.contender.name for s in running], looks=looks, level=level, seed=seed)
    rng = np.random.default_rng(seed)
    samples: list[list[float]] = []
    start = time.perf_counter()
    while not test.finished and (not samples or time.perf_counter() - start < seconds):
        block = []
        for _ in range(rounds):
            row = [0.0] * len(running)
            for i in rng.permutation(len(running)):  # whoever follows another finds its caches: that is chance, too
                row[i] = running[i].tell(do="time")["seconds"]
            block.append(row)
        samples += block
        test.look(np.log(block))
    return Race(
        names=test.systems, seconds=np.array(samples), queries=running[0].ready["queries"], decided=test.decided,
        looks=test.looked,
    )  # fmt: skip


def race(
    contenders: Sequence[Contender], *, looks: int = 5, rounds: int = 12, seconds: float = 60.0, level: float = 0.05,
    seed: int = 0,
) -> Race:  # fmt: skip
    """Serve and measure in turns (see ``served`` and ``take_turns``)."""
    with served(contenders) as running:
        return take_turns(running, looks=looks, rounds=rounds, seconds=seconds, level=level, seed=seed)


def ratio_in_new_processes(
    pair: Sequence[Contender], before: int, *, looks: int = 5, rounds: int = 12, seconds: float = 60.0
) -> float:
    """How many times faster the first of a pair is, in processes started for this measurement.

    Args:
        pair: two contenders.
        before: pairs of processes measured before; after an odd number of them the second is started first, for what
            starts first may find more memory in one piece.
        looks: most looks, as for ``take_turns``.
        rounds: of each look.
        seconds: after so long no further look is begun.
    """
    turned = before % 2 == 1
    done = race(pair[::-1] if turned else pair, looks=looks, rounds=rounds, seconds=seconds, seed=before)
    ratio = paired_ratio(done.seconds[:, 1], done.seconds[:, 0]).value
    return 1 / ratio if turned else ratio
