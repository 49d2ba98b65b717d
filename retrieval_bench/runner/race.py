"""Systems measured in turns (A B C, C B A, ...), each in its own process, until they can be told apart."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter

from retrieval_bench import registry
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.records import Store
from retrieval_bench.runner.limits import WALL_SECONDS, Limits, Watch
from retrieval_bench.runner.prepared import prepared_folder
from retrieval_bench.runner.process import End, Process
from retrieval_bench.statistics import GroupSequential, paired_ratio
from retrieval_bench.types import Budget, Frozen, Hits, TrialRecord

SAMPLE_SECONDS = 0.02  # least duration of one timed sample; shorter batches are repeated within it

T = TypeVar("T", bound=Frozen)


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


class Ready(Frozen):
    """What a contender's process says when it is warm: how long it took to load or build, and queries of a batch."""

    ready_seconds: float
    queries: int


class Timed(Frozen):
    """Seconds of a batch, of so many made one after another."""

    seconds: float = Field(gt=0)
    batches: int = Field(ge=1)


class Held(Frozen):
    """Memory of the system, in bytes: as its process grew, and by its own account."""

    private_bytes: int
    analytic_bytes: int


class _Answered(Frozen):
    path: str


class Served:
    """A contender that answers commands in a process of its own; ``ready`` is what that said when it was warm.

    A context manager, to be started within. All raise RetrievalBenchError, with the reason, where the process has
    ended, or has not answered within ``timeout`` seconds.
    """

    ready: Ready

    def __init__(self, contender: Contender, *, sample_seconds: float, timeout: float) -> None:
        self.contender = contender
        self._sample_seconds = sample_seconds
        self._limits = Limits(wall_seconds=timeout, peak_bytes=contender.budget.peak_bytes)
        self._process = Process(contender.threads, tree=contender.tree)

    def __enter__(self) -> Self:
        self._process.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__()

    def start(self) -> None:
        """Load, or build, and warm up."""
        of = self.contender
        job = {
            "stage": "turns", "plugin": of.plugin, "kind": of.kind, "backend": of.backend, "build": of.build,
            "search": of.search, "seed": of.seed, "depth": of.depth, "dataset_folder": str(of.dataset_folder),
            "index_folder": None if of.index_folder is None else str(of.index_folder),
            "budget": of.budget.model_copy(update={"threads": of.threads}).model_dump(),
            "sample_seconds": self._sample_seconds,
        }  # fmt: skip
        self._process.begin(json.dumps(job))
        self.ready = self._heard(Ready)

    def time(self) -> Timed:
        """Time a batch of the test queries."""
        return self._asked(Timed, "time")

    def memory(self) -> Held:
        """What it holds."""
        return self._asked(Held, "memory")

    def hits(self) -> Hits:
        """Its answers to the test queries, as it gave them."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "hits.npz"
            self._asked(_Answered, "answer", path=str(path))
            with np.load(path, allow_pickle=False) as arrays:
                return Hits(rows=arrays["rows"], scores=arrays["scores"])

    def _asked(self, kind: type[T], do: str, **more: str) -> T:
        self._process.tell(do=do, **more)
        return self._heard(kind)

    def _heard(self, kind: type[T]) -> T:
        said = self._process.hear(TypeAdapter(kind), Watch(self._limits))
        if isinstance(said, End):
            reason = said.reason or "it left with status 0"
            raise RetrievalBenchError(f"{self.contender.name}: its process ended: {reason}")
        return said


@contextlib.contextmanager
def served(
    contenders: Sequence[Contender], *, sample_seconds: float = SAMPLE_SECONDS, timeout: float = WALL_SECONDS
) -> Iterator[list[Served]]:
    """Start every contender's process, one after another, and end them all afterwards.

    Args:
        contenders: what to serve.
        sample_seconds: least duration of one timed sample; shorter batches are repeated within it.
        timeout: most seconds of starting one, and of each of its answers.

    Raises:
        RetrievalBenchError: one of them cannot be served, or does not answer in time.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for one in contenders:
            running.append(stack.enter_context(Served(one, sample_seconds=sample_seconds, timeout=timeout)))
            running[-1].start()
        yield running


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
                row[i] = running[i].time().seconds
            block.append(row)
        samples += block
        test.look(np.log(block))
    return Race(
        names=test.systems, seconds=np.array(samples), queries=running[0].ready.queries, decided=test.decided,
        looks=test.looked,
    )  # fmt: skip


def race(
    contenders: Sequence[Contender], *, looks: int = 5, rounds: int = 12, seconds: float = 60.0, level: float = 0.05,
    seed: int = 0, timeout: float = WALL_SECONDS,
) -> Race:  # fmt: skip
    """Serve and measure in turns (see ``served`` and ``take_turns``)."""
    with served(contenders, timeout=timeout) as running:
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
