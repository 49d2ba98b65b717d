"""The command ``tournament``: every codec under the same budgets of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retrieval_bench.cli._app import Retry, app, console, problems


@app.command(
    epilog="Examples: `retrieval-bench tournament beir/scifact --bytes 16 32 64 128 256` · "
    "`retrieval-bench tournament glove-50 --rows 50000 --bytes 25 --codec pq --codec opq`",
    context_settings={"allow_extra_args": True},
)
def tournament(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="A card's name, an ir_datasets name, or a path, as for `run`.")],
    bytes_per_vector: Annotated[
        list[float] | None,
        typer.Option("--bytes", help="Budgets: index bytes per vector, one or more (default: 16 32 64 128 256)."),
    ] = None,
    codec: Annotated[list[str] | None, typer.Option(help="Codec that takes part; repeat for more.")] = None,
    traffic: Annotated[
        Path | None, typer.Option(help="One count per document (npy, parquet, csv): what is asked for most.")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="As for `run`.")] = None,
    rows: Annotated[int | None, typer.Option(help="Use only the first so many vectors.")] = None,
    queries: Annotated[int | None, typer.Option(help="Use only the first so many queries of each split.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of every engine (default: one per core).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    retry: Retry = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder (default: results/DATASET-tournament in the home folder).")
    ] = None,
) -> None:
    """Compare all compression methods under equal bytes, and say which to use at each budget."""
    from retrieval_bench.cli.progress import Progress
    from retrieval_bench.errors import UsageError
    from retrieval_bench.tournament import BUDGETS, play, tables
    from retrieval_bench.tournament.page import write_page

    try:  # the numbers after the first of `--bytes 16 32 64` arrive as arguments that are left over
        budgets = [*(bytes_per_vector or ()), *map(float, context.args)]
    except ValueError as error:
        raise UsageError(f"unexpected argument: {error}") from error
    if context.args and not bytes_per_vector:
        raise UsageError(f"unexpected arguments: {' '.join(context.args)}")
    with Progress(problems) as progress:
        done = play(
            dataset, budgets=budgets or BUDGETS, codecs=codec, traffic=traffic, encoder=encoder, rows=rows,
            queries=queries, threads=threads, seed=seed, out=out, retry=retry,
            progress=problems.is_terminal, on_event=progress,
        )  # fmt: skip
    for part in tables(done):
        console.print(part)
    write_page(done, done.folder / "tournament.html")
    console.print(f"Report: {done.folder / 'tournament.html'}", highlight=False, soft_wrap=True)
    if all(each.choice is None for each in done.rounds):
        raise typer.Exit(1)
