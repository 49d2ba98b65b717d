"""The command ``reproduce``: published figures, reached again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from retrieval_bench.cli._app import app, console, problems


@app.command(epilog="Examples: `retrieval-bench reproduce` · `retrieval-bench reproduce beir/scifact cacm-html`")
def reproduce(
    datasets: Annotated[
        list[str] | None, typer.Argument(metavar="[SET]...", help="Data sets with published figures (default: all).")
    ] = None,
) -> None:
    """Reach published figures through ordinary runs and say OK or the difference; a set that is not here is skipped."""
    from retrieval_bench.cli.progress import Progress
    from retrieval_bench.study.reproduce import DIGITS, reproduce

    table = Table("data set", "system", "metric", "published", "found", "", "source")
    missed = 0
    skipped: dict[str, None] = {}  # an ordered set: one line per reason, below the table
    with Progress(problems) as progress:
        for reached in reproduce(datasets or (), on_event=progress):
            missed += reached.published and reached.found is not None and reached.verdict != "OK"
            if reached.problem:
                skipped[f"{reached.dataset}: {reached.problem}"] = None
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
    for line in skipped:
        console.print(line, highlight=False, soft_wrap=True)
    if missed:
        console.print(f"{missed} published figures were not reached", style="red")
        raise typer.Exit(1)
