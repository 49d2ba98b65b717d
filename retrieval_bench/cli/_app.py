"""What the commands share. Exit codes: 0, 1 failure, 2 usage, 130 interrupted.

A command is a function in a file of this package, decorated with ``app.command``; ``cli/__init__`` imports the file.
Commands import what they need when they are called, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from retrieval_bench.errors import RetrievalBenchError, UsageError
from retrieval_bench.files import home

_INTERRUPTED = 130

app = typer.Typer(
    name="retrieval-bench",
    help="Which index and ranker to deploy: retrieval systems compared on your data under one budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
# A pipe or a log has no width of its own: there the tables get room for all their columns.
console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 180)
problems = Console(stderr=True)

Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run (default: results/DATASET in the home folder).")
]
Retry = Annotated[bool, typer.Option("--retry", help="Do trials again that did not end well.")]

MetricOption = Annotated[
    str | None,
    typer.Option("--metric", help="How vectors compare: ip, l2 or cos (default: what the data says, or l2)."),
]
AsMeasured = Annotated[
    bool,
    typer.Option("--as-measured", help="Where rows were held out to ask with: write the build without them."),
]


def _measurable(seconds: float) -> float:
    """Refuse what no system can be measured for at once, not after the data is loaded."""
    from retrieval_bench.measure.clock import Effort

    return Effort(seconds=seconds).seconds


MeasureSeconds = Annotated[
    float,
    typer.Option("--measure-seconds", help="Most seconds of repeats per setting and mode.", callback=_measurable),
]


def main() -> None:
    """Run the command line; a typed error is one line on standard error."""
    try:
        app(standalone_mode=True)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:  # which is all that is left of the KeyboardInterrupt
            problems.print("interrupted; the same command goes on where this one stopped", style="yellow")
        raise
    except UsageError as error:
        problems.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except RetrievalBenchError as error:
        problems.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def strict_json(value: object, *, indent: int | None = 1) -> str:
    """JSON that every reader takes: a figure that there is none of (NaN, infinite) is null."""
    return json.dumps(_finite(value), indent=indent, default=str, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run_folder(dataset: str | None, out: Path | None) -> Path:
    """The folder of the run that is meant: ``--out``, the folder given, a data set's, or the latest."""
    if out is not None:
        return out
    if dataset is not None:
        from retrieval_bench.datasets import place_name

        named = home() / "results" / dataset.replace("/", "-")
        found = (place for place in (Path(dataset), named) if (place / "run.json").exists())
        return next(found, None) or home() / "results" / place_name(dataset)
    runs = sorted(
        (p.parent for p in (home() / "results").glob("*/run.json")), key=lambda f: (f / "run.json").stat().st_mtime
    )
    if not runs:
        raise UsageError("there is no run yet; make one with `retrieval-bench run pystdlib`")
    return runs[-1]
