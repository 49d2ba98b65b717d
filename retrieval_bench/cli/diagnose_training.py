"""The commands ``diagnose ...`` that set a trial against training data: was the test near to it, or even in it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retrieval_bench.cli._app import Out, run_folder
from retrieval_bench.cli._diagnosed import Html, Json, Metric, diagnosed, give
from retrieval_bench.cli.diagnose import Trial, diagnose
from retrieval_bench.errors import UsageError


@diagnose.command(epilog="Example: `retrieval-bench diagnose generalisation dense --out results/scifact`")
def generalisation(
    trial: Trial, metric: Metric = None, as_json: Json = False, html: Html = None, out: Out = None
) -> None:
    """Interpolation and extrapolation: quality on the test queries nearest to training queries, and on the farthest."""
    from retrieval_bench.diagnostics.interpolation import generalisation as resampled
    from retrieval_bench.diagnostics.interpolation import similarity_to_training
    from retrieval_bench.records.section import Section

    found = diagnosed(trial, run_folder(None, out), metric)
    learnt = found.data.queries.get("train")
    if learnt is None:
        raise UsageError(f"{found.data.name} has no training queries: nothing to be near to or far from")
    asked = found.data.queries["test"]
    near = similarity_to_training(asked.require_vectors(), learnt.require_vectors())
    both = resampled(found.values, near)
    low, high = both.drop_interval
    section = Section(
        title=f"Interpolation and extrapolation of {found.metric}: {found.trial.system}",
        says=(f"The drop from near to far queries is {both.interpolation - both.extrapolation:+.4f} "
              f"({low:+.4f} to {high:+.4f}).",),
        columns=("queries", found.metric, "low", "high", "n"),
        rows=(("nearest to training queries", both.interpolation, *both.interpolation_interval, both.n),
              ("farthest from them", both.extrapolation, *both.extrapolation_interval, both.n)),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)


@diagnose.command(epilog="Example: `retrieval-bench diagnose contamination dense training.txt --out results/pystdlib`")
def contamination(
    trial: Trial,
    training: Annotated[Path, typer.Argument(help="Training data, one text a line.")],
    n: Annotated[int, typer.Option("--n", help="Words of a shared n-gram.")] = 8,
    metric: Metric = None, as_json: Json = False, html: Html = None, out: Out = None,
) -> None:  # fmt: skip
    """What test queries share with training data, and whether scores are higher where they do."""
    from retrieval_bench.diagnostics.contamination import benefit, overlap
    from retrieval_bench.records.section import Section

    found = diagnosed(trial, run_folder(None, out), metric)
    if not training.is_file():
        raise UsageError(f"{training}: there is no such file; give training data with one text a line")
    asked = found.data.queries["test"]
    with training.open(encoding="utf-8", errors="replace") as lines:
        shared = overlap(asked.require_texts(), lines, n=n)
    dirty = shared.share > 0
    gain, low, high = benefit(found.values, dirty)
    worst = sorted(range(len(asked)), key=lambda i: -int(shared.longest[i]))[:10]
    section = Section(
        title=f"Contamination: {found.data.name}, {found.trial.system}",
        says=(f"{dirty.mean():.1%} of the queries share {n} words in a row (or are shorter and wholly found) with the "
              "training data.",
              f"{found.metric} of these minus that of the others: {gain:+.4f} ({low:+.4f} to {high:+.4f})."),
        columns=("query", "longest shared span, words", "share of its words"),
        rows=tuple((asked.ids[i], int(shared.longest[i]), float(shared.share[i])) for i in worst if dirty[i]),
    )  # fmt: skip
    give(section, as_json=as_json, html=html, run=found.folder)
