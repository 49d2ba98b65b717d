"""A plan's processes: build once, then serve until every trial is a record, whatever becomes of a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from retrieval_bench import registry
from retrieval_bench.measure.machine import gpu_name
from retrieval_bench.records import Store
from retrieval_bench.runner.job import BuildPlan, Job
from retrieval_bench.runner.limits import Limits
from retrieval_bench.runner.process import Process
from retrieval_bench.runner.serve import trial_record
from retrieval_bench.types import Dataset, Outcome

OnEvent = Callable[[dict[str, Any]], None]
_CHILD = "retrieval_bench.runner.child"


@dataclass
class Wall:
    """Wall time by phase, in seconds."""

    phases: dict[str, float] = field(default_factory=dict)

    def add(self, phase: str, seconds: float) -> None:
        """Count seconds to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds


def execute(
    records: Store, plan: BuildPlan, data: Dataset, *, timeout: float, wall: Wall | None = None,
    tell: OnEvent = lambda _event: None, refused: str = "",
) -> None:  # fmt: skip
    """Do what is not yet done of a plan: build, unless it is built, and measure; every trial ends as a record.

    Args:
        records: of the run.
        plan: what to do.
        data: as it was prepared.
        timeout: most wall seconds of one process.
        wall: seconds are counted there.
        tell: told of what the trials report.
        refused: why the system cannot be built from this data, which is then its record; empty where it can.
    """
    wall = wall or Wall()
    pending = {t.trial_id for t in plan.trials if not records.has(t.trial_id)}
    tell({"system": plan.card.name, "pending": len(pending), "planned": len(plan.trials)})
    if not pending:
        return
    if refused:
        tell({"outcome": "refused", "reason": refused})
        _write_failed(records, plan.only(pending), data, "refused", refused)
        return
    imports, engines = _imported_once(plan)
    with Process(plan.threads, imports=imports, engines=engines, holding=records.lock) as process:
        if not _built(records, plan):
            _stage(process, records, Job(stage="build", plan=plan.only(pending)), data, timeout, wall, tell)
        while pending := {t.trial_id for t in plan.trials if not records.has(t.trial_id)}:
            # A setting that ends the process is recorded as its trial's outcome; the next process goes on after it.
            _stage(process, records, Job(stage="serve", plan=plan.only(pending)), data, timeout, wall, tell)


def _built(records: Store, plan: BuildPlan) -> bool:
    return (records.build_folder(plan.build_id) / "build.json").exists()


def _imported_once(plan: BuildPlan) -> tuple[list[str], list[str]]:
    """The modules and engines that both processes of a system need, safe to fork from.

    A plug-in only of ours: another may do anything at its import. No GPU, whose driver does not survive a fork; and of
    rankers only those that read texts by a transformer, since a Java machine does not either.
    """
    if not plan.plugin.startswith("retrieval_bench.") or gpu_name():
        return [_CHILD], []
    if plan.card.kind == "index":
        return [_CHILD, plan.plugin], []
    fields = registry.rankers.get(plan.card.backend).BuildParams.model_fields
    encodes = not fields.keys().isdisjoint({"encoder", "dual_encoder", "scorer"})
    return [_CHILD, plan.plugin], ["retrieval_bench.encoders.sentence"] if encodes else []


def _stage(
    process: Process, records: Store, job: Job, data: Dataset, timeout: float, wall: Wall, tell: OnEvent
) -> None:
    """Do one stage; where it fails, write the records of the trials that failed with it.

    What counts as done is what stands on disk, whatever the process told and whatever its exit status.
    """
    plan, started = job.plan, _now()
    limits = Limits(wall_seconds=timeout, build_seconds=plan.budget.build_seconds, peak_bytes=plan.budget.peak_bytes)
    end = process.run(job.model_dump_json(), limits, tell)
    for phase, seconds in end.phases.items():
        wall.add(phase, seconds)
    left = [t for t in plan.trials if not records.has(t.trial_id)]
    if job.stage == "build":
        done = end.outcome == "ok" and _built(records, plan)
    else:
        done = not left
        # Settings are measured in order. Before the first (while loading) all fail together, later the one at work.
        left = left[:1] if "load" in end.phases else left
    if done:
        return
    outcome, reason = end.outcome, end.reason + (" (--timeout)" if end.outcome == "timed_out" else "")
    if outcome == "ok":
        outcome, reason = "crashed", "its process left with status 0 before it had finished"
    tell({"outcome": outcome, "reason": reason})
    _write_failed(records, plan.only({t.trial_id for t in left}), data, outcome, reason, started=started,
                  seconds=end.seconds)  # fmt: skip


def _write_failed(
    records: Store, plan: BuildPlan, data: Dataset, outcome: Outcome, reason: str, *, started: str = "",
    seconds: float = 0.0,
) -> None:  # fmt: skip
    """Write the records of all trials of a plan, which failed together."""
    started, each = started or _now(), seconds / max(1, len(plan.trials))
    for trial in plan.trials:
        records.write(trial_record(plan, trial, data, outcome=outcome, reason=reason, started=started, seconds=each))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
