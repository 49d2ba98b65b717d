"""A measured system built anew over all rows of its data, those included that were held out to ask with."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from retrieval_bench.datasets import fingerprint, own_rows
from retrieval_bench.encoders import encoded_by, load_encoder
from retrieval_bench.errors import UsageError
from retrieval_bench.frame import Frame
from retrieval_bench.measure.clock import Effort
from retrieval_bench.processors import usable_processors
from retrieval_bench.records import Store
from retrieval_bench.runner.execute import OnEvent, execute
from retrieval_bench.runner.plan import plan_builds
from retrieval_bench.runner.prepared import store
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Corpus, Dataset, EncoderInfo, HeldOut, TrialRecord

_PLACE = "all-rows"  # folder in the run's: records and builds over all rows
_LEAST_SECONDS, _LONGER = 1800.0, 10  # of a process: no less than a run allows, and so many times the measured build


class Rebuilt(NamedTuple):
    """A system over all rows: its record, where its build stands, and the data."""

    record: TrialRecord
    records: Store
    data: Dataset


def whole(data: Dataset, frame: Frame) -> Dataset:
    """The data with nothing held out; a query that was a row of the source knows it as its own document.

    Exact neighbors are left out, as they are others now.

    Raises:
        UsageError: the texts held out need the encoder of the others, and another one of its name is here.
        UnavailableError, DataError: that encoder cannot be had.
    """
    held = data.held_out
    if held is None:
        return data
    corpus = _encoded(held, data.corpus.encoder, frame).put_back(data.corpus)
    queries = {
        split: replace(part, own_rows=own_rows(corpus, part, None, declared=True))
        for split, part in data.queries.items()
    }
    meta = {key: fact for key, fact in data.meta.items() if key != "held out"}
    every = replace(data, corpus=corpus, queries=queries, neighbors={}, held_out=None, meta=meta)
    return replace(every, fingerprint=fingerprint(every))


def _encoded(held: HeldOut, info: EncoderInfo | None, frame: Frame) -> HeldOut:
    if info is None or held.documents.vectors is not None:
        return held
    encoder = load_encoder(info.name)
    if encoder.revision != info.revision:
        raise UsageError(
            f"encoder {info.name!r} here has the revision {encoder.revision}, the others of these texts were encoded "
            f"with {info.revision}; run the benchmark again, or export what was measured (--as-measured)"
        )
    documents: Corpus = encoded_by(encoder, held.documents)
    return replace(held, documents=replace(documents, vectors=frame.rows(documents.require_vectors())))


def over_all_rows(record: TrialRecord, records: Store, data: Dataset, frame: Frame, *, tell: OnEvent) -> Rebuilt:
    """Build a trial's system over all rows, with its parameters, seed, threads and budget, and measure it again.

    In a process of its own, as in a run. What was built so before is taken up. Queries that are rows of the data find
    others than themselves (``Queries.own_rows``), so that their recall is what that of new queries would be.

    Args:
        record: the trial, which ended ``ok``.
        records: of its run.
        data: as it was prepared, with rows held out.
        frame: in which its vectors are, and stay.
        tell: told of the plan and of everything the trial reports.

    Raises:
        UsageError: it does not come out over all rows, as when it breaks the budget there; says why.
        UnavailableError, DataError: see ``whole``.
    """
    every = whole(data, frame)
    card = SystemCard(
        name=record.system, summary="over all rows", kind=record.kind, backend=record.backend,
        build=record.build_params, search={name: [value] for name, value in record.search_params.items()},
    )  # fmt: skip
    kept = Store(records.folder / _PLACE)
    with kept.locked():
        most = len(usable_processors())
        threads = min(record.budget.threads or most, most)
        (plan,) = plan_builds(
            [card], fingerprint=every.fingerprint, dataset_folder=store(every, frame), out=kept.folder,
            budget=record.budget, threads=threads, seed=record.seed, depth=record.depth, effort=Effort(seconds=1.0),
            encoder=None,
        )  # fmt: skip
        (trial,) = plan.trials
        if kept.has(trial.trial_id) and kept.record(trial.trial_id).outcome != "ok":
            kept.forget(trial.trial_id)
        tell({"plan": [(card.name, [trial.trial_id])]})
        timeout = max(_LEAST_SECONDS, _LONGER * (record.value("build_seconds") or 0.0))
        execute(kept, plan, every, timeout=timeout, tell=tell)
        done = kept.record(trial.trial_id)
    if done.outcome != "ok":
        raise UsageError(
            f"{record.system} over all {len(every.corpus):,} rows ended {done.outcome}: {done.reason}; export the "
            f"build that was measured, over {len(data.corpus):,} of them, with --as-measured (as_measured=True)"
        )
    return Rebuilt(done, kept, every)
