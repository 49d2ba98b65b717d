"""What a diagnostic says: sentences and a table, printable, kept with a run as JSON, and shown in its report."""

from __future__ import annotations

import math
from html import escape

from retrieval_bench.types import Frozen

Cell = str | float | int | None


class Section(Frozen):
    """The result of one diagnostic.

    Attributes:
        title: its name.
        says: plain sentences, the conclusion first.
        columns: of the table.
        rows: of the table; None where there is no figure.
    """

    title: str
    says: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()

    def html(self) -> str:
        """A ``<section>`` with nothing in it but escaped text."""
        head = "".join(f"<th>{escape(c)}</th>" for c in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(shown(v))}</td>" for v in row) + "</tr>" for row in self.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if self.columns else ""
        said = "".join(f"<p>{escape(s)}</p>" for s in self.says)
        return f"<section><h2>{escape(self.title)}</h2>{said}{table}</section>"


def shown(value: Cell) -> str:
    """A cell as text: four significant digits, a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
