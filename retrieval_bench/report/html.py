"""Writing the HTML report. Its page needs the extra ``report`` (plotly, jinja2), imported when a report is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retrieval_bench.files import write_text
from retrieval_bench.records.section import Section
from retrieval_bench.records.summary import RunSummary
from retrieval_bench.registry import missing
from retrieval_bench.types import TrialRecord


def write_html(
    records: Sequence[TrialRecord], summary: RunSummary, path: Path, sections: Sequence[Section] = ()
) -> None:  # fmt: skip
    """Write the report of one run as one self-contained file of about 5 MB, atomically.

    The same input gives the same file.

    Args:
        records: the trials of the run, in the order they ran; none, or failed ones only, give a report that says so.
        summary: the run as a whole.
        path: the file to write or replace; missing folders are made.
        sections: what diagnostics said of the run, shown before its trials.

    Raises:
        UsageError: the summary names trials that are not among the records.
        UnavailableError: plotly or jinja2 is not installed; says what to install.
        DataError: the file cannot be written.
    """
    try:
        from retrieval_bench.report.page import render
    except ModuleNotFoundError as error:
        raise missing("the HTML report", error) from error
    write_text(path, render(records, summary, sections))
