"""The tournament as one self-contained page. Needs the extra ``report`` (jinja2), imported when a page is written."""

from __future__ import annotations

from pathlib import Path

from retrieval_bench.files import write_text
from retrieval_bench.registry import missing
from retrieval_bench.tournament.show import LEGEND, cells, chosen_on, columns
from retrieval_bench.tournament.standings import Tournament


def write_page(shown: Tournament, path: Path) -> None:
    """Write or replace the page, atomically.

    Raises:
        UnavailableError: jinja2 is not installed; says what to install.
        DataError: the file cannot be written.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise missing("the tournament's page", error) from error
    environment = Environment(
        loader=PackageLoader("retrieval_bench.tournament", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        shown=shown, columns=columns(shown), cells=cells, legend=LEGEND, exact=shown.exact, chosen_on=chosen_on(shown)
    )
    write_text(path, page)
