"""One command: data, plan, trials in their own processes, records, a recommendation."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from retrieval_bench.checks import check_k
from retrieval_bench.datasets import load_dataset, notes_of, place_name
from retrieval_bench.errors import UsageError
from retrieval_bench.files import home
from retrieval_bench.given import given_texts
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.machine import gpu_name
from retrieval_bench.processors import usable_cores, usable_processors
from retrieval_bench.records import RunSummary, Store
from retrieval_bench.runner.encoding import encoded_or_why_not, refusal
from retrieval_bench.runner.execute import OnEvent, Wall, execute
from retrieval_bench.runner.finals import Finals
from retrieval_bench.runner.job import BuildPlan
from retrieval_bench.runner.plan import plan_builds
from retrieval_bench.runner.prepared import store
from retrieval_bench.runner.score import primary
from retrieval_bench.runner.select import choose
from retrieval_bench.specs import SystemCard, system_card, system_cards
from retrieval_bench.types import Budget, Dataset, Metric, TrialRecord

USEFUL_PHASES = ("encode", "build", "search", "turns")  # the rest of the wall time is what the harness adds
_TEXT_DEPTH, _VECTOR_DEPTH = 100, 10
_TURNS = 10  # times the effort's seconds: most time for measuring finalists in turns


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run.

    Attributes:
        folder: where its records, builds and report stand.
        records: its trials, in the order planned.
        summary: the run as a whole, with the winner.
    """

    folder: Path
    records: list[TrialRecord]
    summary: RunSummary

    @property
    def winner(self) -> TrialRecord | None:
        """The recommended trial."""
        return next((r for r in self.records if r.trial_id == self.summary.winner), None)


def run(
    dataset: str | Path,
    *,
    indexes: Sequence[str] | None = None,
    rankers: Sequence[str] | None = None,
    encoder: str | None = None,
    budget: Budget | None = None,
    depth: int | None = None,
    recall_target: float = 0.95,
    metric: Metric | None = None,
    rows: int | None = None,
    queries: int | None = None,
    tune_share: float | None = None,
    seed: int = 0,
    timeout: float = 1800.0,
    effort: Effort | None = None,
    out: Path | None = None,
    retry: bool = False,
    compare_speeds: bool = True,
    command: str = "",
    progress: bool = False,
    on_event: OnEvent | None = None,
) -> Run:
    """Compare systems on a data set under one budget. The same call again continues an interrupted run.

    Args:
        dataset: name of a card, an ``ir_datasets`` name, or a path (see ``load_dataset``), as text or a ``Path``.
        indexes: names of index cards or paths of cards; None with ``rankers`` None is every default system.
        rankers: likewise; they need texts.
        encoder: name of the encoder of texts (None: the packaged MiniLM); not used where data comes as vectors.
        budget: what every system may use.
        depth: results per query; None is 100 with judgments and 10 without.
        recall_target: in (0, 1]; where neighbors decide, the winner is the fastest that reaches this recall, or, where
            none does, the nearest to it, and ``why`` says so.
        metric: how vectors compare, ``ip``, ``l2`` or ``cos``; None is what the data says, or ``l2``.
        rows: use only the first so many vectors of the corpus.
        queries: use only the first so many queries of each split.
        tune_share: set this share of the test queries apart to choose and learn on, where the data has none for it.
        seed: of every random choice.
        timeout: most wall seconds of one process.
        effort: how long to measure each setting.
        out: folder of the run; None is one of its own for each data set, in ``results`` in the home folder.
        retry: do trials again that did not end in ``ok``.
        compare_speeds: measure the finalists that may be the fastest in turns, for at most ten times the seconds of
            ``effort``, before one is named; and, for twice as long, new pairs of processes, before it is called faster.
        command: the command line to name in the summary.
        progress: show bars for downloads and encoding.
        on_event: told of the plan and of everything the trials report.

    Raises:
        RetrievalBenchError: the data or the call is wrong, or no system can do without the encoder that is missing.
            What a system does wrong or lacks is a record instead.
    """
    dataset = str(dataset)
    began, start, wall = datetime.now(UTC), time.perf_counter(), Wall()
    budget, effort, tell = budget or Budget(), effort or Effort(), on_event or (lambda _event: None)
    threads = budget.threads or usable_cores()
    if threads > (most := len(usable_processors())):
        raise UsageError(f"{threads} threads are asked for, this machine has {most} processors for us (threads)")
    if not 0 < recall_target <= 1:
        raise UsageError(f"recall_target = {recall_target:g} must be above 0 and at most 1 (0.95 is 95 %)")
    data = load_dataset(
        dataset, metric=metric, rows=rows, queries=queries, tune_share=tune_share, apart=True, progress=progress
    )
    cards = chosen_cards(data, indexes, rankers)
    clock = time.perf_counter()
    data, encoder_name, lacking = encoded_or_why_not(data, cards, encoder, progress=progress)
    if encoder_name is not None:
        wall.add("encode", time.perf_counter() - clock)
    depth = depth or min(_TEXT_DEPTH if data.qrels else _VECTOR_DEPTH, len(data.corpus))
    check_k(depth, data.corpus)
    folder = out or home() / "results" / place_name(dataset)
    records = Store(folder.resolve())
    with records.locked():
        clock = time.perf_counter()
        prepared = store(data)
        wall.add("prepare", time.perf_counter() - clock)
        plans = plan_builds(
            cards, fingerprint=data.fingerprint, dataset_folder=prepared, out=records.folder, budget=budget,
            threads=threads, seed=seed, depth=depth, effort=effort, encoder=encoder_name or encoder,
        )  # fmt: skip
        tell({"plan": [(p.card.name, [t.trial_id for t in p.trials]) for p in plans]})
        for plan in plans:
            _forget_failed(records, plan) if retry else None
            refused = refusal(plan.card, lacking)
            execute(records, plan, data, timeout=timeout, wall=wall, tell=tell, refused=refused)
        found = records.records([t.trial_id for p in plans for t in p.trials])
        clock = time.perf_counter()
        finals = Finals(records, seconds=_TURNS * effort.seconds if compare_speeds else 0.0)
        choice = choose(
            records, found, primary=primary(data, depth), recall_target=recall_target, in_turns=finals.in_turns
        )
        wall.add("turns", finals.spent)
        wall.add("choose", time.perf_counter() - clock - finals.spent)
        total = time.perf_counter() - start
        useful = sum(wall.phases.get(p, 0.0) for p in USEFUL_PHASES)
        wall.add("other", total - sum(wall.phases.values()))
        summary = RunSummary(
            dataset=data.name,
            description=data.meta.get("summary", ""),
            licence=data.meta.get("licence", "unknown"),
            source=data.meta.get("source", ""),
            notes=notes_of(data),
            documents=len(data.corpus),
            held_out=0 if data.held_out is None else len(data.held_out),
            dimensions=data.corpus.dim,
            metric=data.metric if data.corpus.dim else None,
            queries={split: len(q) for split, q in data.queries.items()},
            budget=budget.model_copy(update={"threads": threads}),
            encoder=encoder_name,
            primary=choice.primary,
            winner=choice.winner,
            why=choice.why,
            selected_on=choice.selected_on,
            chosen=choice.chosen,
            turns=choice.turns,
            tied=choice.tied,
            trials=tuple(r.trial_id for r in found),
            wall_seconds=wall.phases,
            overhead_percent=100 * (1 - useful / total),
            started=began.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command or f"retrieval-bench run {dataset}",
        )
        records.write_summary(summary)
    return Run(folder=records.folder, records=found, summary=summary)


def chosen_cards(data: Dataset, indexes: Sequence[str] | None, rankers: Sequence[str] | None) -> list[SystemCard]:
    """The cards of these names; the default ones that fit the data where both are None."""
    indexes, rankers = (None if n is None else given_texts(n, source="names of systems") for n in (indexes, rankers))
    if indexes is None and rankers is None:
        defaults = [c for c in system_cards().values() if c.default is True or (c.default and gpu_name())]
        return [c for c in defaults if c.kind == "index" or data.corpus.texts is not None]
    cards = [system_card(n, "index") for n in indexes or ()] + [system_card(n, "ranker") for n in rankers or ()]
    names = [c.name for c in cards]
    if double := {n for n in names if names.count(n) > 1}:
        raise UsageError(f"asked for twice: {', '.join(sorted(double))}")
    if data.corpus.texts is None and rankers:
        data.corpus.require_texts()
    return cards


def _forget_failed(records: Store, plan: BuildPlan) -> None:
    for trial in plan.trials:
        if records.has(trial.trial_id) and records.record(trial.trial_id).outcome != "ok":
            records.forget(trial.trial_id)


def discard_builds(folder: Path) -> None:
    """Remove the built indexes of a run, keeping its records."""
    shutil.rmtree(folder / "builds", ignore_errors=True)
