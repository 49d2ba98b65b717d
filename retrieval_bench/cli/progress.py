"""What a run is doing now, as one line and a bar on standard error; plain lines where that is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich import progress as rich_progress
from rich.console import Console


class Progress:
    """Follows the events of a run (``runner.run(on_event=...)``)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = rich_progress.Progress(
            rich_progress.SpinnerColumn(),
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: rich_progress.TaskID | None = None
        self._system = self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._bar.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        if "plan" in event:
            self._bar.start()  # only now: downloads and encoding show bars of their own before
            self._task = self._bar.add_task("", total=sum(len(trials) for _, trials in event["plan"]))
        if self._task is None:
            return
        if "system" in event:
            self._system = event["system"]
            done = event["planned"] - event["pending"]
            self._bar.advance(self._task, done)
            if not self._console.is_terminal:
                state = "already done" if not event["pending"] else f"{event['pending']} settings"
                self._console.print(f"{self._system}: {state}", highlight=False, markup=False)
        elif event.get("state") == "start":
            self._phase = event["phase"]
            self._bar.update(self._task, description=f"{self._system}: {self._phase}")
        elif "doing" in event:
            said = f"{event['doing']} {event['done']:,} of {event['of']:,}"
            self._bar.update(self._task, description=f"{self._system}: {self._phase}, {said}")
        elif event.get("phase") == "write":
            self._bar.advance(self._task)
        elif "outcome" in event:
            self._console.print(f"{self._system}: {event['outcome']}: {event['reason']}", highlight=False, markup=False)
