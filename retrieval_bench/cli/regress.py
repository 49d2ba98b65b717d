"""The command ``regress``: fail on a drop that the statistics support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from retrieval_bench.cli._app import app, console

if TYPE_CHECKING:
    from retrieval_bench.regress import Report


@app.command(
    epilog="Examples: `retrieval-bench regress --base main` · `retrieval-bench regress --base HEAD~1 "
    "--dataset glove-50 --index ivf_pq --rows 100000`"
)
def regress(
    base: Annotated[str, typer.Option(help="Revision to compare the working tree with.")],
    dataset: Annotated[str, typer.Option(help="As for `run`.")] = "synthetic",
    index: Annotated[list[str] | None, typer.Option(help="Index card; repeat for more.")] = None,
    ranker: Annotated[list[str] | None, typer.Option(help="Ranker card; repeat for more.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of every engine (default: one per core).")] = None,
    rows: Annotated[int | None, typer.Option(help="Use only the first so many vectors.")] = None,
    seconds: Annotated[
        float, typer.Option(help="After so long no further pair of processes is begun for a system.")
    ] = 120.0,
) -> None:
    """Build and serve base and head in turns; exit code 1 where head is shown to be worse, or a system not compared."""
    from retrieval_bench.regress import regress as run_gate

    def tell(report: Report) -> None:
        if report.refused:
            console.print(
                f"{report.system}: not compared: {report.refused}", highlight=False, markup=False, soft_wrap=True
            )
            return
        state = "WORSE" if report.complaints else "no drop seen"
        console.print(f"{report.system}: {state}", highlight=False, markup=False)
        for line in report.complaints:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        if report.speed is not None and report.speed.word != "worse":
            console.print(f"  {report.speed.text}", highlight=False, markup=False, soft_wrap=True)

    done = run_gate(
        base,
        dataset=dataset,
        indexes=index,
        rankers=ranker,
        threads=threads,
        rows=rows,
        seconds=seconds,
        on_report=tell,
    )
    if any(r.complaints or r.refused for r in done):
        raise typer.Exit(1)
