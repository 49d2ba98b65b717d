"""What the diagnostics work on: a finished trial with its data, values and answers; and how a section is given out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Table

from retrieval_bench.cli._app import console, strict_json
from retrieval_bench.errors import UsageError

if TYPE_CHECKING:
    from retrieval_bench.records.section import Section
    from retrieval_bench.types import Dataset, Hits, TrialRecord

Json = Annotated[bool, typer.Option("--json", help="As one JSON object.")]
Html = Annotated[Path | None, typer.Option("--html", help="Also write it as a section of HTML into this file.")]
Into = Annotated[Path | None, typer.Option("--out", help="Folder of a run whose report is to show this.")]
Metric = Annotated[str | None, typer.Option(help="Which measurement (default: the run's).")]


@dataclass(frozen=True, kw_only=True)
class Diagnosed:
    """A trial, its data as it was served, and its per-query values on held-out queries."""

    folder: Path
    trial: TrialRecord
    data: Dataset
    metric: str
    values: npt.NDArray[np.float64]

    def hits(self) -> Hits:
        """Its answers to the held-out queries, asked again."""
        from retrieval_bench.records import Store
        from retrieval_bench.runner.race import contender, served

        found = contender(Store(self.folder), self.trial, self.trial.system)
        if found is None:
            raise UsageError(f"the built index of trial {self.trial.trial_id} was removed; run the benchmark again")
        with served([found], sample_seconds=0.0) as running:
            return running[0].hits()


def diagnosed(name: str, out: Path, metric: str | None) -> Diagnosed:
    """A trial by its id, its beginning, or its system's name in the run.

    Raises:
        UsageError: the run or its data is not there, or the trial lacks the measurement.
    """
    from retrieval_bench.records import Store
    from retrieval_bench.runner.prepared import opened, prepared_folder

    store = Store(out)
    summary = store.summary()
    trial = store.named(name)
    folder = prepared_folder(trial.dataset_fingerprint)
    if not folder.exists():
        raise UsageError(f"{folder}: the prepared data was removed; run the benchmark again")
    metric = metric or summary.primary
    values = store.per_query(trial.trial_id, "test")
    if metric not in values:
        raise UsageError(f"trial {trial.trial_id} has no {metric}; it has {', '.join(sorted(values)) or 'no values'}")
    return Diagnosed(folder=out, trial=trial, data=opened(folder), metric=metric, values=values[metric])


def check_run(out: Path | None) -> None:
    """Before the work: whether the folder that is to keep its result is that of a run, so that a report shows it.

    Raises:
        UsageError: it holds no finished run.
    """
    from retrieval_bench.records import Store

    if out is not None:
        Store(out).summary()


def give(section: Section, *, as_json: bool, html: Path | None, run: Path | None = None) -> None:
    """Print a section, or give it as JSON; write it as HTML where asked; keep it with the run whose report shows it."""
    from retrieval_bench.files import write_text
    from retrieval_bench.records import Store
    from retrieval_bench.records.section import shown

    if run is not None:
        Store(run).write_section(section)
    if html is not None:
        write_text(html, section.html() + "\n")
    if as_json:
        typer.echo(strict_json(section.model_dump()))
        return
    console.print(section.title, style="bold", markup=False)
    for sentence in section.says:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if section.columns:
        table = Table(*section.columns)
        for row in section.rows:
            table.add_row(*(shown(cell) for cell in row))
        console.print(table)
