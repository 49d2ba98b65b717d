"""Tune every system alike, then measure each one's pick once on queries that tuning never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from retrieval_bench.datasets import place_name
from retrieval_bench.errors import UsageError
from retrieval_bench.files import home, write_text
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Turns
from retrieval_bench.runner.execute import OnEvent
from retrieval_bench.runner.finals import in_turns, near_the_fastest, usable_again
from retrieval_bench.runner.quiet import unquiet_answer
from retrieval_bench.specs import SystemCard, system_card
from retrieval_bench.statistics import unpaired_interval
from retrieval_bench.tuning.bench import Bench
from retrieval_bench.tuning.results import HeldOut, Sampler, Search, Tuned, Tuning
from retrieval_bench.tuning.study import QUICK, search
from retrieval_bench.tuning.targets import Target, parse_target
from retrieval_bench.types import Budget, Metric, TrialRecord

DEFAULT_TRIALS = 24
_TURN_SECONDS = 60.0  # most time of measuring picks in turns


def tune(
    dataset: str,
    *,
    indexes: Sequence[str] | None = None,
    rankers: Sequence[str] | None = None,
    encoder: str | None = None,
    target: str | None = None,
    budget: Budget | None = None,
    sampler: Sampler = "tpe",
    repeats: int = 1,
    metric: Metric | None = None,
    rows: int | None = None,
    queries: int | None = None,
    tune_share: float | None = None,
    depth: int | None = None,
    seed: int = 0,
    timeout: float = 1800.0,
    effort: Effort | None = None,
    out: Path | None = None,
    on_event: OnEvent | None = None,
    on_trial: Callable[[TrialRecord], None] | None = None,
) -> Tuning:
    """Tune systems on a data set, each with the same number of trials or seconds. The same call again goes on.

    Args:
        dataset: as for ``run``; it needs tuning queries.
        indexes: names of index cards or paths; None with ``rankers`` None is every default system.
        rankers: likewise.
        encoder: of texts.
        target: see ``parse_target``; None is the best quality with judgments, else qps@recall=0.95.
        budget: its ``tuning_trials`` or ``tuning_seconds`` bind every system (24 trials where neither is set), and its
            other limits every trial.
        sampler: ``tpe``, ``nsga2``, or ``random`` as the control.
        repeats: tuning runs with different seeds of the sampler, to see how much of the winner is luck.
        metric: as for ``run``.
        rows: use only the first so many vectors of the corpus.
        queries: use only the first so many queries of each split.
        tune_share: set this share of the test queries apart to tune on, where the data has none for it.
        depth: results per query; None is 100 with judgments and 10 without.
        seed: of the builds, and of the first sampler.
        timeout: most wall seconds of one process.
        effort: how long the pick is measured on held-out queries.
        out: folder of the records and of ``tuning.json``; None is one of its own for each data set, in
            ``tuning`` in the home folder.
        on_event: told what the trials report.
        on_trial: told of every finished trial.

    Raises:
        RetrievalBenchError: the data or the call is wrong. What a setting does wrong is a record instead.
    """
    if repeats < 1:
        raise UsageError(f"repeats = {repeats}: at least 1 is needed")
    if sampler not in get_args(Sampler):
        raise UsageError(f"sampler = {sampler!r} must be one of {', '.join(get_args(Sampler))}")
    budget = budget or Budget()
    folder = out or home() / "tuning" / place_name(dataset)
    bench = Bench(
        dataset, indexes=indexes, rankers=rankers, encoder=encoder, budget=budget, metric=metric, rows=rows,
        queries=queries, tune_share=tune_share, depth=depth, seed=seed, timeout=timeout, out=folder,
        on_event=on_event or (lambda _event: None),
    )  # fmt: skip
    default = "qps@recall=0.95" if bench.primary.startswith("neighbor") else bench.primary
    wanted = parse_target(target or default, primary=bench.primary)
    bench.require(wanted.quality)
    trials, seconds = budget.tuning_trials, budget.tuning_seconds
    if trials is None and seconds is None:
        trials = DEFAULT_TRIALS
    with bench.records.locked():
        if wanted.loss is not None:
            wanted = wanted.given(_exact(bench, wanted))
        systems = []
        for card in bench.cards:
            searches = tuple(
                search(bench, card, wanted, sampler=sampler, seed=seed + i, trials=trials, seconds=seconds,
                       on_trial=on_trial)
                for i in range(repeats)
            )  # fmt: skip
            systems.append(
                Tuned(system=card.name, searches=searches, held_out=_held_out(bench, card, wanted, searches[0], effort))
            )
            _keep_best(bench, systems[-1])
        systems.sort(key=lambda s: (s.searches[0].score is None, -(s.searches[0].score or 0.0)))
        found = _in_turns(bench, systems, _written(folder)) if wanted.objective == "qps" else ""
        tuning = Tuning(
            dataset=dataset, target=str(wanted), quality=wanted.quality, sampler=sampler, budget=bench.budget,
            systems=tuple(systems), notes=(*bench.notes, *_unquiet(bench, systems)),
            turns=found if isinstance(found, Turns) else None, untold=found if isinstance(found, str) else "",
        )  # fmt: skip
        write_text(folder / "tuning.json", tuning.model_dump_json(indent=1) + "\n")
    return tuning


def _exact(bench: Bench, target: Target) -> float:
    """Quality of exact search on tuning queries; what the budget allows has no say in it."""
    free = Budget(threads=bench.budget.threads)
    record = bench.measure(system_card("flat", "index"), {}, {}, splits=("tune",), effort=QUICK, budget=free)
    value = record.value(f"tune/{target.metric}")
    if value is None:
        raise UsageError(f"target {target}: exact search gave no {target.metric} ({record.outcome}: {record.reason})")
    return value


def _held_out(
    bench: Bench, card: SystemCard, target: Target, found: Search, effort: Effort | None
) -> HeldOut | None:  # fmt: skip
    if found.best is None:
        return None
    tuned = bench.records.record(found.best)
    record = bench.measure(card, found.build, found.search, splits=("test",), effort=effort or Effort())  # fmt: skip
    quality = record.measurement(target.quality)
    gap = low = high = None
    if quality is not None:
        chosen = bench.records.per_query(tuned.trial_id, "tune")[target.quality]
        fresh = bench.records.per_query(record.trial_id, "test")[target.quality]
        gap = (tuned.value(f"tune/{target.quality}") or 0.0) - quality.value
        low, high = unpaired_interval(chosen, fresh)
    return HeldOut(
        trial=record.trial_id, score=target.score(record, "test"),
        quality=quality.value if quality else None, low=quality.low if quality else None,
        high=quality.high if quality else None, met=target.shortfall(record, "test") <= 0,
        optimism=gap, optimism_low=low, optimism_high=high,
    )  # fmt: skip


def _written(folder: Path) -> Tuning | None:
    """What an earlier call left in the folder; None where there is nothing, or of another version."""
    try:
        return Tuning.model_validate_json((folder / "tuning.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _in_turns(bench: Bench, systems: Sequence[Tuned], before: Tuning | None) -> Turns | str:
    """The picks that may be the fastest, measured in turns: timings that lie minutes apart decide nothing.

    An empty text where one is twice as fast as all others, else why they were not measured so.
    """
    picks = [(s.held_out.trial, s.searches[0].score or 0.0) for s in systems if s.held_out]
    near = [picks[place][0] for place in near_the_fastest([score for _, score in picks])]
    if len(near) < 2:
        return ""
    measured = before.turns if before is not None else None
    if usable_again(measured, near):
        return measured
    return in_turns(bench.records, bench.records.records(near), seconds=_TURN_SECONDS)


def _unquiet(bench: Bench, systems: Sequence[Tuned]) -> tuple[str, ...]:
    """What is to be said of a machine that was not quiet while the picks were measured."""
    said = unquiet_answer(bench.records.records([s.held_out.trial for s in systems if s.held_out]))
    return (said.strip(),) if said else ()


def _keep_best(bench: Bench, system: Tuned) -> None:
    """Builds of the system that were tried and not picked make room; their records stay, and other systems' builds."""
    tried = {r.build_id for r in bench.records.records([t for s in system.searches for t in s.trials])}
    picks = [t for t in (system.held_out and system.held_out.trial, *(s.best for s in system.searches)) if t]
    bench.forget_builds(tried - {r.build_id for r in bench.records.records(picks)})
