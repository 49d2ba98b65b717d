"""The command ``beir``: reference rankers on BEIR sets, results in the leaderboard's form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from retrieval_bench.cli._app import MeasureSeconds, app, console, problems
from retrieval_bench.cli._each import EachSet
from retrieval_bench.errors import UsageError


@app.command(
    epilog="Examples: `retrieval-bench beir scifact` · `retrieval-bench beir --all --ranker lucene --ranker dense`"
)
def beir(
    sets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SET]...", help="BEIR sets by name, or folders in BEIR layout or of such."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All BEIR sets; those that cannot be had are skipped.")] = False,
    ranker: Annotated[list[str] | None, typer.Option(help="Ranker card; repeat for more.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder of the rankers that leave it open.")] = None,
    measure_seconds: MeasureSeconds = 1.0,
    out: Annotated[Path | None, typer.Option(help="Folder of runs and results (default: results/beir).")] = None,
) -> None:
    """Run reference rankers on BEIR sets and write results as the MTEB leaderboard has them."""
    from retrieval_bench.cli.progress import Progress
    from retrieval_bench.report import table
    from retrieval_bench.study.beir import RANKERS, beir_sets, run_beir

    if bool(sets) == every:
        raise UsageError("name BEIR sets, or all of them with --all")
    names = beir_sets() if every else sets or []
    each = EachSet(named=not every)
    with Progress(problems) as progress:
        for done in run_beir(
            names, rankers=ranker or RANKERS, encoder=encoder, seconds=measure_seconds, out=out, on_event=progress
        ):
            if done.means:
                console.print(_mean_table(done.dataset, done.means))
            elif done.run is None:
                each.tell(done.dataset, done.problem, absent=done.absent)
            else:
                console.print(table(done.run.records, done.run.summary))
                each.judge(done.run)
            for file in done.files:
                console.print(str(file), highlight=False, soft_wrap=True)
    each.leave()


def _mean_table(name: str, means: Mapping[str, Mapping[str, float]]) -> Table:
    metrics = list(next(iter(means.values())))
    shown = Table("ranker", *metrics, title=f"{escape(name)}: mean over its parts", title_justify="left")
    for ranker, values in means.items():
        shown.add_row(escape(ranker), *(f"{values[metric]:.4f}" for metric in metrics))
    return shown
