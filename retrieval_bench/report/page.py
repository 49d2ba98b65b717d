"""The page of the HTML report: one file that opens from disk, with Plotly and its own style and script inside.

Three things keep a hostile name inert: the template escapes all text, data for the script is JSON without ``<``, and
the page's Content-Security-Policy runs no script but ours, known by hash, and lets nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files as package_files

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from retrieval_bench.records.section import Section
from retrieval_bench.records.section import shown as cell
from retrieval_bench.records.summary import RunSummary
from retrieval_bench.report import facts, text
from retrieval_bench.report.calls import calls_lines
from retrieval_bench.report.columns import MEMORY, OVERVIEW_RANK, columns, present
from retrieval_bench.report.figures import figures
from retrieval_bench.report.rows import failures, interval, per_vector, recall_name, rows
from retrieval_bench.types import TrialRecord


def render(records: Sequence[TrialRecord], summary: RunSummary, sections: Sequence[Section] = ()) -> str:
    """The report as HTML text.

    Args:
        records: the trials of the run, in the order they ran; may be empty.
        summary: the run as a whole.
        sections: what diagnostics said of it.

    Raises:
        UsageError: the summary names trials that are not among the records.
    """
    shown = rows(records, summary)
    winner = next((row for row in shown if row.mark == "winner"), None)
    drawn = figures(shown, records, summary)
    scripts = [_as_hashed(source) for source in ([get_plotlyjs()] if drawn else []) + [_resource("page.js")]]
    candidates = columns(summary.primary, recall_name(records))
    return (
        _environment()
        .get_template("template.html.j2")
        .render(
            summary=summary,
            metrics=text.METRICS,
            records=records,
            sections=sections,
            rows=shown,
            winner=winner,
            failures=failures(records),
            calls=[text.one_line(line) for line in calls_lines(shown, summary.primary)],
            columns=[c for c in present(candidates, [row.trial for row in shown]) if c.rank <= OVERVIEW_RANK],
            trial_columns=present(candidates, records),
            memory={name: title for name, title in MEMORY.items() if any(t.value(name) is not None for t in records)},
            figures=drawn,
            figure_data=htmlsafe_json_dumps([asdict(f) for f in drawn], allow_nan=False, separators=(",", ":")),
            style=Markup(_resource("page.css")),  # noqa: S704  (a file of this package)
            scripts=[Markup(script) for script in scripts],  # noqa: S704  (Plotly and a file of this package)
            script_hashes=[_csp_hash(script) for script in scripts],
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("retrieval_bench.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"text": text, "facts": facts, "interval": interval, "per_vector": per_vector, "cell": cell}
    return environment


def _resource(name: str) -> str:
    return package_files("retrieval_bench.report").joinpath(name).read_text(encoding="utf-8")


def _as_hashed(source: str) -> str:
    """Script text as the browser will hash it: a browser reads CR LF as LF."""
    return source.replace("\r\n", "\n")


def _csp_hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
