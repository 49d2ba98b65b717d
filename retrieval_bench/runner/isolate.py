"""Run one job in a fresh process, pinned and watched: wall clock, build time, private memory, Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from retrieval_bench.measure.memory import watched_bytes
from retrieval_bench.types import Outcome

POLL_SECONDS = 0.05
_LAST_LINES = 5

# Runs before anything is imported, so that every thread of every engine is pinned; the child dies with its parent,
# so that a killed run leaves no process that goes on writing.
_BOOTSTRAP = """
import json, os, sys
cpus, parent, events = json.loads(sys.argv[1])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, cpus)
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
from retrieval_bench.runner.child import main
main(sys.stdin.read(), events)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)  # all is on disk; taking engines apart would take half a second of every process
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


def run_isolated(job: str, *, threads: int, limits: Limits, on_event: Callable[[dict[str, Any]], None]) -> Exit:
    """Run ``child.main`` on a job (JSON) in a process of its own and wait for its end.

    A breach of a limit kills the process and is an outcome, not an exception; Ctrl-C kills it and goes on up.
    """
    result = Exit()
    read_end, write_end = os.pipe()
    place = json.dumps([sorted(pinned_cpus(threads)), os.getpid(), write_end])
    command = [sys.executable, "-c", _BOOTSTRAP, place]
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=thread_environment(threads),
            pass_fds=[write_end], start_new_session=True,
        )  # fmt: skip
        os.close(write_end)
        building = _Since()

        def listen() -> None:
            with os.fdopen(read_end, encoding="utf-8") as lines:
                for line in lines:
                    event = json.loads(line)
                    building.follow(event)
                    result.events.append(event)
                    on_event(event)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            assert process.stdin is not None  # noqa: S101 - narrows the type
            process.stdin.write(job.encode())
            process.stdin.close()
            breach = _watch(process, limits, start, building)
        except BaseException:
            _kill(process)
            raise
        listener.join(timeout=10)
        result.seconds = time.perf_counter() - start
        log.seek(0)
        tail = log.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
    if breach is not None:
        result.outcome, result.reason = breach
    elif process.returncode != 0:
        result.outcome, result.reason = "crashed", _crash(process.returncode, tail)
    return result


class _Since:
    """When the build began, while it goes on."""

    def __init__(self) -> None:
        self.start: float | None = None

    def follow(self, event: dict[str, Any]) -> None:
        if event.get("phase") == "build":
            self.start = time.perf_counter() if event["state"] == "start" else None


def _watch(
    process: subprocess.Popen[bytes], limits: Limits, start: float, building: _Since
) -> tuple[Outcome, str] | None:
    watched = psutil.Process(process.pid)
    while True:
        try:
            process.wait(POLL_SECONDS)
            return None
        except subprocess.TimeoutExpired:
            pass
        now = time.perf_counter()
        breach: tuple[Outcome, str] | None = None
        if now - start > limits.wall_seconds:
            breach = "timed_out", f"not finished after {limits.wall_seconds:g} s (--timeout)"
        elif limits.build_seconds and building.start and now - building.start > limits.build_seconds:
            breach = "over_budget", f"the build took more than {limits.build_seconds:g} s (build_seconds)"
        elif limits.peak_bytes:
            try:
                used = watched_bytes(watched)
            except psutil.Error:
                continue  # it has just ended; the next wait sees that
            if used > limits.peak_bytes:
                breach = "over_budget", f"private memory reached {used:,} of {limits.peak_bytes:,} bytes (peak_bytes)"
        if breach is not None:
            _kill(process)
            return breach


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _crash(code: int, tail: list[str]) -> str:
    said = tail[-1] if tail else "it said nothing"
    if code >= 0:
        return f"exit status {code}: {said}"
    name = signal.Signals(-code).name
    hint = " (SIGKILL that this run did not send: most often the system ran out of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}: {said}" if tail else f"killed by {name}{hint}"
