"""The command ``export-run``: a trial's answers as a TREC run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retrieval_bench.cli._app import Out, app, console, run_folder


@app.command(
    "export-run", epilog="Example: `retrieval-bench export-run bm25 bm25.run --out results/scifact`, then `score` it"
)
def export_run(
    trial: Annotated[str, typer.Argument(help="A system of the run, or a trial id or its beginning.")],
    file: Annotated[Path, typer.Argument(help="Where to write the run.")],
    out: Out = None,
) -> None:
    """Write a trial's answers to the test queries as a TREC run, which scores to the same figures anywhere."""
    from retrieval_bench.records import Store
    from retrieval_bench.runner.trec_run import export_run as write

    store = Store(run_folder(None, out))
    record = store.named(trial)
    lines = write(store, record, file)
    console.print(f"{record.system}: {lines:,} lines written to {file}", highlight=False, markup=False, soft_wrap=True)
