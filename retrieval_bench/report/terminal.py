"""The table at the end of a run: one row per system, then the budget, the winner, what failed and where time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from retrieval_bench.records.summary import RunSummary
from retrieval_bench.report import text
from retrieval_bench.report.calls import calls_lines
from retrieval_bench.report.columns import Column, columns, present
from retrieval_bench.report.rows import Row, failures, recall_name, rows
from retrieval_bench.types import TrialRecord

# Marks and text are plain ASCII wherever that costs nothing, and nothing is said by colour alone: output goes
# through pipes and into logs. Every cell is a Text, so that no name is ever read as markup.
_MARKS = {"winner": "*", "tied": "=", "": ""}
_STYLES = {"winner": "bold green", "tied": "green", "": ""}
_SECTIONS = {"index": "Vector indexes", "ranker": "Rankers"}
_SYSTEM_WIDTH = 28  # longer names of systems are folded
_SETTING_WIDTH = 20  # the setting is folded to this before a column is left out


def table(records: Sequence[TrialRecord], summary: RunSummary) -> RenderableType:
    """What to print after a run. Fits the width it is printed at: see ``_Table``.

    Args:
        records: the trials of one run, in the order they ran.
        summary: the run as a whole.

    Returns:
        Something for ``rich.console.Console.print``.

    Raises:
        UsageError: the summary names trials that are not among the records.
    """
    return _Report(rows(records, summary), records, summary)


class _Report:
    def __init__(self, shown: Sequence[Row], records: Sequence[TrialRecord], summary: RunSummary) -> None:
        self._rows, self._records, self._summary = shown, records, summary

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for part in [*self._sections(console, options), *_closing(self._rows, self._records, self._summary)]:
            if options.ascii_only and isinstance(part, Text):
                part.plain = _ascii(part.plain)
            yield part

    def _sections(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        summary = self._summary
        if not self._rows:
            yield Text(f"No trial was recorded on {text.one_line(summary.dataset)}: there is nothing to compare.")
            return
        for kind, title in _SECTIONS.items():
            section = [row for row in self._rows if row.trial.kind == kind]
            if not section:
                continue
            by = f" by {text.METRICS[summary.metric]}" if summary.metric and kind == "index" else ""
            yield Text(f"{title} on {text.one_line(summary.dataset)}{by}, each at its chosen setting", style="bold")
            trials = [row.trial for row in section]
            measured = present(columns(summary.primary, recall_name(trials)), trials)
            grid, left_out = _fitting(section, measured, console, options)
            yield grid
            if left_out:
                names = ", ".join(" ".join(filter(None, (c.title, c.unit))) for c in left_out)
                left = (
                    f"Left out at {options.max_width} columns: {names}. A wider terminal or the HTML report has them."
                )
                yield Text(left, style="dim")
            yield Text("")


def _fitting(
    section: Sequence[Row], measured: Sequence[Column], console: Console, options: ConsoleOptions
) -> tuple[Table, list[Column]]:
    """The fullest table that fits: settings are folded first, then columns go, least important first.

    Returns:
        The table, and the columns left out in order of display.
    """
    unlimited = options.update(max_width=10_000)
    by_rank = sorted(measured, key=lambda column: column.rank)
    for count in range(len(measured), 0, -1):
        kept = [c for c in measured if c in by_rank[:count]]
        for setting_width in (None, _SETTING_WIDTH):
            grid = _grid(section, kept, setting_width, options)
            if Measurement.get(console, unlimited, grid).maximum <= options.max_width:
                return grid, [c for c in measured if c not in kept]
    return _grid(section, by_rank[:1], _SETTING_WIDTH, options), [c for c in measured if c not in by_rank[:1]]


def _grid(section: Sequence[Row], shown: Sequence[Column], setting_width: int | None, options: ConsoleOptions) -> Table:
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    grid.add_column("", no_wrap=True, min_width=1)
    grid.add_column("system", overflow="fold", max_width=_SYSTEM_WIDTH)
    grid.add_column("setting", overflow="fold", max_width=setting_width)
    for column in shown:
        grid.add_column(Text(_fitted(f"{column.title}\n{column.unit}", options)), justify="right", no_wrap=True)
    grid.add_column("outcome", no_wrap=True)
    for row in section:
        name, setting = text.one_line(row.trial.system), text.short_setting(row.trial, row.trials)
        cells = [_MARKS[row.mark], name, setting, *(column.show(row.trial) for column in shown), _outcome(row)]
        style = _STYLES[row.mark] if row.trial.outcome == "ok" else "yellow"
        grid.add_row(*(Text(_fitted(cell, options)) for cell in cells), style=style)
    return grid


def _fitted(content: str, options: ConsoleOptions) -> str:
    return _ascii(content) if options.ascii_only else content


def _ascii(content: str) -> str:
    return content.replace("±", "+/-").encode("ascii", "replace").decode()


def _outcome(row: Row) -> str:
    """The outcome, with how many settings passed when not all did."""
    some_failed = 0 < row.passed < len(row.trials)
    return row.trial.outcome + (f" {row.passed}/{len(row.trials)}" if some_failed else "")


def _closing(shown: Sequence[Row], records: Sequence[TrialRecord], summary: RunSummary) -> Iterator[Text]:
    meanings = {"winner": "winner", "tied": f"tied with the best in {summary.primary}"}
    marks = {row.mark for row in shown}
    if legend := [f"{_MARKS[mark]} {meaning}" for mark, meaning in meanings.items() if mark in marks]:
        yield Text("   ".join(legend))
    for note in summary.notes:
        yield _line("Data", text.one_line(note), style="yellow")
    yield _line("Budget", text.budget_line(summary.budget))
    winner = next((row for row in shown if row.mark == "winner"), None)
    if winner is None:
        yield _line("Winner", f"none. {text.one_line(summary.why)}", style="bold yellow")
    else:
        setting = text.short_setting(winner.trial, winner.trials)
        name = f"{text.one_line(winner.trial.system)} ({setting}), trial {winner.trial.trial_id}."
        yield _line("Winner", f"{name} {text.one_line(summary.why)}", style="bold green")
        if summary.selected_on == "test":
            yield _line(
                "Caution",
                "settings were chosen on the queries that are reported, so figures are optimistic; "
                "--tune-share 0.5 chooses on half of them and reports the others",
            )
    for row in shown:
        if row.trial.outcome == "ok" and row.trial.value(summary.primary) == 0:
            said = next(iter(row.trial.notes), "")
            yield _line("Found nothing", text.one_line(f"{row.trial.system}, {summary.primary} 0. {said}"), "yellow")
    for line in calls_lines(shown, summary.primary):
        yield _line("Calls", text.one_line(line))
    failed = failures(records)
    for failure in failed:
        yield _line("Failed", text.failure_line(failure), style="yellow")
    if summary.wall_seconds:
        phases = ", ".join(f"{text.one_line(name)} {text.duration(s)}" for name, s in summary.wall_seconds.items())
        total = text.duration(sum(summary.wall_seconds.values()))
        overhead = summary.overhead_percent
        share = "" if overhead is None else f"; overhead {overhead:.1f} %"
        yield _line("Time", f"{total}: {phases}{share}")


def _line(title: str, content: str, style: str = "") -> Text:
    return Text.assemble((f"{title}: ", style or "bold"), content)
