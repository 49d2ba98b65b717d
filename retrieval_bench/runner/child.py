"""What a trial's own process does: build and save, or load and serve. It reports by phases and by records on disk."""

from __future__ import annotations

import importlib

from retrieval_bench import registry
from retrieval_bench.budgets import allowed_bytes
from retrieval_bench.encoders._bar import tell_run
from retrieval_bench.errors import BudgetError
from retrieval_bench.files import atomic_folder, folder_bytes
from retrieval_bench.measure.clock import timed
from retrieval_bench.measure.contention import ContentionWatch
from retrieval_bench.measure.cores import CoresWatch, breach_of_threads
from retrieval_bench.measure.device_memory import DevicePeak, breach_of_device, limit
from retrieval_bench.measure.memory import PeakWatch
from retrieval_bench.protocols import Index, Ranker
from retrieval_bench.records import Store
from retrieval_bench.runner.failure import outcome_of
from retrieval_bench.runner.job import BuildFacts, BuildPlan, Job
from retrieval_bench.runner.prepared import frame_of, learnable, opened
from retrieval_bench.runner.serve import Server
from retrieval_bench.runner.worker import Line
from retrieval_bench.scorers import calls_of_process
from retrieval_bench.types import Budget, MemoryReport


def main(job_text: str, line: Line, engine_bytes: int) -> None:
    """Run a job; refusals and typed errors are told, anything else ends the process with its traceback.

    Args:
        job_text: the job as JSON.
        line: to the run.
        engine_bytes: private memory of engines imported beforehand, which serving needs too.
    """
    tell_run(line.send)
    job = Job.model_validate_json(job_text)
    try:
        importlib.import_module(job.plan.plugin)
        limit(job.plan.budget)
        if job.stage == "build":
            build(job.plan, line)
        else:
            serve(job.plan, line, engine_bytes)
    except MemoryError as error:
        line.send(outcome="crashed", reason=f"out of memory: {error}".strip(": "))
    except Exception as error:
        ended = outcome_of(error, job.plan.budget)
        if ended is None:
            raise
        line.send(outcome=ended[0], reason=ended[1])


def breach_of_size(memory: MemoryReport, documents: int, budget: Budget) -> str | None:
    """Why an index of this size is over the budget, or None when it is within."""
    allowed = allowed_bytes(budget, documents)
    if allowed is None or memory.total <= allowed:
        return None
    each = f"{memory.total / documents:,.1f} bytes per vector, {allowed / documents:,.1f} are allowed"
    return f"{each} (bytes_per_vector, index_bytes: {memory.total:,} of {allowed:,})"


def breach_of_use(facts: BuildFacts, budget: Budget) -> str | None:
    """What a finished build has used above its budget, or None.

    Whoever watches from outside looks now and then; what was over between two looks is found here.
    """
    if (most := budget.build_scorer_calls) is not None and (calls := facts.scorer_calls or 0) > most:
        return f"{calls:,} scorer calls at the build, {most:,} are allowed (build_scorer_calls)"
    if (limit := budget.build_seconds) is not None and facts.build_seconds > limit:
        return f"the build took {facts.build_seconds:.3g} s, {limit:g} are allowed (build_seconds)"
    if (peak := budget.peak_bytes) is not None and facts.peak_bytes > peak:
        return f"private memory reached {facts.peak_bytes:,} bytes, {peak:,} are allowed (peak_bytes)"
    return None


def build(plan: BuildPlan, line: Line) -> None:
    """Build the system, check its size, and save it with its facts; the saved folder appears whole or not at all."""
    with line.phase("load"):
        dataset = opened(plan.dataset_folder, texts=plan.card.kind == "ranker")
        frame = frame_of(plan.dataset_folder)
    examples = learnable(dataset)
    system: Index | Ranker
    device = DevicePeak()
    with PeakWatch() as memory, CoresWatch() as cores, ContentionWatch() as watch, line.phase("build"):
        if plan.card.kind == "index":
            index = system = registry.indexes.get(plan.card.backend)()
            if dataset.metric not in index.metrics:
                raise BudgetError(f"{plan.card.backend} does not serve the metric {dataset.metric!r}")
            wanted = index.BuildParams.model_validate(plan.build)
            learn = None if examples is None else examples.queries
            left = frame.left(plan.budget, len(dataset.corpus))
            _, seconds = timed(
                lambda: index.build(dataset.corpus, wanted, left, metric=dataset.metric, queries=learn, seed=plan.seed)
            )
        else:
            ranker = system = registry.rankers.get(plan.card.backend)()
            wanted = ranker.BuildParams.model_validate(plan.build)
            _, seconds = timed(
                lambda: ranker.build(dataset.corpus, wanted, plan.budget, examples=examples, seed=plan.seed)
            )
    facts = BuildFacts(
        params=system.params.model_dump(mode="json"),
        memory=frame.counted(system.memory()) if plan.card.kind == "index" else system.memory(),
        build_seconds=seconds,
        peak_bytes=memory.peak,
        scorer_calls=_calls(system),
        device_peak_bytes=device.look(),
        contention=watch.found,
        notes=tuple(getattr(system, "notes", ())),
    )
    breach = breach_of_size(facts.memory, len(dataset.corpus), plan.budget) or breach_of_use(facts, plan.budget)
    breach = breach or breach_of_device(facts.device_peak_bytes, plan.budget, "at the build")
    if breach := breach or breach_of_threads(plan.threads, cores.used):
        line.send(outcome="over_budget", reason=breach)
        return
    with line.phase("save"), atomic_folder(Store(plan.out).build_folder(plan.build_id)) as folder:
        (folder / "index").mkdir()
        system.save(folder / "index")
        facts = facts.model_copy(update={"saved_bytes": folder_bytes(folder / "index")})
        (folder / "build.json").write_text(facts.model_dump_json(indent=1), encoding="utf-8")


def _calls(system: Index | Ranker) -> int | None:
    """Scorer calls of the build: those counted here, or more where it tells of some that a cache answered."""
    told, counted = getattr(system, "build_scorer_calls", None), calls_of_process()
    return counted or None if told is None else max(told, counted)


def serve(plan: BuildPlan, line: Line, engine_bytes: int) -> None:
    """Load the saved system in this clean process and measure each search setting; a record is written after each."""
    with line.phase("load"):
        dataset = opened(plan.dataset_folder, texts=False)
        folder = Store(plan.out).build_folder(plan.build_id)
        facts = BuildFacts.model_validate_json((folder / "build.json").read_text(encoding="utf-8"))
        server = Server(plan, dataset, facts, folder / "index", engine_bytes)
    for trial in plan.trials:
        server.measure(trial, line)
