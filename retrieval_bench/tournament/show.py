"""The tables of a tournament for the terminal, and its cells as text for the page."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from retrieval_bench.report.text import number, one_line, quality
from retrieval_bench.tournament.standings import Round, Standing, Tournament

LEGEND = "* advised   = tied with the best in this figure (randomization test, Holm, 5 %)"


def chosen_on(shown: Tournament) -> str:
    """Which queries the advice rests on, and which the figures."""
    if "tune" in shown.queries:
        return f"Advice is chosen on {shown.queries['tune']:,} tuning queries; all figures are of the test queries."
    return "There are no tuning queries: advice is chosen on the test queries, which flatters it."


def columns(shown: Tournament) -> tuple[str, ...]:
    """Headings, as ``cells`` fills them."""
    return ("", "method", *shown.exact.quality, "QPS", "bytes", "build s", "outcome")


def cells(standing: Standing, shown: Tournament, choice: str | None) -> tuple[str, ...]:
    """One row of a table, as text."""
    figures = []
    for name in shown.exact.quality:
        tie = " =" if name in standing.tied else "  "
        figures.append(quality(standing.quality.get(name)) + tie)
    return (
        "*" if standing.method == choice else "",
        standing.method,
        *figures,
        number(standing.qps),
        number(standing.bytes_per_vector),
        number(standing.build_seconds),
        standing.outcome if standing.outcome == "ok" else f"{standing.outcome}: {one_line(standing.reason)}",
    )


def tables(shown: Tournament) -> Iterator[RenderableType]:
    """What to print: a table for each budget with its advice, and exact search for comparison."""
    yield Text(
        f"{shown.dataset}: {shown.documents:,} vectors of {shown.dimensions} dimensions, "
        f"{shown.queries['test']:,} test queries",
        style="bold",
    )
    yield Text(chosen_on(shown), style="dim")
    yield Text(LEGEND, style="dim")
    for each in shown.rounds:
        yield _table(each, shown)
        yield Text(each.advice, style="bold")
        yield Text("")


def _table(each: Round, shown: Tournament) -> Table:
    table = Table(
        box=SIMPLE_HEAD, title=f"{each.bytes_per_vector:g} bytes per vector", title_justify="left", pad_edge=False
    )
    for place, heading in enumerate(columns(shown)):
        last = place == len(columns(shown)) - 1
        table.add_column(heading, justify="left" if place < 2 or last else "right", no_wrap=not last)
    for standing in each.standings:
        row = cells(standing, shown, each.choice)
        table.add_row(*map(Text, row), style="bold green" if row[0] else "" if standing.outcome == "ok" else "dim")
    table.add_section()
    table.add_row(*map(Text, cells(shown.exact.model_copy(update={"method": "exact", "tied": ()}), shown, None)))
    return table
