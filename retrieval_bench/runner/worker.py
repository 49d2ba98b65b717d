"""The process that jobs are forked from: engines are imported once, and nothing that a job started outlives it.

Run as a script, with the package that PYTHONPATH names: a regression gate runs this very file against an older revision
of the package. So it stands alone; what it asks of that package is asked by ``turns.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import psutil

_TURNS = Path(__file__).with_name("turns.py")
_PDEATHSIG, _CHILD_SUBREAPER = 1, 36  # of prctl(2)


class Line:
    """Lines of JSON between a job and the run, on a socket of their own: an engine's prints cannot mix in."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def send(self, **said: object) -> None:
        """Tell the run."""
        self._socket.sendall(json.dumps(said).encode() + b"\n")

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell the run when a phase begins and ends."""
        self.send(phase=name, state="start")
        yield
        self.send(phase=name, state="end")

    def commands(self) -> Iterator[dict[str, Any]]:
        """What the run asks for, one after another, until it has no more."""
        for command in self._socket.makefile("r", encoding="utf-8"):
            yield json.loads(command)


def main(
    cpus: Sequence[int], parent: int, control: int, line: int, imports: Sequence[str], engines: Sequence[str]
) -> None:
    """Fork a process for each job that is asked for, tell its number, and its exit status when all of it has ended.

    A module that cannot be imported is left to the job, which says why. Nothing else is done here, so that a job starts
    from imports and no more.

    Args:
        cpus: that all of it may use.
        parent: number of the run's process, whose end is this one's.
        control: socket on which jobs come and their ends are told; jobs do not have it.
        line: socket of the jobs (see ``Line``).
        imports: modules to import beforehand.
        engines: modules that a load of the system would import; what memory they take is counted as the system's.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)  # before any import, so that every thread of every engine is pinned
    for number in (signal.SIGTERM, signal.SIGHUP):  # the latter comes where the run ends while this process is stopped
        signal.signal(number, _ended)
    _prctl(_CHILD_SUBREAPER, 1)  # who leaves a job's process group, or its parent, is still found here
    _end_with(parent, signal.SIGTERM)
    run = socket.socket(fileno=control)
    engine_bytes = _import(imports, engines)
    gc.collect()
    gc.freeze()  # else each job's collections would touch, and so copy, the pages that it shares with this process
    for job in run.makefile("r", encoding="utf-8"):
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.close(control)
            os.setsid()  # what it sends to its process group stays there
            _end_with(me, signal.SIGKILL)
            _do(job, Line(line), engine_bytes)
        run.sendall(b'{"pid": %d}\n' % pid)
        code = _waited_for(pid)
        _end_children()
        run.sendall(b'{"exit": %d}\n' % code)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_with(parent: int, how: signal.Signals) -> None:
    """Get a signal when the parent ends, so that a killed run leaves no process that goes on writing (Linux)."""
    _prctl(_PDEATHSIG, how)
    if os.getppid() != parent:
        os._exit(1)


def _import(imports: Sequence[str], engines: Sequence[str]) -> int:
    """Import all; the private bytes that the engines took."""
    for name in imports:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    before = psutil.Process().memory_full_info().uss if engines else 0
    for name in engines:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return psutil.Process().memory_full_info().uss - before if engines else 0


def _do(job: str, line: Line, engine_bytes: int) -> NoReturn:
    """Run a job to its end and leave at once: all is on disk, and taking engines apart takes half a second."""
    status = 1
    try:
        asked = json.loads(job)
        if asked["stage"] == "turns":
            runpy.run_path(str(_TURNS))["main"](asked, line)
        else:
            from retrieval_bench.runner import child

            child.main(job, line, engine_bytes)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
        traceback.print_exc()
    except BaseException:  # noqa: BLE001 - its last line is the reason of the crash
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # the plug-in may have closed them
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _waited_for(job: int) -> int:
    """Its exit status. Orphans of the job become children of this process: they are waited for as well."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == job:
            return os.waitstatus_to_exitcode(status)


def _end_children() -> None:
    """Kill what is left of a job. Killing a child makes its children ours, until none is left."""
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                child.kill()
        time.sleep(0.001)


def _ended(number: int, _frame: object) -> None:
    """The run has ended, or wants this to end: as after that signal, but not before the jobs are gone."""
    _end_children()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
