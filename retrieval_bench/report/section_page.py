"""The page of ``write_sections``; needs jinja2."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files as package_files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from retrieval_bench.report.section import Section


def render(sections: Sequence[Section], *, title: str, command: str) -> str:
    """The page as HTML text; the template escapes everything that it is given."""
    environment = Environment(
        loader=PackageLoader("retrieval_bench.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = package_files("retrieval_bench.report").joinpath("page.css").read_text(encoding="utf-8")
    return environment.get_template("section.html.j2").render(
        sections=sections,
        title=title,
        command=command,
        style=Markup(style),  # noqa: S704  (a file of this package)
    )
