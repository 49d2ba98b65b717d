"""The commands ``codesearch`` and ``litsearch``: protocols over ordinary runs, which continue like those."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval_bench.cli._app import MeasureSeconds, app, console, problems
from retrieval_bench.cli._each import EachSet

if TYPE_CHECKING:
    from retrieval_bench.report.section import Section
    from retrieval_bench.runner.run import Run

Rankers = Annotated[list[str] | None, typer.Option("--ranker", help="Ranker card (name or path); repeat for more.")]
Encoder = Annotated[str | None, typer.Option(help="sentence-transformers model (default: the packaged MiniLM).")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Page = Annotated[Path | None, typer.Option("--html", help="Write the table as a page here.")]
OutFolder = Annotated[
    Path | None, typer.Option("--out", help="Folder of the runs (default: results in the home folder).")
]


@app.command(
    epilog="Examples: `retrieval-bench codesearch` · `retrieval-bench codesearch cosqa --html code.html` · "
    "`retrieval-bench codesearch ./CodeSearchNet/resources/data --ranker dense`"
)
def codesearch(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET|FOLDER]...",
            help="Data sets of functions, or a folder of CodeSearchNet's languages; none is pystdlib (to develop on), "
            "cosqa (the test), and the languages of CodeSearchNet that are here.",
        ),
    ] = None,
    ranker: Rankers = None,
    candidates: Annotated[
        int, typer.Option(help="Also the MRR among so many functions, as CodeSearchNet; 0 leaves it out.")
    ] = 1000,
    encoder: Encoder = None,
    seed: Seed = 0,
    measure_seconds: MeasureSeconds = 1.0,
    html: Page = None,
    out: OutFolder = None,
) -> None:
    """Code search by the protocols of CodeSearchNet and CoSQA: MRR and nDCG@10 of rankers."""
    from retrieval_bench.datasets import load_dataset
    from retrieval_bench.specs import system_card
    from retrieval_bench.study.codesearch import CodeSearch, among_others, codesearch_section, datasets_of
    from retrieval_bench.study.ordinary import FIRST_STAGE

    rankers = ranker or FIRST_STAGE
    for card in rankers:
        system_card(card, "ranker")  # a wrong name is an error of the call, not of each set
    found = []
    each = EachSet(named=bool(datasets))
    for name in datasets_of(datasets or ()):
        with each.attempt(name):
            run = _run(name, rankers, encoder, seed, measure_seconds, out)
            each.judge(run)
            if candidates:
                found.append(among_others(run, load_dataset(name), candidates=candidates, seed=seed))
            else:
                found.append(CodeSearch(run=run, candidates=0, among={}))
    if found:
        _show([codesearch_section(found)], html, "Code search")
    each.leave()


@app.command(
    epilog="Examples: `retrieval-bench litsearch` · `retrieval-bench litsearch LitSearch --ranker bm25 --ranker dense`"
)
def litsearch(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="LitSearch's folder or another text set; none is litsearch, or scifact-claims in its place."
        ),
    ] = None,
    ranker: Rankers = None,
    encoder: Encoder = None,
    seed: Seed = 0,
    measure_seconds: MeasureSeconds = 1.0,
    html: Page = None,
    out: OutFolder = None,
) -> None:
    """Literature search by the protocol of LitSearch: recall@5 and recall@20, specific and broad questions."""
    from retrieval_bench.datasets import load_dataset
    from retrieval_bench.study.litsearch import default_dataset, litsearch_section
    from retrieval_bench.study.ordinary import with_rerank

    name = dataset or default_dataset()
    run = _run(name, ranker or with_rerank(), encoder, seed, measure_seconds, out)
    _show([litsearch_section(run, load_dataset(name))], html, "Literature search")
    each = EachSet(named=True)
    each.judge(run)
    each.leave()


def _run(
    dataset: str, rankers: Sequence[str], encoder: str | None, seed: int, measure_seconds: float, out: Path | None
) -> Run:
    from retrieval_bench.cli.progress import Progress
    from retrieval_bench.datasets import place_name
    from retrieval_bench.measure.clock import Effort
    from retrieval_bench.runner.run import run

    with Progress(problems) as progress:
        return run(
            dataset, rankers=rankers, encoder=encoder, seed=seed, effort=Effort(seconds=measure_seconds),
            compare_speeds=False,
            out=None if out is None else out / place_name(dataset), progress=problems.is_terminal,
            command=shlex.join(["retrieval-bench", *sys.argv[1:]]), on_event=progress,
        )  # fmt: skip


def _show(sections: Sequence[Section], html: Path | None, title: str) -> None:
    from retrieval_bench.report.section import section_table, write_sections

    for section in sections:
        console.print(section_table(section))
    if html is not None:
        write_sections(sections, html, title=title, command=shlex.join(["retrieval-bench", *sys.argv[1:]]))
        console.print(f"Page: {html}", highlight=False, soft_wrap=True)
