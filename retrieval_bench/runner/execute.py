"""A plan's processes: build once, then serve until every trial is a record, whatever becomes of a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from retrieval_bench import registry
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.measure.machine import gpu_name
from retrieval_bench.records import Store
from retrieval_bench.runner.isolate import Isolation, Limits
from retrieval_bench.runner.job import BuildPlan, Job
from retrieval_bench.runner.serve import trial_record
from retrieval_bench.types import Dataset, Outcome

OnEvent = Callable[[dict[str, Any]], None]


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
    with Isolation(plan.threads, *_imported_once(plan)) as isolation:
        if not (records.build_folder(plan.build_id) / "build.json").exists():
            _stage(isolation, records, Job(stage="build", plan=plan.only(pending)), data, timeout, wall, tell)
        while pending := {t.trial_id for t in plan.trials if not records.has(t.trial_id)}:
            # A setting that ends the process is recorded as its trial's outcome; the next process goes on after it.
            _stage(isolation, records, Job(stage="serve", plan=plan.only(pending)), data, timeout, wall, tell)


def _imported_once(plan: BuildPlan) -> tuple[str, list[str]]:
    """The plug-in and engines that both processes of a system need, safe to fork from.

    Only ours: a plug-in may do anything at its import. No GPU, whose driver does not survive a fork; and of rankers
    only those that read texts by a transformer, since a Java machine does not either.
    """
    if not plan.plugin.startswith("retrieval_bench.") or gpu_name():
        return "retrieval_bench.protocols", []
    if plan.card.kind == "index":
        return plan.plugin, []
    fields = registry.rankers.get(plan.card.backend).BuildParams.model_fields
    encodes = not fields.keys().isdisjoint({"encoder", "dual_encoder", "scorer"})
    return plan.plugin, ["retrieval_bench.encoders.sentence"] if encodes else []


def _stage(
    isolation: Isolation, records: Store, job: Job, data: Dataset, timeout: float, wall: Wall, tell: OnEvent
) -> None:
    """Run one process; if it fails, write the records of the trials that failed with it."""
    plan, started = job.plan, _now()
    limits = Limits(wall_seconds=timeout, build_seconds=plan.budget.build_seconds, peak_bytes=plan.budget.peak_bytes)
    ended = isolation.run(job.model_dump_json(), limits, tell)
    for event in ended.events:
        if event.get("state") == "end":
            wall.add(event["phase"], event["seconds"])
    outcome: Outcome = ended.outcome
    reason, failed = ended.reason, [t for t in plan.trials if not records.has(t.trial_id)]
    if refusal := next((e for e in ended.events if "outcome" in e), None):
        outcome, reason = refusal["outcome"], refusal["reason"]
    elif outcome == "ok":
        if job.stage == "serve" and failed:
            raise RetrievalBenchError(f"{plan.card.name}: the process ended well but left {len(failed)} trials undone")
        return
    elif job.stage == "serve":
        begun = [e["trial"] for e in ended.events if "trial" in e]
        # Before the first setting (while loading) all fail together; later only the one that was being measured.
        failed = [t for t in failed if not begun or t.trial_id == begun[-1]]
    failing = plan.only({t.trial_id for t in failed})
    _write_failed(records, failing, data, outcome, reason, started=started, seconds=ended.seconds)


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
