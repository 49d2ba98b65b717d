"""The command ``compare``: one plain verdict."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from retrieval_bench.cli._app import Out, app, console, strict_json

_SIDE = "A trial id, a system of the run --out, a run's folder (its winner), or a TREC run."


@app.command(
    epilog="Examples: `retrieval-bench compare ivf_pq hnsw --out results/glove-50` · "
    "`retrieval-bench compare mine.run theirs.run --qrels qrels.txt --metric nDCG@10` · "
    "`retrieval-bench compare 3f2a 91bc --within 1`"
)
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    b: Annotated[str, typer.Argument(metavar="B", help="Likewise.")],
    qrels: Annotated[Path | None, typer.Option(help="Judgments, for TREC runs.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="What to compare (default: nDCG@10, without judgments neighbor_recall@10).")
    ] = None,
    within: Annotated[float | None, typer.Option(help="Also: is A as good as B within so many percent?")] = None,
    speed: Annotated[bool, typer.Option(help="Measure both in turns, where both are built.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    out: Out = None,
) -> None:
    """Say whether A is better than B: by how much, and how sure that is."""
    from retrieval_bench.comparison import compare as judge

    share = None if within is None else within / 100
    verdict = judge(a, b, out=out, qrels=qrels, metric=metric, within=share, speed=speed)
    if as_json:
        typer.echo(strict_json({"verdict": verdict.word, **asdict(verdict)}))
        return
    for line in verdict.lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
