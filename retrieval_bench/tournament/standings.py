"""What the records of one budget say about each method, and which of them cannot be told from the best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from retrieval_bench.records import Store, Turns
from retrieval_bench.statistics import tied_with_best
from retrieval_bench.types import Frozen, Measurement, Outcome, TrialRecord

EXACT = "exact"
QUALITY = ("nDCG@10", "neighbor_recall@10")
"""The figures of quality, the one that decides first where there are judgments."""


class Standing(Frozen):
    """One method under one budget."""

    method: str
    outcome: Outcome
    reason: str = ""
    trial_id: str
    quality: dict[str, Measurement] = Field(default_factory=dict, description="on the test queries, by name")
    tied: tuple[str, ...] = Field(default=(), description="the figures in which it is tied with the best (Holm, 5 %)")
    leads: bool = Field(default=False, description="tied in all figures on the queries that may choose")
    qps: float | None = Field(default=None, description="queries per second in a batch")
    bytes_per_vector: float | None = Field(default=None, description="analytic bytes of the whole index")
    build_seconds: float | None = None


class Round(Frozen):
    """All methods under one budget, best first."""

    bytes_per_vector: float
    standings: tuple[Standing, ...]
    choice: str | None
    advice: str
    turns: Turns | None = Field(default=None, description="those that may be the fastest, measured in turns")


class Tournament(Frozen):
    """A finished tournament."""

    dataset: str
    documents: int
    dimensions: int
    queries: dict[str, int]
    machine: dict[str, str]
    commit: str
    exact: Standing
    rounds: tuple[Round, ...]
    folder: Path


def standings(store: Store, records: Sequence[TrialRecord]) -> tuple[Standing, ...]:
    """One standing for each record: those that ended well first, by neighbor recall, then by nDCG.

    Ties are told on the test queries; who leads, and so may be chosen, on the tuning queries where there are some.
    """
    usable = [r for r in records if r.outcome == "ok"]
    names = [name for name in QUALITY if usable and all(r.value(name) is not None for r in usable)]
    tunable = bool(names) and all(r.value(f"tune/{name}") is not None for r in usable for name in names)
    reported = {name: _tied(store, usable, name, "test") for name in names}
    choosing = {name: _tied(store, usable, name, "tune") for name in names} if tunable else reported

    def standing(record: TrialRecord) -> Standing:
        size, trial = record.value("analytic_bytes"), record.trial_id
        return Standing(
            method=record.system,
            outcome=record.outcome,
            reason=record.reason,
            trial_id=trial,
            quality={name: m for name in names if (m := record.measurement(name)) is not None},
            tied=tuple(name for name in names if reported[name].get(trial, False)),
            leads=bool(names) and all(choosing[name].get(trial, False) for name in names),
            qps=record.value("batch_qps"),
            bytes_per_vector=None if size is None else size / record.documents,
            build_seconds=record.value("build_seconds"),
        )

    def place(found: Standing) -> tuple[bool, list[float], str]:
        return found.outcome != "ok", [-m.value for m in reversed(found.quality.values())], found.method

    return tuple(sorted(map(standing, records), key=place))


def _tied(store: Store, records: Sequence[TrialRecord], name: str, split: Literal["test", "tune"]) -> dict[str, bool]:
    values = {r.trial_id: store.per_query(r.trial_id, split)[name] for r in records}
    known = ~np.isnan(np.stack(list(values.values()))).any(axis=0)
    return tied_with_best({trial: v[known] for trial, v in values.items()})
