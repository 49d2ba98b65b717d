"""Run jobs in fresh processes, pinned and watched: wall clock, build time, private memory, Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import psutil

from retrieval_bench.measure.memory import watched_bytes
from retrieval_bench.types import Outcome

POLL_SECONDS = 0.05
_LAST_LINES = 5

# Runs before anything is imported, so that every thread of every engine is pinned.
_BOOTSTRAP = """
import json, os, sys
cpus, parent, events, plugin, engines = json.loads(sys.argv[1])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, cpus)
from retrieval_bench.runner.nursery import die_with, serve_jobs
die_with(parent)
serve_jobs(events, plugin, engines)
"""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to end the process. None means never."""

    wall_seconds: float
    build_seconds: float | None = None
    peak_bytes: int | None = None


@dataclass(kw_only=True)
class Exit:
    """How the process ended.

    Attributes:
        outcome: ``ok`` also when the child itself reported a refusal (see ``events``).
        reason: one line, empty for ok.
        events: what the child reported, in order.
        seconds: wall time from start to end.
    """

    outcome: Outcome = "ok"
    reason: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def thread_environment(threads: int) -> dict[str, str]:
    """The environment in which every engine uses this many threads and asks no model hub."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads)), "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1"}  # fmt: skip


def pinned_cpus(threads: int) -> set[int]:
    """The first ``threads`` processors that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return set(range(threads))
    return set(sorted(os.sched_getaffinity(0))[:threads])


class Isolation:
    """Runs the jobs of one system, each in a process of its own; they share no more than imported engines.

    A context manager; its nursery (see there) starts with the first job, and again after one that had to be killed.

    Args:
        threads: of every engine; the processes are pinned to as many processors.
        plugin: module of the system to import once for all jobs.
        engines: modules to import likewise (see ``nursery``).
    """

    def __init__(self, threads: int, plugin: str, engines: Sequence[str] = ()) -> None:
        self._threads, self._plugin, self._engines = threads, plugin, list(engines)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._log.close()

    def run(self, job: str, limits: Limits, on_event: Callable[[dict[str, Any]], None]) -> Exit:
        """Run ``child.main`` on a job (JSON, one line) and wait for its end.

        A breach of a limit kills the process and is an outcome, not an exception; Ctrl-C kills it and goes on up.
        """
        result, building = Exit(), _Since()
        start, said = time.perf_counter(), self._log.seek(0, os.SEEK_END)
        watched: psutil.Process | None = None
        code: int | None = None
        breach: tuple[Outcome, str] | None = None
        try:
            process = self._started()
            assert process.stdin is not None  # noqa: S101 - narrows the type
            with contextlib.suppress(BrokenPipeError):  # then its end is read below
                process.stdin.write(job.encode() + b"\n")
                process.stdin.flush()
            for event in self._events():
                if event is None:
                    breach = _breach(limits, time.perf_counter() - start, building, watched)
                    if breach is not None:
                        break
                elif "pid" in event:
                    with contextlib.suppress(psutil.Error):  # it may have ended already
                        watched = psutil.Process(event["pid"])
                elif "exit" in event:
                    code = event["exit"]
                    break
                else:
                    building.follow(event)
                    result.events.append(event)
                    on_event(event)
        except BaseException:
            self._kill()
            raise
        if code is None:
            code = self._kill()
        result.seconds = time.perf_counter() - start
        self._log.seek(said)
        tail = self._log.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        if breach is not None:
            result.outcome, result.reason = breach
        elif code != 0:
            result.outcome, result.reason = "crashed", _crash(code, tail)
        return result

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._read_end, write_end = os.pipe()
            cpus = sorted(pinned_cpus(self._threads))
            place = json.dumps([cpus, os.getpid(), write_end, self._plugin, self._engines])
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP, place], stdin=subprocess.PIPE, stdout=self._log, stderr=self._log,
                env=thread_environment(self._threads), pass_fds=[write_end], start_new_session=True,
            )  # fmt: skip
            os.close(write_end)
        return self._process

    def _events(self) -> Iterator[dict[str, Any] | None]:
        """What the processes report, and None whenever they said nothing for a while; ends when all have ended."""
        rest = b""
        while True:
            if not select.select([self._read_end], [], [], POLL_SECONDS)[0]:
                yield None
                continue
            read = os.read(self._read_end, 1 << 16)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            yield from map(json.loads, lines)
            yield None  # a process that reports without end is watched all the same

    def _kill(self) -> int:
        """End the nursery and what it started; its exit status, which is that of a kill where it was at work."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        ended = process.poll()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            process.communicate()
        os.close(self._read_end)
        return process.returncode if ended is None else ended


class _Since:
    """When the build began, while it goes on."""

    def __init__(self) -> None:
        self.start: float | None = None

    def follow(self, event: dict[str, Any]) -> None:
        if event.get("phase") == "build":
            self.start = time.perf_counter() if event["state"] == "start" else None


def _breach(
    limits: Limits, seconds: float, building: _Since, watched: psutil.Process | None
) -> tuple[Outcome, str] | None:
    if seconds > limits.wall_seconds:
        return "timed_out", f"not finished after {limits.wall_seconds:g} s (--timeout)"
    if limits.build_seconds and building.start and time.perf_counter() - building.start > limits.build_seconds:
        return "over_budget", f"the build took more than {limits.build_seconds:g} s (build_seconds)"
    if limits.peak_bytes and watched is not None:
        with contextlib.suppress(psutil.Error):  # it has just ended; the next event says so
            used = watched_bytes(watched)
            if used > limits.peak_bytes:
                return "over_budget", f"private memory reached {used:,} of {limits.peak_bytes:,} bytes (peak_bytes)"
    return None


def _crash(code: int, tail: list[str]) -> str:
    said = tail[-1] if tail else "it said nothing"
    if code >= 0:
        return f"exit status {code}: {said}"
    name = signal.Signals(-code).name
    hint = " (SIGKILL that this run did not send: most often the system ran out of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}: {said}" if tail else f"killed by {name}{hint}"
