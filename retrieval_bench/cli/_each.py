"""What a command over several sets does about one that fails: a line, the others, and exit code 1 at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from retrieval_bench.cli._app import problems
from retrieval_bench.errors import RetrievalBenchError, UnavailableError

if TYPE_CHECKING:
    from retrieval_bench.runner.run import Run


class EachSet:
    """Counts the sets that failed. One that is not on this machine failed only where it was asked for by name."""

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._failed = 0

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Work on one set; an error that concerns it is told, and the command goes on."""
        try:
            yield
        except RetrievalBenchError as error:
            self.tell(name, str(error), absent=isinstance(error, UnavailableError))

    def tell(self, name: str, reason: str, *, absent: bool = False) -> None:
        """One line on standard error for a set without results.

        Args:
            name: of the set.
            reason: what is wrong with it, in one line.
            absent: whether it is not on this machine.
        """
        skipped = absent and not self._named
        self._failed += not skipped
        style = "yellow" if skipped else "red"
        line = f"{name}: {'skipped' if skipped else 'failed'}: {reason.removeprefix(f'{name}: ')}"
        problems.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def judge(self, run: Run) -> None:
        """Count a set on which no system found anything."""
        if run.summary.winner is None:
            self.tell(run.summary.dataset, run.summary.why)

    def leave(self) -> None:
        """End the command with exit code 1 where a set failed."""
        if self._failed:
            raise typer.Exit(1)
