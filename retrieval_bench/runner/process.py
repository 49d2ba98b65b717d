"""Jobs in processes of their own, pinned and watched: wall clock, build time, private memory, output, Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
from pydantic import TypeAdapter, ValidationError

from retrieval_bench.measure.memory import watched_bytes
from retrieval_bench.processors import one_per_core_first, usable_processors
from retrieval_bench.runner.job import Doing, Phase, Refusal, printable
from retrieval_bench.runner.limits import WALL_SECONDS, Limits, Watch
from retrieval_bench.types import Outcome

POLL_SECONDS = 0.05
_WORKER = Path(__file__).with_name("worker.py")
_MOST_HEARD, _MOST_LOGGED = 16 << 20, 64 << 20  # bytes that a job may tell the run, and that are kept of its output
_TAIL = 8 << 10  # bytes of the output that are read
_GRACE = 5.0  # seconds that a worker has to end what it started
_FAMILY_SECONDS = 1.0  # between two looks for processes that a job has started
_EVENT: TypeAdapter[Phase | Doing | Refusal] = TypeAdapter(Phase | Doing | Refusal)

T = TypeVar("T")


@dataclass(kw_only=True)
class End:
    """How a job ended.

    Attributes:
        outcome: ``ok`` where its process left with status 0 and told of no refusal.
        reason: one line, empty for ok.
        seconds: wall time from start to end.
        phases: seconds of the phases that were finished.
    """

    outcome: Outcome = "ok"
    reason: str = ""
    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)


def thread_environment(threads: int) -> dict[str, str]:
    """The environment in which every engine uses this many threads and asks no model hub."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads)), "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1"}  # fmt: skip


def pinned_cpus(threads: int) -> set[int]:
    """So many of the processors that this process may use, on as many physical cores as can be."""
    return set(one_per_core_first(usable_processors())[:threads])


class Process:
    """Does jobs one after another, each in a process of its own; they share no more than imported modules.

    A context manager. The worker that jobs are forked from (see ``worker.py``) starts with the first one, and again
    after a job that had to be killed. No process that a job has started outlives it, or this process, however that
    ends.

    Args:
        threads: of every engine; the processes are pinned to as many processors.
        imports: modules to import once for all jobs.
        engines: modules to import likewise, whose memory counts as the system's.
        tree: root of the source tree whose package does the jobs; None is this one.
        holding: open files that stay open until the last of the processes has ended: a lock.
    """

    def __init__(
        self, threads: int, *, imports: Sequence[str] = (), engines: Sequence[str] = (), tree: Path | None = None,
        holding: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self._threads, self._imports, self._engines = threads, list(imports), list(engines)
        self._tree, self._holding = tree, list(holding)
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)  # it is cut while it is written
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._log.close()

    def run(self, job: str, limits: Limits, on_event: Callable[[dict[str, Any]], None]) -> End:
        """Do a job (JSON, one line) that tells of its phases, and wait for its end.

        A breach of a limit kills the process and is an outcome, not an exception; Ctrl-C kills it and goes on up.
        """
        self.begin(job)
        watch, refusal = Watch(limits), End()
        while not isinstance(said := self.hear(_EVENT, watch), End):
            if isinstance(said, Refusal):
                refusal = End(outcome=said.outcome, reason=said.reason)
                continue
            if isinstance(said, Phase):
                watch.follow(said)
            with self._killed_by_an_error():
                on_event(said.model_dump())
        end = said if refusal.outcome == "ok" else refusal
        end.seconds, end.phases = watch.seconds, watch.phases
        return end

    def begin(self, job: str) -> None:
        """Start a job (JSON, one line); when this returns it is at work: imports before it are not held against it."""
        with self._killed_by_an_error():
            self._lines, self._rest, self._heard = deque[bytes](), b"", 0
            self._job: psutil.Process | None = None
            self._status: int | None = None
            self._shut = False
            self._family, self._looked = 0, time.monotonic()
            self._logged = os.fstat(self._log.fileno()).st_size
            if self._worker is None:
                self._start()
            with contextlib.suppress(OSError):  # ``hear`` finds its end
                self._control.sendall(job.encode() + b"\n")
            while self._job is None and self._status is None:
                self._listen()

    def tell(self, **command: object) -> None:
        """Send the job a command."""
        with contextlib.suppress(OSError):  # ``hear`` finds its end
            self._line.sendall(json.dumps(command).encode() + b"\n")

    def hear(self, kind: TypeAdapter[T], watch: Watch) -> T | End:
        """Wait for what the job says next, or for its end: by itself, by a limit, or for saying what is not of a kind.

        Nothing is believed before it is checked, for a plug-in may write to any open file.
        """
        with self._killed_by_an_error():
            while True:
                if self._lines:
                    line = self._lines.popleft()
                    try:
                        return kind.validate_json(line)
                    except ValidationError:
                        return self._ended("crashed", f"it wrote into the line to the run: {line[:80]!r}")
                if self._status is not None:
                    return self._left(self._status)
                if self._heard > _MOST_HEARD:
                    return self._ended("crashed", f"it told the run more than {_MOST_HEARD:,} bytes")
                if self._shut:
                    return self._ended("crashed", "it closed the line to the run")
                if (breach := watch.breach(self._private_bytes)) is not None:
                    return self._ended(*breach)
                self._listen()

    def _start(self) -> None:
        self._control, control = socket.socketpair()
        self._line, line = socket.socketpair()
        self._control.settimeout(WALL_SECONDS)
        cpus = sorted(pinned_cpus(self._threads))
        asked = [cpus, os.getpid(), control.fileno(), line.fileno(), self._imports, self._engines]
        places = [*filter(None, [self._tree]), *map(os.path.abspath, sys.path)]  # what the run can import, a job can
        with control, line:
            self._worker = subprocess.Popen(
                [sys.executable, "-P", str(_WORKER), json.dumps(asked)],
                stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, process_group=0,
                env={**thread_environment(self._threads), "PYTHONPATH": os.pathsep.join(map(str, places))},
                pass_fds=[control.fileno(), line.fileno(), *self._holding],
            )  # fmt: skip

    def _listen(self) -> None:
        """Take in what the job and its worker say, after waiting a little for it."""
        if os.fstat(self._log.fileno()).st_size > _MOST_LOGGED:
            self._log.truncate(0)
            self._logged = 0
        ready, _, _ = select.select([self._control, self._line], [], [], POLL_SECONDS)
        told = self._control.recv(1 << 12) if self._control in ready else None
        for word in map(json.loads, (told or b"").splitlines()):
            if "exit" in word:
                self._status = word["exit"]
            else:
                with contextlib.suppress(psutil.Error):  # it may have ended already
                    self._job = psutil.Process(word["pid"])
        over = told == b"" or self._status is not None  # the worker has ended, or the job has: nothing more will come
        if self._line in ready or over:
            self._take(everything=over)
        if told == b"":
            self._status = self._kill() or 1

    def _take(self, *, everything: bool) -> None:
        """Take in what the job has said."""
        with contextlib.suppress(BlockingIOError):  # there is nothing more
            while True:
                said = self._line.recv(1 << 16, socket.MSG_DONTWAIT)
                *lines, self._rest = (self._rest + said).split(b"\n")
                self._lines.extend(lines)
                self._heard += len(said)
                self._shut = not said
                if self._shut or not everything:
                    return

    def _private_bytes(self) -> int:
        """Private bytes of the job and, looked for now and then, of processes that it has started."""
        if self._job is None or self._worker is None:
            return 0
        with contextlib.suppress(psutil.Error):  # one has just ended; the worker says so
            if time.monotonic() - self._looked > _FAMILY_SECONDS:
                family = psutil.Process(self._worker.pid).children(recursive=True)
                self._family = sum(p.memory_full_info().uss for p in family if p != self._job)
                self._looked = time.monotonic()
            return watched_bytes(self._job) + self._family
        return 0

    def _left(self, status: int) -> End:
        """The end of a job that left by itself, or was killed by another."""
        if status == 0:
            return End()
        file = self._log.fileno()
        size = os.fstat(file).st_size
        tail = os.pread(file, _TAIL, max(self._logged, size - _TAIL)).decode(errors="replace").strip().splitlines()
        said = printable(tail[-1]) if tail else "it said nothing"
        if status > 0:
            return End(outcome="crashed", reason=f"exit status {status}: {said}")
        name = signal.Signals(-status).name
        hint = " (not sent by this run: most often the system ran out of memory)" if name == "SIGKILL" else ""
        return End(outcome="crashed", reason=f"killed by {name}{hint}" + (f": {said}" if tail else ""))

    def _ended(self, outcome: Outcome, reason: str) -> End:
        self._kill()
        return End(outcome=outcome, reason=reason)

    @contextlib.contextmanager
    def _killed_by_an_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._kill()
            raise

    def _kill(self) -> int:
        """End the worker and what it started; the worker's exit status."""
        if self._worker is None:
            return 0
        worker, self._worker = self._worker, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            if worker.poll() is None:
                worker.terminate()
                worker.send_signal(signal.SIGCONT)  # a plug-in may have stopped it
                worker.wait(_GRACE)
        if worker.returncode != -signal.SIGTERM:  # it could not end its job itself
            for group in [worker.pid] if self._job is None else [self._job.pid, worker.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        self._control.close()
        self._line.close()
        return worker.wait()
