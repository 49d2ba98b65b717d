"""The command ``screening``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from retrieval_bench.cli._app import app, console, problems, strict_json
from retrieval_bench.cli._each import EachSet


@app.command(
    epilog="Examples: `retrieval-bench screening` · `retrieval-bench screening ace nudging --html screening.html` · "
    "`retrieval-bench screening ./my-reviews --ranker bm25 --starts 0`"
)
def screening(
    reviews: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REVIEW|FOLDER]...",
            help="A card's name, a CSV file, a folder of them (topics.jsonl holds what they are ranked for), or "
            "a CLEF TAR folder; none is every review at hand.",
        ),
    ] = None,
    ranker: Annotated[list[str] | None, typer.Option(help="Ranker card; repeat for more.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="What is ranked: title, abstract or title+abstract; repeat for more.")
    ] = None,
    learner: Annotated[
        list[str] | None,
        typer.Option(help="Active learning: 'NB + TF-IDF', 'LR + TF-IDF' or 'LR + dense'; repeat for more."),
    ] = None,
    starts: Annotated[int, typer.Option(help="Starts of active learning on each review; 0 leaves it out.")] = 15,
    jobs: Annotated[int, typer.Option(help="Processes to spread the starts over.")] = 1,
    encoder: Annotated[
        str | None, typer.Option(help="sentence-transformers model (default: the packaged MiniLM).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write the tables as a page here.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON here.")] = None,
) -> None:
    """Rank the records of systematic reviews, and read them by active learning: both ways in one table."""
    from retrieval_bench.files import write_text
    from retrieval_bench.registry import missing
    from retrieval_bench.report.section import section_table, write_sections
    from retrieval_bench.study.reviews import load_reviews

    try:
        from retrieval_bench.study.screening import RANKERS, Outcome, screen
        from retrieval_bench.study.screening_section import screening_sections
    except ModuleNotFoundError as error:
        raise missing("active learning", error) from error

    def tell(outcome: Outcome) -> None:
        said = outcome.problem or f"WSS@95 {outcome.measures['WSS@95']:.1f}"
        problems.print(
            f"{outcome.review}: {outcome.system} ({outcome.text}): {said}", highlight=False, markup=False, style="dim"
        )

    each = EachSet(named=bool(reviews))
    loaded = load_reviews(reviews or (), on_error=lambda place, error: each.tell(place, str(error)))
    if not loaded:
        each.leave()
    for review in loaded:
        for note in review.notes:
            problems.print(f"{review.source}: {note}", highlight=False, markup=False, style="yellow", soft_wrap=True)
    outcomes = screen(
        loaded, rankers=ranker or RANKERS, representations=text, learners=learner, starts=starts,
        encoder=encoder, seed=seed, jobs=jobs, on_outcome=tell,
    )  # fmt: skip
    sections = screening_sections(outcomes)
    for section in sections:
        console.print(section_table(section))
    if html is not None:
        command = shlex.join(["retrieval-bench", *sys.argv[1:]])
        write_sections(sections, html, title="Screening of systematic reviews", command=command)
        console.print(f"Page: {html}", highlight=False, soft_wrap=True)
    if as_json is not None:
        write_text(as_json, strict_json([asdict(outcome) for outcome in outcomes]) + "\n")
        console.print(f"Figures: {as_json}", highlight=False, soft_wrap=True)
    if not outcomes or any(outcome.problem for outcome in outcomes):
        raise typer.Exit(1)
    each.leave()
