"""The figures of the HTML report as plain Plotly specifications: frontiers of quality against cost, and latency.

Colours that depend on the reader's light or dark theme are left to the page's script.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval_bench.records.summary import RunSummary
from retrieval_bench.report import text
from retrieval_bench.report.rows import Better, Row, finite, pareto, per_vector, recall_name
from retrieval_bench.types import TrialRecord

# The palette of Okabe and Ito (2008), made for colour-blind readers, its light tones darkened so that every colour
# has a contrast of 3 to 1 against a white and a near-black page; systems also differ by marker and by dash.
_COLOURS = ("#0b7bc1", "#d55e00", "#009468", "#c0699b", "#a87900", "#8a6fd1")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "triangle-down")
_DASHES = ("solid", "dash", "dot", "dashdot")
_NEUTRAL = "#808080"
_HOVER_WIDTH = 72  # characters

Point = tuple[TrialRecord, float, float]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: its title with the unit, the value of a trial, and which direction is better."""

    title: str
    value: Callable[[TrialRecord], float | None]
    better: Better
    log: bool = False
    limit: float | None = None

    def place(self, trial: TrialRecord) -> float | None:
        """Where a trial stands on this axis; None where it has no value, or one that a log axis cannot show."""
        value = self.value(trial)
        return None if value is None or (self.log and value <= 0) else value


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A Plotly specification with what to write around it; ``name`` is its id in the page."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]


def figures(shown: Sequence[Row], records: Sequence[TrialRecord], summary: RunSummary) -> tuple[Figure, ...]:
    """The figures that these records have data for, in the order to show.

    Args:
        shown: rows of ``rows(records, summary)``.
        records: all trials.
        summary: the run as a whole.
    """
    styles = _styles(records)
    recall = Axis(title=_title(recall_name(records)), value=_of(recall_name(records)), better="higher")
    primary = Axis(title=_title(summary.primary), value=_of(summary.primary), better="higher")
    speed = Axis(title="batch queries/s", value=_of("batch_qps"), better="higher", log=True)
    size = Axis(
        title="analytic bytes per vector",
        value=lambda t: per_vector(t, "analytic_bytes"),
        better="lower",
        log=True,
        limit=summary.budget.bytes_per_vector,
    )
    wanted = [
        ("recall-speed", "Neighbor recall against throughput", recall, speed),
        ("quality-speed", f"{_title(summary.primary)} against throughput", primary, speed),
        ("quality-bytes", f"{_title(summary.primary)} against memory", size, primary),
    ]
    if recall.title == primary.title:
        del wanted[1]
    found = []
    for name, title, x, y in wanted:
        places = [(t, x.place(t), y.place(t)) for t in records]
        points = [(t, a, b) for t, a, b in places if a is not None and b is not None]
        if points:
            spec = _frontier(points, x, y, styles, summary.winner)
            found.append(Figure(name=name, title=title, caption=_FRONTIER_CAPTION, spec=spec))
    if latency := _latency(shown, summary):
        found.append(latency)
    return tuple(found)


_FRONTIER_CAPTION = (
    "A line joins the settings of one system that no other setting of it beats in both directions. Faint points are "
    "beaten settings, crosses broke the budget or failed, the ring is the winner. Hover for parameters and figures."
)


def _of(name: str) -> Callable[[TrialRecord], float | None]:
    return lambda trial: finite(trial, name)


def _title(name: str) -> str:
    return name.replace("_", " ")


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a system is drawn, the same in all figures."""

    colour: str
    symbol: str
    dash: str


def _styles(records: Sequence[TrialRecord]) -> dict[str, Style]:
    """A style for every system, plainest first for those that have results; no two of 42 share colour and marker."""
    finished = {t.system for t in records if t.outcome == "ok"}
    return {
        system: Style(
            colour=_COLOURS[i % len(_COLOURS)],
            symbol=_SYMBOLS[i % len(_SYMBOLS)],
            dash=_DASHES[i // len(_COLOURS) % len(_DASHES)],
        )
        for i, system in enumerate(sorted({t.system for t in records}, key=lambda s: (s not in finished, s)))
    }


def _safe(content: str) -> str:
    """Plotly reads a subset of HTML in its labels: escape it."""
    return html.escape(text.one_line(content), quote=False)


def hover(trial: TrialRecord) -> str:
    """What a point says: system, parameters, and every measurement with its interval, as Plotly's HTML."""
    lines = [
        f"<b>{_safe(trial.system)}</b> {_safe(trial.trial_id)}",
        _wrapped(f"build: {text.settings(trial.build_params)}"),
        _wrapped(f"search: {text.settings(trial.search_params)}"),
    ]
    if trial.outcome != "ok":
        lines.append(_wrapped(f"{trial.outcome}: {trial.reason}"))
    lines += [_safe(f"{m.name} = {text.figure(m)}") for m in trial.measurements]
    return "<br>".join(lines)


def _wrapped(content: str) -> str:
    return "<br>".join(_safe(line) for line in textwrap.wrap(content, _HOVER_WIDTH))


def _frontier(
    points: Sequence[Point], x: Axis, y: Axis, styles: Mapping[str, Style], winner: str | None
) -> dict[str, Any]:
    """Lines through each system's Pareto settings; all other points faint."""
    traces = []
    for system in dict.fromkeys(t.system for t, _, _ in points):
        own = [p for p in points if p[0].system == system]
        ok = [p for p in own if p[0].outcome == "ok"]
        frontier = pareto([(a, b) for _, a, b in ok], x=x.better, y=y.better)
        style = styles[system]
        look = {"color": style.colour, "symbol": style.symbol}
        parts = [
            ([ok[i] for i in frontier], "lines+markers", {**look, "size": 9}, 1.0),
            ([p for i, p in enumerate(ok) if i not in frontier], "markers", {**look, "size": 7}, 0.35),
            ([p for p in own if p[0].outcome != "ok"], "markers", {**look, "symbol": "x-thin-open", "size": 8}, 0.9),
        ]
        line = {"color": style.colour, "dash": style.dash, "width": 1.8}
        name = _safe(system) if ok else f"{_safe(system)} ({own[0][0].outcome})"
        drawn = [part for part in parts if part[0]]
        for number, (some, mode, marker, opacity) in enumerate(drawn):
            trace = _scatter(some, mode=mode, marker=marker, opacity=opacity, name=name, legendgroup=_safe(system))
            traces.append({**trace, "line": line, "showlegend": number == 0})
    if won := [p for p in points if p[0].trial_id == winner]:
        ring = {"symbol": "circle-open", "size": 19, "color": _NEUTRAL, "line": {"width": 2.5}}
        traces.append({**_scatter(won, mode="markers", marker=ring, name="winner"), "hoverinfo": "skip"})
    return {"data": traces, "layout": _layout(x, y)}


def _scatter(points: Sequence[Point], **style: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [a for _, a, _ in points],
        "y": [b for _, _, b in points],
        "hovertext": [hover(t) for t, _, _ in points],
        "hoverinfo": "text",
        **style,
    }


def _layout(x: Axis, y: Axis) -> dict[str, Any]:
    layout: dict[str, Any] = {"xaxis": _axis(x), "yaxis": _axis(y), "hovermode": "closest"}
    lines = [
        {"type": "line", f"{at}0": axis.limit, f"{at}1": axis.limit, f"{other}0": 0, f"{other}1": 1}
        | {f"{other}ref": "paper", "line": {"color": _NEUTRAL, "dash": "dash", "width": 1.2}}
        | {"label": {"text": "budget", "textposition": "start", "textangle": 0, "xanchor": "right"}}
        for at, other, axis in (("x", "y", x), ("y", "x", y))
        if axis.limit is not None
    ]
    return {**layout, "shapes": lines}


# Plotly labels the 2 and 5 of a log axis by that digit alone, which nobody can read: name every tick in full.
_TICKS = [float(f"{digit}e{power}") for power in range(-4, 13) for digit in (1, 2, 5)]


def _axis(axis: Axis) -> dict[str, Any]:
    spec: dict[str, Any] = {"title": {"text": _safe(axis.title), "standoff": 10}, "automargin": True}
    if axis.log:
        spec |= {"type": "log", "tickvals": _TICKS}
        spec["title"]["text"] += " (log scale)"
        spec["ticktext"] = [f"{value:,g}" if value < 1e6 else f"{value:.0e}" for value in _TICKS]
    return spec


_PERCENTILES = (  # measurement, label, number of its colour, marker
    ("single_p50_ms", "p50", 0, "circle"),
    ("single_p95_ms", "p95", 1, "diamond"),
    ("single_p99_ms", "p99", 3, "square"),
)


def _latency(shown: Sequence[Row], summary: RunSummary) -> Figure | None:
    """One line per system from p50 to p99 of its single-query latency; None when nothing was timed."""
    names = [name for name, *_ in _PERCENTILES]
    timed = [r.trial for r in shown if any((finite(r.trial, n) or 0) > 0 for n in names)]
    if not timed:
        return None
    x = Axis(
        title="single-query latency, ms", value=_of(names[0]), better="lower", log=True, limit=summary.budget.latency_ms
    )
    labels = {t.trial_id: _safe(t.system) + ("" if t.outcome == "ok" else f" ({t.outcome})") for t in timed}
    spans: dict[str, list[Any]] = {"x": [], "y": []}
    for trial in timed:
        values = [v for n in names if (v := finite(trial, n)) is not None and v > 0]
        spans["x"] += [min(values), max(values), None]
        spans["y"] += [labels[trial.trial_id], labels[trial.trial_id], None]
    line = {"color": _NEUTRAL, "width": 1.2}
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", **spans, "line": line, "hoverinfo": "skip", "showlegend": False}
    ]
    for name, label, colour, symbol in _PERCENTILES:
        have = [t for t in timed if (finite(t, name) or 0) > 0]
        trace = _scatter([(t, finite(t, name) or 0, 0) for t in have], mode="markers", name=label)
        marker = {"color": _COLOURS[colour], "symbol": symbol, "size": 9}
        traces.append({**trace, "y": [labels[t.trial_id] for t in have], "marker": marker})
    layout = _layout(x, Axis(title="", value=x.value, better="lower"))
    order = [labels[t.trial_id] for t in timed]
    layout["yaxis"] = {"type": "category", "categoryarray": order, "autorange": "reversed", "automargin": True}
    return Figure(
        name="latency",
        title="Single-query latency",
        caption="Each system at the setting of the table below: p50, p95 and p99, measured one query at a time.",
        spec={"data": traces, "layout": layout},
    )
