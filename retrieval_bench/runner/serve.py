"""Measure one loaded system at one search setting: correctness of form, speed in three modes, quality, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from retrieval_bench import registry
from retrieval_bench.budgets import allowed_bytes
from retrieval_bench.contract import check_hits
from retrieval_bench.measure.clock import portion, timed
from retrieval_bench.measure.cores import CoresWatch, breach_of_threads
from retrieval_bench.measure.device_memory import DevicePeak, breach_of_device, unread
from retrieval_bench.measure.machine import code, libraries, machine
from retrieval_bench.measure.memory import forget_pages, private_bytes, settle
from retrieval_bench.protocols import Index, Ranker
from retrieval_bench.quality import Ranking
from retrieval_bench.records import Store
from retrieval_bench.runner import measurements as made
from retrieval_bench.runner.failure import outcome_of
from retrieval_bench.runner.hidden import Hidden, hidden
from retrieval_bench.runner.job import BuildFacts, BuildPlan, TrialPlan
from retrieval_bench.runner.quiet import unquiet_note
from retrieval_bench.runner.score import PerQuery, ranking, said_of_ties, said_of_unmatched, score
from retrieval_bench.runner.timing import Timing
from retrieval_bench.runner.worker import Line
from retrieval_bench.scorers import calls_of_process
from retrieval_bench.statistics import mean_interval
from retrieval_bench.types import Contention, Dataset, Hits, Measurement, Outcome, Queries, TrialRecord

_COPY_QUERIES = 20  # asked of each copy of an index that is measured


class Server:
    """A system loaded in a clean process, whose memory is therefore what serving needs."""

    def __init__(self, plan: BuildPlan, dataset: Dataset, facts: BuildFacts, folder: Path, engine_bytes: int) -> None:
        self.plan, self.dataset, self.facts, self.folder = plan, dataset, facts, folder
        self._hidden_bytes: Hidden | None = None
        self._copied_at = 0.0  # private bytes when copies were last made
        settle()
        before, device = private_bytes() - engine_bytes, DevicePeak()
        self.system, self.load_seconds = timed(lambda: _load(plan, folder))
        settle()
        self.private = private_bytes() - before
        self._before, self._held = before, self.private
        self._loading = device.look()

    def measure(self, trial: TrialPlan, line: Line) -> None:
        """Run the trial and write its record. A typed error ends this setting only; the others go on."""
        started, start = datetime.now(UTC).isoformat(timespec="milliseconds"), time.perf_counter()
        values: dict[str, PerQuery] = {}
        judged: Ranking | None = None
        found: list[Measurement] = []
        notes: list[str] = []
        self._timing = Timing(self.plan)
        outcome: Outcome = "ok"
        reason = ""
        device = DevicePeak()
        try:
            with line.phase("search"), CoresWatch() as cores:
                hits = self._search(trial, found, notes)
            settle()
            self._held = max(self._held, private_bytes() - self._before)
            with line.phase("score"):
                values = {split: self._score(split, hits[split]) for split in hits}
                judged = self._judged(hits, values, notes)
            found += made.quality(values)
            peak = self._device_peak(device)
            notes += unread(peak, self.plan.budget)
            found += made.memory(self.facts, self.private, self.load_seconds, peak)
            reason = (
                breach_of_threads(self.plan.threads, cores.used) or self._breach(found) or self._hidden(trial, notes)
            )
            outcome = "over_budget" if reason else "ok"
        except Exception as error:
            ended = outcome_of(error, self.plan.budget)
            if ended is None:
                raise
            outcome, reason = ended
        said = dict.fromkeys((*self.facts.notes, *getattr(self.system, "notes", ())))
        notes += [note for note in said if note not in notes]
        with line.phase("write"):
            record = trial_record(
                self.plan,
                trial,
                self.dataset,
                outcome=outcome,
                reason=reason,
                started=started,
                seconds=time.perf_counter() - start,
                found=found,
                facts=self.facts,
                notes=notes,
                contention=self._timing.windows,
            )
            asked = {split: self.dataset.queries[split].ids for split in values}
            Store(self.plan.out).write(
                record, values, asked, None if judged is None else {"rows": judged.rows, "scores": judged.scores}
            )

    def _search(self, trial: TrialPlan, found: list[Measurement], notes: list[str]) -> dict[str, Hits]:
        call, plan = self._call(trial), self.plan
        hits: dict[str, Hits] = {}
        for split in [s for s in plan.splits if s in self.dataset.queries]:
            asked = self.dataset.queries[split]
            before = self._scorer_calls()
            hits[split], seconds = timed(partial(call, asked))  # also the warm-up of the batch path
            if split == plan.splits[0]:
                batch = portion(len(asked), seconds, plan.effort)
                made_now = max(now - then for now, then in zip(self._scorer_calls(), before, strict=True))
                found += made.scorer_calls(self.facts, made_now, len(asked))
            check_hits(hits[split], len(asked), self._k(asked), len(self.dataset.corpus))
        if hopeless := self._hopeless(hits):
            notes.append(hopeless)
        else:
            found += self._timing.measure(call, self.dataset.queries[plan.splits[0]], batch)
            notes += self._timing.notes
            if batch < len(self.dataset.queries[plan.splits[0]]):
                notes.append(f"batch_qps is of batches of {batch} queries: all at once take too long to repeat.")
        return hits

    def _score(self, split: str, hits: Hits) -> PerQuery:
        values = score(self.dataset, split, hits, kind=self.plan.card.kind, depth=self.plan.depth)
        forget_pages(self.dataset.corpus.vectors)  # read here to score, and no part of what the system holds
        return values

    def _judged(self, hits: dict[str, Hits], values: dict[str, PerQuery], notes: list[str]) -> Ranking | None:
        """The reported answers as they were judged, where they were; notes lacking answers, and ties that count."""
        if "test" not in hits or "test" not in self.dataset.qrels:
            return None
        if said := said_of_unmatched(hits["test"], self.plan.card.backend, self.plan.card.kind):
            notes.append(said)
        judged = ranking(self.dataset, "test", hits["test"], depth=self.plan.depth)
        if said := said_of_ties(self.dataset, "test", judged, values["test"]):
            notes.append(said)
        return judged

    def _hopeless(self, hits: dict[str, Hits]) -> str:
        """Why the speed of this setting need not be measured; empty where it must be."""
        floor, split = self.plan.floor, self.plan.splits[0]
        if floor is None:
            return ""
        reached = self._score(split, hits[split])[floor.metric]
        _, most = mean_interval(reached)
        return (
            f"speed not measured: {floor.metric} is at most {most:.4f} of {floor.least:g}" if most < floor.least else ""
        )

    def _call(self, trial: TrialPlan) -> Callable[[Queries], Hits]:
        system = self.system
        k = self._k(self.dataset.queries[self.plan.splits[0]])
        if self.plan.card.kind == "ranker":
            ranker: Ranker = system  # type: ignore[assignment]
            return lambda queries: ranker.rank(queries, k)
        index: Index = system  # type: ignore[assignment]
        params = index.SearchParams.model_validate(trial.search)
        return lambda queries: index.search(queries, k, params)

    def _scorer_calls(self) -> tuple[int, int]:
        """Pairs scored so far, by the system's account and as counted here."""
        return getattr(self.system, "scorer_calls", 0), calls_of_process()

    def _k(self, queries: Queries) -> int:
        """One more than the depth where a query's own document will be taken out."""
        return min(self.plan.depth + (queries.own_rows is not None), len(self.dataset.corpus))

    def _breach(self, found: list[Measurement]) -> str:
        budget = self.plan.budget
        by_name = {m.name: m.value for m in found}
        if budget.latency_ms is not None:
            name = made.latency_name(budget.latency_percentile)
            if by_name.get(name, 0.0) > budget.latency_ms:  # a hopeless setting is not timed
                said = f"{name} is {by_name[name]:.3g} ms, {budget.latency_ms:g} are allowed (latency_ms)"
                return said + self._timing.doubt
        calls = by_name.get("scorer_calls", 0)
        if budget.scorer_calls is not None and calls > budget.scorer_calls:
            return f"{calls:.4g} scorer calls per query, {budget.scorer_calls:,} are allowed (scorer_calls)"
        used = by_name.get("device_bytes")
        return breach_of_device(None if used is None else int(used), budget, "while serving") or ""

    def _hidden(self, trial: TrialPlan, notes: list[str]) -> str:
        """Memory that an index keeps outside its account breaks a budget of memory, and is a note without one."""
        if self.plan.card.kind != "index":  # a ranker's engine (a JVM, a model's work space) is no part of its index
            return ""
        reported, allowed = self.facts.memory.total, allowed_bytes(self.plan.budget, len(self.dataset.corpus))
        found = made.unreported(reported, self._held)
        copied = None if found else self._copied(trial)
        if found := found or made.uncounted(reported, copied):
            fits = copied is not None and allowed is not None and reported + copied.bytes <= allowed
            allowed = None if fits else allowed
        if not found or allowed is None:
            notes += [f"{found}."] if found else []
            return ""
        return f"{found} (bytes_per_vector, index_bytes)"

    def _copied(self, trial: TrialPlan) -> Hidden | None:
        """What copies of the index hold beyond its account; None where nothing calls for them, or not for anew."""
        reported = self.facts.memory.total
        if not made.doubtful(reported, self._held):
            return None
        if self._held > self._copied_at * (1 + made.AGREEMENT):
            self._copied_at = self._held
            few = self.dataset.queries[self.plan.splits[0]].take(slice(0, _COPY_QUERIES))

            def answer(index: Index) -> Hits:
                params = index.SearchParams.model_validate(trial.search)
                return index.search(few, 1, params)  # a tiny index, too, has one hit for every query

            self._hidden_bytes = hidden(self.plan, self.dataset, self.folder, reported, answer)
        return self._hidden_bytes

    def _device_peak(self, trial: DevicePeak) -> int | None:
        """The most that loading, or this trial, held on the device."""
        return max((peak for peak in (self._loading, trial.look()) if peak is not None), default=None)


def _load(plan: BuildPlan, folder: Path) -> Index | Ranker:
    if plan.card.kind == "index":
        return registry.indexes.get(plan.card.backend).load(folder)
    return registry.rankers.get(plan.card.backend).load(folder)


def trial_record(
    plan: BuildPlan,
    trial: TrialPlan,
    dataset: Dataset,
    *,
    outcome: Outcome,
    reason: str,
    started: str,
    seconds: float,
    found: list[Measurement] | None = None,
    facts: BuildFacts | None = None,
    notes: Sequence[str] = (),
    contention: Mapping[str, Contention] | None = None,
) -> TrialRecord:
    """The record of a trial, finished or failed (then without measurements)."""
    windows = {"build": facts.contention} if facts is not None and facts.contention is not None else {}
    windows |= contention or {}
    return TrialRecord(
        trial_id=trial.trial_id,
        build_id=plan.build_id,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        documents=len(dataset.corpus),
        held_out=0 if dataset.held_out is None else len(dataset.held_out),
        dimensions=dataset.corpus.dim,
        queries=len(dataset.queries["test"]),
        depth=plan.depth,
        system=plan.card.name,
        kind=plan.card.kind,
        backend=plan.card.backend,
        card_hash=plan.card.hash,
        build_params=facts.params if facts else plan.build,
        search_params=trial.search,
        seed=plan.seed,
        budget=plan.budget.model_copy(update={"threads": plan.threads}),
        outcome=outcome,
        reason=reason,
        measurements=tuple(found or ()),
        memory_parts=facts.memory.parts if facts else {},
        contention=windows,
        notes=(*notes, *unquiet_note(windows), *made.memory_notes(found or ())),
        started=started,
        seconds=seconds,
        code=code(),
        machine=machine(),
        libraries=libraries(),
    )
