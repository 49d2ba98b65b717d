"""The outcomes of screening as tables: one with all figures, one that sets the active learning beside the published."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval_bench.report.section import Cell, Group, Section, SectionColumn
from retrieval_bench.study.screening import Outcome, Spread

_SHOWN = ("AP", "WSS@95", "WSS@99", "WSS@100", "RRF@5", "RRF@10", "RRF@20", "recall@1%", "recall@50%", "last", "ATD")
_HELP = {
    "AP": "average precision",
    "WSS": "work saved over sampling when this percent of the relevant records is found (as ASReview has it)",
    "RRF": "percent of the relevant records among this first percent of the list",
    "recall": "share of the relevant records in this first part of the list",
    "last": "where the last relevant record stands",
    "ATD": "average time to discovery: where a relevant record stands on average",
}


def _column(name: str) -> SectionColumn:
    percent = name in ("last", "ATD") or name.startswith(("WSS", "RRF"))
    return SectionColumn(
        title=name,
        unit="% of list" if name in ("last", "ATD") else "%" if percent else "",
        help=_HELP[name.partition("@")[0]],
        digits=1 if percent else 3,
        best="lowest" if name in ("last", "ATD") else "highest",
    )


def screening_sections(outcomes: Sequence[Outcome]) -> list[Section]:
    """The table of all figures by review, and the comparison with what was published where there is something."""
    sections = [_all(outcomes)]
    compared = _compared(outcomes)
    return [*sections, compared] if compared.groups else sections


def _by_review(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    reviews: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        reviews.setdefault(outcome.review, []).append(outcome)
    return reviews


def _all(outcomes: Sequence[Outcome]) -> Section:
    columns = [SectionColumn(title=title) for title in ("way", "system", "text or settings")]
    return Section(
        title="Screening prioritisation: ranked once for the review's title, or read by active learning",
        columns=[*columns, *map(_column, _SHOWN)],
        groups=[
            Group(
                label=f"{review}: {group[0].relevant} of {group[0].records:,} records are relevant",
                rows=[[o.way, o.system, o.text, *(o.measures.get(name) for name in _SHOWN)] for o in group],
            )
            for review, group in _by_review(outcomes).items()
        ],
        remarks=(
            "A ranking is told nothing; active learning starts from one relevant and one other record, which are left "
            "out of its figures, and learns from every decision.",
            "Of several starts WSS and RRF are those of the mean recall curve, as published; the others are means.",
            *(f"{o.review}, {o.system} ({o.text}): {o.problem}" for o in outcomes if o.problem),
        ),
    )


def _compared(outcomes: Sequence[Outcome]) -> Section:
    titles = (
        "model",
        "settings",
        "starts",
        "WSS@95",
        "as many other starts",
        "worst to best start",
        "published",
        "within",
    )
    groups = []
    for review, group in _by_review(outcomes).items():
        published = {outcome.system: outcome.measures["WSS@95"] for outcome in group if outcome.way == "published"}
        rows = [
            _beside(outcome, outcome.spread, published[outcome.system])
            for outcome in group
            if outcome.spread is not None and outcome.system in published
        ]
        if rows:
            groups.append(Group(label=review, rows=rows))
    return Section(
        title="Active learning beside Ferdinands et al. 2023",
        columns=[SectionColumn(title=title, digits=1) for title in titles],
        groups=groups,
        remarks=(
            "As many other starts: where their figure would lie, 95 % (bootstrap). The published ones are such others.",
        ),
    )


def _beside(outcome: Outcome, spread: Spread, published: float) -> list[Cell]:
    off = max(spread.low - published, published - spread.high)
    return [
        outcome.system, outcome.text, str(outcome.starts), outcome.measures["WSS@95"],
        f"{spread.low:.1f} to {spread.high:.1f}", f"{spread.worst:.1f} to {spread.best:.1f}", published,
        "yes" if off <= 0 else f"no, {off:.1f} outside",
    ]  # fmt: skip
