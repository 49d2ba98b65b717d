"""What tuning found, as it is written to ``tuning.json``."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from pydantic import Field

from retrieval_bench.records import Turns
from retrieval_bench.types import Budget, Frozen

Sampler = Literal["tpe", "nsga2", "random"]


class Search(Frozen):
    """One tuning run of one system, with one seed of the sampler."""

    seed: int
    trials: tuple[str, ...] = Field(description="trial ids, in the order tried; a setting tried twice stands twice")
    hopeless: int = Field(description="trials whose speed was not measured, or that could not be built or served")
    seconds: float = Field(description="building and measuring, seconds")
    best: str | None = Field(None, description="trial id of the best on tuning queries; None when none met the target")
    score: float | None = Field(None, description="its objective on tuning queries, higher is better")
    build: dict[str, Any] = Field(default_factory=dict, description="its build parameters, as proposed")
    search: dict[str, Any] = Field(default_factory=dict, description="its search parameters")
    first_met: float | None = Field(description="seconds until the target was first met; None when never")


class HeldOut(Frozen):
    """The best setting of the first search, measured once on held-out queries."""

    trial: str
    score: float | None = Field(description="the objective, measured with the full effort; bytes are negative")
    quality: float | None
    low: float | None = Field(description="lower end of the 95 % interval of the quality")
    high: float | None
    met: bool = Field(description="whether the target holds on held-out queries, too")
    optimism: float | None = Field(description="quality on tuning queries minus that on held-out ones")
    optimism_low: float | None = Field(description="lower end of its 95 % interval")
    optimism_high: float | None


class Tuned(Frozen):
    """One system."""

    system: str
    searches: tuple[Search, ...]
    held_out: HeldOut | None


class Tuning(Frozen):
    """All systems of one call, best on tuning queries first."""

    dataset: str
    target: str
    quality: str = Field(description="the quality measurement that the target speaks of")
    sampler: Sampler
    budget: Budget
    systems: tuple[Tuned, ...]
    notes: tuple[str, ...] = Field(default=(), description="what is not in the data as its files have it, a line each")
    turns: Turns | None = Field(default=None, description="the fastest systems' picks, measured in turns")
    untold: str = Field(default="", description="why picks that seem alike in speed were not measured in turns")

    @property
    def winner(self) -> Tuned | None:
        """The fastest in turns where that was measured, else the first seed's best on tuning queries, if one met it."""
        if self.turns is not None:
            return self.of(self.turns.fastest)
        name = next(iter(self.winners()), None)
        return next((s for s in self.systems if s.system == name), None)

    def of(self, trial: str) -> Tuned:
        """The system whose pick this trial is."""
        return next(s for s in self.systems if s.held_out and s.held_out.trial == trial)

    def winners(self) -> list[str | None]:
        """By seed, the system that won on tuning queries; None where none met the target."""
        found: list[str | None] = []
        for searches in zip(*(s.searches for s in self.systems), strict=True):
            scored = [(s.score, t.system) for s, t in zip(searches, self.systems, strict=True) if s.score is not None]
            found.append(max(scored)[1] if scored else None)
        return found

    @property
    def lottery(self) -> float | None:
        """How often two seeds of the sampler name different winners, of all pairs of seeds; None with one seed."""
        winners = self.winners()
        pairs = len(winners) * (len(winners) - 1)
        if not pairs:
            return None
        return 1 - sum(n * (n - 1) for n in Counter(winners).values()) / pairs
