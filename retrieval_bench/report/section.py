"""A table with a title and remarks: how a protocol's result is shown on the terminal and on a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from retrieval_bench.files import write_text
from retrieval_bench.registry import missing
from retrieval_bench.report.text import ABSENT

Cell = str | float | None


@dataclass(frozen=True, kw_only=True)
class SectionColumn:
    """A column of a section.

    Attributes:
        title: e.g. ``WSS@95``.
        unit: below the title, e.g. ``%``.
        help: one sentence: what the figure is.
        digits: after the point.
        best: which value of a group is marked.
    """

    title: str
    unit: str = ""
    help: str = ""
    digits: int = 4
    best: Literal["highest", "lowest", "none"] = "none"

    def show(self, cell: Cell) -> str:
        """A cell as text."""
        if cell is None:
            return ABSENT
        return cell if isinstance(cell, str) else f"{cell:.{self.digits}f}"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that are compared with each other, e.g. those of one data set; a cell per column."""

    label: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table of results.

    Attributes:
        title: what was done, on what.
        columns: of the table.
        groups: its rows.
        remarks: how to read it: the protocol, where figures come from, what they are not.
    """

    title: str
    columns: Sequence[SectionColumn]
    groups: Sequence[Group]
    remarks: Sequence[str] = ()

    def is_best(self, group: Group, row: Sequence[Cell], place: int) -> bool:
        """Whether a row has the best value of its group in a column that has one."""
        kind = self.columns[place].best
        values = [cells[place] for cells in group.rows]
        numbers = [value for value in values if isinstance(value, float)]
        if kind == "none" or len(numbers) < 2:
            return False
        return row[place] == (max(numbers) if kind == "highest" else min(numbers))


def section_table(section: Section) -> Table:
    """For the terminal; the best of each group is bold."""
    table = Table(
        title=section.title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        caption="\n".join(section.remarks),
        caption_justify="left",
    )
    for place, column in enumerate(section.columns):
        numeric = any(isinstance(row[place], float) for group in section.groups for row in group.rows)
        title = Text(f"{column.title}\n{column.unit}" if column.unit else column.title)
        table.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for group in section.groups:
        table.add_row(Text(group.label, style="italic"))
        for row in group.rows:
            table.add_row(
                *(
                    Text(column.show(cell), style="bold" if section.is_best(group, row, place) else "")
                    for place, (column, cell) in enumerate(zip(section.columns, row, strict=True))
                )
            )
        table.add_section()
    return table


def write_sections(sections: Sequence[Section], path: Path, *, title: str, command: str = "") -> None:
    """Write sections as one self-contained page, atomically; no script in it, nothing is fetched.

    Args:
        sections: in the order to show.
        path: the file to write or replace.
        title: of the page.
        command: the command line that repeats it.

    Raises:
        UnavailableError: jinja2 is not installed.
        DataError: the file cannot be written.
    """
    try:
        from retrieval_bench.report.section_page import render
    except ModuleNotFoundError as error:
        raise missing("the HTML page", error) from error
    write_text(path, render(sections, title=title, command=command))
