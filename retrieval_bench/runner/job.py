"""What passes between the run and a trial's process: the plan in, what it tells and facts out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from retrieval_bench.measure.clock import Effort
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Budget, Contention, Frozen, MemoryReport, Split


class TrialPlan(Frozen):
    """One search setting of a build."""

    trial_id: str
    search: dict[str, Any]


class Floor(Frozen):
    """A quality below which a setting is hopeless: its speed need not be measured."""

    metric: str
    least: float


class BuildPlan(Frozen):
    """One system to build and the settings to serve it at; all that a trial's process needs to know."""

    build_id: str
    card: SystemCard
    build: dict[str, Any]
    trials: tuple[TrialPlan, ...]
    dataset_folder: Path
    out: Path
    budget: Budget
    threads: int
    seed: int
    depth: int
    effort: Effort
    plugin: str
    splits: tuple[Split, ...] = Field(
        ("test", "tune"),
        description="queries answered, the first of them timed: `tune` chooses a setting, `test` is what is said of it",
    )
    floor: Floor | None = None

    def only(self, trial_ids: set[str]) -> BuildPlan:
        """The same build with some of its trials."""
        return self.model_copy(update={"trials": tuple(t for t in self.trials if t.trial_id in trial_ids)})


class Job(Frozen):
    """One stage of one build."""

    stage: Literal["build", "serve"]
    plan: BuildPlan


class BuildFacts(Frozen):
    """What is known of a finished build; stands beside the saved index as ``build.json``."""

    params: dict[str, Any]
    memory: MemoryReport
    build_seconds: float
    peak_bytes: int
    saved_bytes: int = 0
    scorer_calls: int | None = None
    device_peak_bytes: int | None = None
    contention: Contention | None = Field(default=None, description="what else the machine did during the build")
    notes: tuple[str, ...] = ()


def printable(text: str) -> str:
    """The text as one line that may be shown on a terminal: without control characters, and cut where it is long."""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST]).strip()


_LONGEST = 2_000
_Line = Annotated[str, AfterValidator(printable)]


class Phase(Frozen):
    """A job tells that a phase has begun or ended."""

    phase: Literal["load", "build", "save", "search", "score", "write"]
    state: Literal["start", "end"]


class Doing(Frozen):
    """A job tells how far a long step is."""

    doing: _Line
    done: int = Field(ge=0)
    of: int = Field(ge=0)


class Refusal(Frozen):
    """A job tells why it has nothing to give."""

    outcome: Literal["over_budget", "crashed", "refused"]
    reason: _Line
