"""What the report needs to know about a run besides its trials."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrieval_bench.types import Budget, Frozen, Metric


class Turns(Frozen):
    """Speeds of systems that were served side by side and measured in turns."""

    qps: dict[str, float] = Field(description="queries per second by trial_id, fastest first")
    rival: str = Field(default="", description="trial_id of whom the rest speaks: the first not told from the fastest")
    ratio: float = Field(description="how many times as many queries the fastest answers as the rival")
    low: float = Field(description="lower end of its 95 % interval")
    high: float
    rounds: int = Field(description="within a pair of processes")
    processes: int = Field(
        default=1, description="pairs of processes; the interval is over them where there are several"
    )
    told: bool = Field(default=False, description="whether the fastest is faster, which one pair seldom shows")

    @property
    def fastest(self) -> str:
        """Its trial_id."""
        return next(iter(self.qps))

    def said(self, rival: str) -> str:
        """The lead of the fastest over the rival, of this name, in words."""
        over = f" over {self.processes} pairs of processes" if self.processes > 1 else ""
        times = f"{self.ratio:.2f} times its queries, {self.low:.2f} to {self.high:.2f}{over}"
        if self.told:
            return f"measured in turns, faster than {rival} ({times})"
        return f"measured in turns, not told from {rival} in speed ({times})"


class RunSummary(Frozen):
    """A run as a whole: its data, its budget, its answer and what it cost. Written once, by whoever ran it."""

    dataset: str = Field(description="name of the dataset")
    description: str = Field(default="", description="one sentence about the dataset")
    licence: str = "unknown"
    source: str = Field(default="", description="where the data comes from, as text; never fetched")
    notes: tuple[str, ...] = Field(default=(), description="what is not in the data as its files have it, a line each")
    documents: int = Field(ge=0)
    held_out: int = Field(
        default=0, ge=0, description="rows of the data that are no documents since they were to ask with"
    )
    dimensions: int = Field(ge=0, description="0 when nothing was encoded")
    metric: Metric | None = Field(default=None, description="how vectors are compared; None when nothing was encoded")
    queries: dict[str, int] = Field(description="number of queries by split")
    budget: Budget
    encoder: str | None = Field(default=None, description="None: the data came as vectors, or no system needed any")
    primary: str = Field(description="measurement that ranks the systems, e.g. `nDCG@10`; higher is better")
    winner: str | None = Field(default=None, description="trial_id; None when no system can be recommended")
    why: str = Field(description="one sentence: why this winner, or why there is none")
    selected_on: Literal["tune", "test"] = Field(description="queries on which settings and winner were chosen")
    chosen: dict[str, str] = Field(
        default_factory=dict, description="by system, the trial_id that stands for it; others are shown at their best"
    )
    turns: Turns | None = Field(
        default=None, description="the finalists that may be the fastest, measured in turns, which names the winner"
    )
    tied: tuple[str, ...] = Field(default=(), description="trial_ids whose quality is statistically tied with the best")
    trials: tuple[str, ...] = Field(default=(), description="trial_ids of the run, in the order planned")
    wall_seconds: dict[str, float] = Field(description="wall time by phase, in seconds, in the order to show")
    overhead_percent: float | None = Field(default=None, description="wall time that the harness adds, percent")
    started: str
    finished: str
    command: str = Field(description="command line that repeats the run")
