"""The command ``score``: a TREC run and judgments in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from retrieval_bench.cli._app import strict_json
from retrieval_bench.comparison.scored_file import scored_file
from retrieval_bench.quality import mean, tie_note
from retrieval_bench.statistics import mean_interval

DEFAULT_METRICS = ("nDCG@10", "recall@100", "MRR@10", "MAP", "P@10", "success@10", "judged@10")


def print_scores(
    console: Console,
    run_file: Path,
    qrels_file: Path,
    metrics: Sequence[str] | None,
    *,
    per_query: bool,
    as_json: bool,
) -> None:
    """Print means with 95 % intervals, and each query's values where asked for."""
    scores = scored_file(run_file, qrels_file, metrics or DEFAULT_METRICS)
    values = scores.values
    if as_json:
        shown: dict[str, object] = {name: mean(v) for name, v in values.items()}
        if per_query:
            shown = {
                "mean": shown,
                "queries": {n: dict(zip(scores.query_ids, map(float, v), strict=True)) for n, v in values.items()},
            }
        typer.echo(strict_json(shown))
        return
    table = Table("metric", "mean", "95 % interval", "queries")
    for name, column in values.items():
        low, high = mean_interval(column)
        interval = f"{low:.4f} to {high:.4f}" if len(column) > 1 else "none of one query"
        table.add_row(name, f"{mean(column):.4f}", interval, str(len(column)))
    console.print(table)
    for count, what in ((scores.unanswered, "judged queries are not in the run: they score 0"),
                        (scores.unjudged, "queries of the run have no judgment: they are left out")):  # fmt: skip
        if count:
            console.print(f"{count} {what}", highlight=False)
    if not scores.judged:
        console.print("no document of the run is judged: do its ids and those of the judgments belong together?")
    if said := tie_note(scores.ties):
        console.print(f"ties: {said}", highlight=False, markup=False)
    if per_query:
        each = Table("query", *values)
        for i, query in enumerate(scores.query_ids):
            each.add_row(escape(query), *(f"{column[i]:.4f}" for column in values.values()))
        console.print(each)
