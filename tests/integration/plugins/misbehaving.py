"""Backends that go wrong in one way each, chosen by a build or search parameter; otherwise exact search."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from retrieval_bench.errors import BudgetError, UsageError
from retrieval_bench.hits import make_hits
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Hits, MemoryReport, Metric, Params, Queries

HIDDEN = 128 << 20  # bytes


def use_all_processors() -> None:
    """Undo the pinning, for this thread and those that it starts."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


def leave(wrong: str) -> None:
    """End the process, in some way or other."""
    if wrong == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if wrong == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if wrong == "leave":
        os._exit(0)
    if wrong == "quit_thread" and threading.current_thread() is not threading.main_thread():
        raise SystemExit(0)
    if wrong == "garble":  # every open file, whosever it is
        for descriptor in range(3, 256):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"garbage\n")
        time.sleep(60)


class Build(Params):
    wrong: Literal["no", "raise", "nap", "sleep", "eat", "refuse", "leave", "threads"] = "no"


class Search(Params):
    wrong: Literal[
        "no", "crash", "kill", "leave", "quit_thread", "garble", "unsorted", "refuse", "slow", "sleep", "threads",
        "hoard", "keep", "map",
    ] = "no"  # fmt: skip
    setting: int = 0


@indexes.register("misbehaving")
class Misbehaving:
    name: ClassVar[str] = "misbehaving"
    BuildParams: ClassVar[type[Params]] = Build
    SearchParams: ClassVar[type[Params]] = Search
    metrics: ClassVar[frozenset[str]] = frozenset({"l2"})
    built_here: ClassVar[bool] = False
    loaded_here: ClassVar[bool] = False
    params: Params

    def build(
        self,
        corpus: Corpus,
        params: Any,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        if len(corpus) > 100:  # the runner measures by tiny ones, too
            with Path(os.environ["BUILD_LOG"]).open("a") as log:
                log.write("build\n")
        if params.wrong == "raise":
            raise RuntimeError("the engine broke")
        if params.wrong == "leave":
            os._exit(0)
        if params.wrong == "nap":  # over before anyone who looks now and then has looked
            time.sleep(0.02)
        if params.wrong == "sleep":
            time.sleep(60)
        if params.wrong == "eat":
            eaten = [np.ones(1 << 21) for _ in range(400)]  # 16 MiB each
            time.sleep(len(eaten))
        if params.wrong == "threads":
            use_all_processors()
        if params.wrong == "refuse":
            raise BudgetError("needs at least 7 bytes per vector")
        self.params, self._vectors = params, np.array(corpus.require_vectors())
        type(self).built_here = True

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        if len(queries) > 1:
            with Path(os.environ["BUILD_LOG"]).open("a") as log:
                log.write(f"search {params.setting}\n")
        leave(params.wrong)
        self._overstep(params.wrong)
        if params.wrong == "refuse":
            raise UsageError("this setting cannot be")
        if params.wrong == "slow":
            time.sleep(0.02)
        if params.wrong == "sleep":
            time.sleep(60)
        differences = queries.require_vectors()[:, None, :] - self._vectors[None, :, :]
        scores = -np.square(differences).sum(axis=2, dtype=np.float32)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        if params.wrong == "unsorted":
            return Hits(rows=rows[:, ::-1].copy(), scores=np.take_along_axis(scores, rows, 1)[:, ::-1].copy())
        return make_hits(rows, np.take_along_axis(scores, rows, axis=1))

    def _overstep(self, wrong: str) -> None:
        if wrong == "threads":
            use_all_processors()
        if wrong == "hoard" and not hasattr(self, "_hoard"):  # more than it reports, when answering
            self._hoard = np.ones(HIDDEN >> 3)
        if wrong == "keep":  # little, but as much again as it reports
            self._hoard = self._vectors.astype(np.float64)
        if wrong == "map" and not hasattr(self, "_hoard"):  # original vectors in a file of its own, mapped
            hidden = Path(os.environ["BUILD_LOG"]).with_name("hidden.bin")
            if not hidden.exists():
                np.ones(HIDDEN >> 3).tofile(hidden)
            self._hoard = np.memmap(hidden, np.float64, "r")
            self._hoard.sum()

    def memory(self) -> MemoryReport:
        return MemoryReport(parts={"codes": self._vectors.nbytes})

    def save(self, folder: Path) -> None:
        np.save(folder / "vectors.npy", self._vectors)

    @classmethod
    def load(cls, folder: Path) -> Self:
        if cls.built_here and not cls.loaded_here:
            raise RuntimeError("this process has built before: memory and caches of the build count as the server's")
        cls.loaded_here, loaded = True, cls()
        loaded._vectors = np.load(folder / "vectors.npy", allow_pickle=False)
        loaded.params = Build()
        return loaded
