"""The command ``reproduce``: published figures, reached again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from retrieval_bench.cli._app import app, console, problems
from retrieval_bench.cli._each import EachSet
from retrieval_bench.cli._notes import tell_notes


@app.command(epilog="Examples: `retrieval-bench reproduce` · `retrieval-bench reproduce beir/scifact cacm-html`")
def reproduce(
    datasets: Annotated[
        list[str] | None, typer.Argument(metavar="[SET]...", help="Data sets with published figures (default: all).")
    ] = None,
) -> None:
    """Reach published figures through ordinary runs and say OK or the difference; a set that is not here is skipped.

    Ends with exit code 1 where a figure was not reached, be it that its system failed, or a named set is not here.
    """
    from retrieval_bench.cli.progress import Progress
    from retrieval_bench.study.reproduce import DIGITS, reproduce

    table = Table("data set", "system", "metric", "published", "found", "", "source")
    missed = 0
    reasons: dict[tuple[str, str], bool] = {}  # one line for each, below the table
    notes: dict[str, tuple[str, ...]] = {}
    with Progress(problems) as progress:
        for reached in reproduce(datasets or (), on_event=progress):
            missed += reached.missed
            notes[reached.dataset] = reached.notes
            if reached.problem:
                reasons[reached.dataset, reached.problem] = reached.absent
            table.add_row(
                reached.dataset,
                reached.system,
                reached.metric,
                f"{reached.value:.{DIGITS}f}" if reached.published else "",
                "" if reached.found is None else f"{reached.found:.{DIGITS}f}",
                "-" if reached.problem else reached.verdict,
                reached.source or "beside: difference from the published figure above",
            )
    console.print(table)
    tell_notes(notes.items())
    each = EachSet(named=bool(datasets))
    for (dataset, problem), absent in reasons.items():
        each.tell(dataset, problem, absent=absent)
    if missed:
        console.print(f"{missed} published figures were not reached", style="red")
        raise typer.Exit(1)
    each.leave()
