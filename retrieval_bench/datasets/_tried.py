"""Something tried in a process of its own first, for libraries that loop or crash on damaged files."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress

_CPU_SECONDS, _WALL_SECONDS = 3, 120


def tried(call: Callable[[], object], *, cpu_seconds: int = _CPU_SECONDS) -> str:
    """What became of a call in a forked process: empty where it came to an end, in an exception too.

    An endless loop uses up its processor time there, and a crash ends nothing but that process.

    Args:
        call: without effect but on the process it runs in, and starting no threads.
        cpu_seconds: processor time that it may take.

    Returns:
        Why it did not end, as part of a sentence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, which the call does not use
        child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()  # a crash is told by the one who waits
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_WALL_SECONDS)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
            with suppress(Exception):
                call()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return ""
    ended = os.WTERMSIG(status)
    looped = ended in (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM)
    return "reading it does not come to an end" if looped else f"reading it crashes ({signal.Signals(ended).name})"
