"""How far long work is: a bar on a terminal; in a trial's process, which has none, events to the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS = 0.5  # between two events
_run: list[Callable[..., object]] = []  # who is told in this process; empty where nobody is


def progress_bar(*, shown: bool) -> Progress:
    """A bar on standard error, gone when done; nothing at all where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal))


def tell_run(send: Callable[..., object]) -> None:
    """From now on ``steps`` tells the run that started this process, by the keywords ``doing``, ``done`` and ``of``."""
    _run[:] = [send]


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far work of so many steps is, now and then.

    Args:
        what: is done.
        total: steps.

    Yields:
        To be called with the number of steps done since the last call.
    """
    done, told = 0, time.monotonic()
    with progress_bar(shown=not _run) as bar:
        task = bar.add_task(what, total=total)

        def advance(count: int) -> None:
            nonlocal done, told
            done += count
            bar.advance(task, count)
            if _run and time.monotonic() - told >= _SECONDS:
                told = time.monotonic()
                _run[0](doing=what, done=done, of=total)

        yield advance
