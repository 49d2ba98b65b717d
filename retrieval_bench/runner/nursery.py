"""The process that a system's jobs are forked from: its engines are imported once, each job runs in a clean copy."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from retrieval_bench.measure.memory import private_bytes
from retrieval_bench.runner import child
from retrieval_bench.runner.job import Events


def serve_jobs(descriptor: int, plugin: str, engines: Sequence[str]) -> None:
    """Fork a process for each line of standard input, a job, until it ends; tell its number, then its exit status.

    A module that cannot be imported is left to the job, which says why. Nothing else is done here, so that a job starts
    from imports and no more.

    Args:
        descriptor: pipe to the run, shared with the jobs.
        plugin: module of the system, imported beforehand.
        engines: modules that a load of the system would import; what memory they take is counted as the system's.
    """
    events = Events(descriptor)
    _import(plugin)
    before = private_bytes()
    for name in engines:
        _import(name)
    engine_bytes = private_bytes() - before if engines else 0
    gc.collect()
    gc.freeze()  # else each job's collections would touch, and so copy, the pages that it shares with this process
    for job in sys.stdin:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with(parent)
            _run(job, descriptor, engine_bytes)
        events.send(pid=pid)
        _, status = os.waitpid(pid, 0)
        events.send(exit=os.waitstatus_to_exitcode(status))


def _import(name: str) -> None:
    with contextlib.suppress(Exception):
        importlib.import_module(name)


def die_with(parent: int) -> None:
    """End this process when its parent ends, so that a killed run leaves none that goes on writing (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _run(job: str, descriptor: int, engine_bytes: int) -> NoReturn:
    """Run a job to its end and leave at once: all is on disk, and taking engines apart takes half a second."""
    status = 1
    try:
        child.main(job, descriptor, engine_bytes)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - its last line is the reason of the crash
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
