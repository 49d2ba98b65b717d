"""What passes between the run and a trial's process: the plan in, facts and events out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from retrieval_bench.measure.clock import Effort
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Budget, Frozen, MemoryReport, Split


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
    notes: tuple[str, ...] = ()


class Events:
    """Lines of JSON to the run, on a pipe of their own so that an engine's prints cannot mix in."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)

    def send(self, **event: object) -> None:
        """Tell the run."""
        self._pipe.write(json.dumps(event) + "\n")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell the run when a phase begins and ends, and how long it took in seconds."""
        self.send(phase=name, state="start")
        start = time.perf_counter()
        yield
        self.send(phase=name, state="end", seconds=time.perf_counter() - start)
