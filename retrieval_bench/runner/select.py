"""Which setting stands for a system, and which system wins: on tuning queries where there are some.

The rule is the practitioner's. With judgments: among the systems whose quality is statistically tied with the best,
the fastest. With neighbors only: the fastest system that reaches the recall asked for. Which is the fastest of those
that come near each other, only measuring them in turns can say; where it cannot, the answer does not either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from retrieval_bench.records import Store, Turns
from retrieval_bench.runner.finals import near_the_fastest
from retrieval_bench.runner.quiet import hopeful_speed, unquiet_answer
from retrieval_bench.runner.score import UNMATCHED
from retrieval_bench.statistics import tied_with_best
from retrieval_bench.types import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a run recommends.

    Attributes:
        chosen: by system, the trial that stands for it.
        winner: trial id, or None.
        why: one sentence.
        tied: trial ids whose reported quality is statistically tied with the best.
        turns: the finalists measured in turns; None where speed did not have to decide, or was not measured so.
    """

    chosen: dict[str, str]
    winner: str | None
    why: str
    tied: tuple[str, ...]
    primary: str
    selected_on: Literal["tune", "test"]
    turns: Turns | None = None


def choose(
    store: Store,
    records: Sequence[TrialRecord],
    *,
    primary: str,
    recall_target: float,
    in_turns: Callable[[Sequence[TrialRecord]], Turns | str] = lambda _finalists: "",
) -> Choice:
    """Choose a setting for every system, then the winner.

    What found nothing at all (a figure of 0) is shown and never recommended, however few queries it is compared on.

    Args:
        store: where the per-query values stand.
        records: all trials of the run.
        primary: measurement that decides, e.g. ``nDCG@10``.
        recall_target: least ``neighbor_recall`` that will do, where that decides.
        in_turns: measures finalists again, side by side, which then names the fastest; or says why it does not.
    """
    usable = [r for r in records if r.outcome == "ok" and r.value(primary) is not None]
    split: Literal["tune", "test"] = (
        "tune" if usable and all(r.value(f"tune/{primary}") is not None for r in usable) else "test"
    )
    name = primary if split == "test" else f"tune/{primary}"
    by_system: dict[str, list[TrialRecord]] = {}
    for record in usable:
        by_system.setdefault(record.system, []).append(record)

    def good(candidates: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Those good enough that speed may decide between them."""
        found = [r for r in candidates if r.value(name)]
        if primary.startswith("neighbor_recall"):
            enough = [r for r in candidates if (r.value(name) or 0) >= recall_target]
            return enough or [max(candidates, key=lambda r: r.value(name) or 0)]
        tied = _tied(store, found or candidates, primary, split)
        return [r for r in found or candidates if tied[r.trial_id]]

    chosen = {system: max(good(trials), key=_speed) for system, trials in by_system.items()}
    # A ranker's speed holds the encoding of the query, an index's does not: they compete among their own kind.
    able = [r for r in chosen.values() if r.value(name)]
    field = [r for r in able if r.kind == "ranker"] or able or list(chosen.values())
    if not field:
        return Choice(chosen={}, winner=None, why="No system finished within the budget.", tied=(), primary=primary,
                      selected_on=split)  # fmt: skip
    if not able:
        return Choice(chosen={system: r.trial_id for system, r in chosen.items()}, winner=None, tied=(),
                      why=_found_nothing(field, name), primary=primary, selected_on=split)  # fmt: skip
    finalists = good(field)
    winner, lead, first = max(finalists, key=_speed), "", "the fastest"
    near = [finalists[i] for i in near_the_fastest([_speed(r) for r in finalists], map(hopeful_speed, finalists))]
    found = in_turns(near) if len(near) > 1 else ""
    turns = found if isinstance(found, Turns) else None
    if turns is not None:
        winner, rival = (next(r for r in near if r.trial_id == trial) for trial in (turns.fastest, turns.rival))
        lead = f"; {turns.said(rival.system)}"
    elif len(near) > 1:
        rivals = ", ".join(r.system for r in near if r is not winner)
        lead = f"; not told from {rivals} in speed: not measured in turns{f' ({found})' if found else ''}"
    if len(near) > 1 and not (turns and turns.told):
        first = "one of the fastest"
    reported = _tied(store, field, primary, "test")
    if primary.startswith("neighbor_recall"):
        reached = (winner.value(name) or 0) >= recall_target
        why = _by_recall(winner, len(finalists), first, f"{primary} {recall_target:g}", reached)
    else:
        why = _by_judgments(winner, finalists, first, primary, alone=len(field) == 1)
    on = "chosen on the tune queries" if split == "tune" else "chosen on the test queries, which flatters it"
    return Choice(
        chosen={system: r.trial_id for system, r in chosen.items()},
        winner=winner.trial_id,
        why=f"{why}{lead}; {on}.{_doubt(winner, field, reported, primary, split)}{unquiet_answer(usable)}",
        tied=tuple(r.trial_id for r in field if reported[r.trial_id] and r.value(primary)),
        primary=primary,
        selected_on=split,
        turns=turns,
    )


def _by_recall(winner: TrialRecord, finalists: int, first: str, wanted: str, reached: bool) -> str:
    if not reached:
        return f"no system reaches {wanted}; {winner.system} comes nearest"
    if finalists == 1:
        return f"{winner.system} is the one system that reaches {wanted}"
    return f"{winner.system} is {first} of {finalists} systems that reach {wanted}"


def _found_nothing(field: Sequence[TrialRecord], name: str) -> str:
    names = ", ".join(r.system for r in field)
    notes = dict.fromkeys(note for r in field for note in r.notes if note.startswith(UNMATCHED))
    return " ".join([f"{name} is 0 on every query for {names}: nothing right was found, so nothing is recommended.",
                     *notes])  # fmt: skip


def _by_judgments(
    winner: TrialRecord, finalists: Sequence[TrialRecord], first: str, primary: str, *, alone: bool
) -> str:  # fmt: skip
    if alone:
        return f"{winner.system} is the only {winner.kind} with a result, so its {primary} was compared with no other"
    if len(finalists) == 1:
        return f"{winner.system} has the best {primary}, and no other is statistically tied with it"
    others = ", ".join(r.system for r in finalists if r is not winner)
    return f"{winner.system} is {first} of those statistically tied for the best {primary} (with {others})"


def _doubt(winner: TrialRecord, field: Sequence[TrialRecord], tied: dict[str, bool], primary: str, split: str) -> str:
    """What test queries say against a choice by judgments of tuning queries; empty where they do not."""
    if split == "test" or tied[winner.trial_id] or primary.startswith("neighbor_recall"):
        return ""
    best = max(field, key=lambda r: r.value(primary) or 0.0)
    return f" The test queries contradict it: {best.system} is better there, beyond chance."


def _speed(record: TrialRecord) -> float:
    return record.value("batch_qps") or 0.0


def _tied(store: Store, records: Sequence[TrialRecord], primary: str, split: str) -> dict[str, bool]:
    values = {r.trial_id: store.per_query(r.trial_id, split)[primary] for r in records}
    judged = ~np.isnan(np.stack(list(values.values()))).any(axis=0)
    return tied_with_best({t: v[judged] for t, v in values.items()})
