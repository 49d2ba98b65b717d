"""Two trials, two runs' winners, two systems of a run, or two TREC runs: which is better?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from retrieval_bench.comparison.again import asked_again
from retrieval_bench.comparison.question import Asked, same_question
from retrieval_bench.comparison.scored_file import scored_file
from retrieval_bench.comparison.verdict import Finding, Verdict, judge_quality, judge_speed
from retrieval_bench.errors import UsageError
from retrieval_bench.files import home
from retrieval_bench.records import Store
from retrieval_bench.runner.race import Contender, contender, race, ratio_in_new_processes
from retrieval_bench.statistics import equivalence_test
from retrieval_bench.types import TrialRecord

_PRIMARIES = ("nDCG@10", "neighbor_recall@10", "MRR@10", "MAP")


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One of the two: its name, its values by query id, and its trial where it has one."""

    name: str
    values: dict[str, float]
    store: Store | None = None
    trial: TrialRecord | None = None


def compare(
    a: str, b: str, *, out: Path | None = None, qrels: Path | None = None, metric: str | None = None,
    within: float | None = None, speed: bool = True, level: float = 0.05,
) -> Verdict:  # fmt: skip
    """Say whether A is better than B.

    Quality is compared query by query on held-out queries. Speed is compared where both are trials whose built indexes
    are still there: they are served side by side and measured in turns, for timings of two different runs hold the
    noise between runs. A difference too small to be sure of is asked again in new processes.

    Args:
        a: a trial id (or its beginning), a system of the run ``out``, a run's folder (its winner), or a TREC run file.
        b: likewise.
        out: the run's folder; None looks through the results folder for a trial id.
        qrels: judgments, for TREC runs.
        metric: the measurement to compare; None is nDCG@10 with judgments, else neighbor_recall@10.
        within: also test whether A is as good as B within this share (0.01 is 1 %).
        speed: False leaves the speed out.
        level: error allowed to each claim.

    Raises:
        UsageError: a name that is none of these, values of different queries, or a measurement that one side lacks.
        RetrievalBenchError: a system cannot be served.
    """
    if qrels is not None:
        sides = _trec(a, b, qrels, metric or "nDCG@10")
    else:
        sides = _trials(a, b, out, metric)
    metric = sides[0][0]
    first, second = (side for _, side in sides)
    if first.trial is not None and second.trial is not None:
        same_question(Asked(name=first.name, trial=first.trial), Asked(name=second.name, trial=second.trial), metric)
    if first.values.keys() != second.values.keys():
        raise UsageError(
            f"{first.name} and {second.name} were measured on different queries "
            f"({len(first.values)} and {len(second.values)}): measure both on one data set"
        )
    x, y = (np.array([side.values[q] for q in first.values]) for side in (first, second))
    if np.isnan(x - y).all():
        raise UsageError(f"{first.name} and {second.name} have no {metric} of any query in common: nothing to compare")
    return Verdict(
        a=first.name,
        b=second.name,
        quality=judge_quality(metric, x, y, level=level),
        speed=_speed(first, second, level) if speed else None,
        equivalence=None if within is None else equivalence_test(x, y, margin=within, level=level),
    )


def _speed(a: _Side, b: _Side, level: float) -> Finding | None:
    if a.trial is None or b.trial is None or a.store is None or b.store is None or a.trial.kind != b.trial.kind:
        return None  # a ranker's time holds the encoding of the query, an index's does not
    first, second = contender(a.store, a.trial, "a"), contender(b.store, b.trial, "b")
    if first is None or second is None:
        return None
    pair = [first, second]
    done = race(pair, level=level)
    found = judge_speed(
        done.seconds[:, 0], done.seconds[:, 1], per=done.queries, level=level, decided=bool(done.decided),
        what=f"speed, measured in turns{_threads(first, second)}",
    )  # fmt: skip
    return asked_again(found, partial(ratio_in_new_processes, pair), level=level)


def _threads(a: Contender, b: Contender) -> str:
    return "" if a.threads == b.threads else f" ({a.threads} and {b.threads} threads)"


def _trials(a: str, b: str, out: Path | None, metric: str | None) -> list[tuple[str, _Side]]:
    found = [_find(name, out) for name in (a, b)]
    names = [f"{trial.system} ({trial.trial_id[:8]})" for _, trial in found]
    have = [{m.name for m in trial.measurements} for _, trial in found]
    metric = metric or next((m for m in _PRIMARIES if m in have[0] & have[1]), None)
    for name, (_, trial), measured in zip(names, found, have, strict=True):
        if metric is None or metric not in measured:
            wanted = metric or "a quality measurement that the other has"
            raise UsageError(f"{name} has no {wanted} (outcome {trial.outcome}); it has {', '.join(sorted(measured))}")
    assert metric is not None  # noqa: S101 - narrows the type
    return [
        (metric, _Side(name=name, values=_values(store, trial, metric), store=store, trial=trial))
        for name, (store, trial) in zip(names, found, strict=True)
    ]


def _values(store: Store, trial: TrialRecord, metric: str) -> dict[str, float]:
    path = store.queries_path(trial.trial_id)
    table = pq.read_table(path, columns=["query_id", metric], filters=[("split", "=", "test")])
    return dict(zip(table["query_id"].to_pylist(), table[metric].to_pylist(), strict=True))


def _find(name: str, out: Path | None) -> tuple[Store, TrialRecord]:
    """The trial that a name means (see ``compare``)."""
    if (Path(name) / "run.json").exists():
        store = Store(Path(name))
        if (winner := store.summary().winner) is None:
            raise UsageError(f"{name}: no system of this run can be recommended; name a trial of it")
        return store, store.record(winner)
    folders = [out] if out is not None else sorted((home() / "results").glob("*/"))
    for folder in folders:
        store = Store(folder)
        if out is not None and (folder / "run.json").exists() and name in {r.system for r in store.records()}:
            return store, store.named(name)
        if name and any(p.stem.startswith(name) for p in (folder / "records").glob("[!.]*.json")):
            return store, store.record(name)
    where = str(out) if out is not None else str(home() / "results")
    raise UsageError(f"{name!r} is no trial, system or run's folder in {where}; name the run with --out")


def _trec(a: str, b: str, qrels: Path, metric: str) -> list[tuple[str, _Side]]:
    sides = []
    for name in (a, b):
        scores = scored_file(Path(name), qrels, [metric])
        ((canonical, column),) = scores.values.items()
        values: dict[str, float] = dict(zip(scores.query_ids, _floats(column), strict=True))
        sides.append((canonical, _Side(name=Path(name).name, values=values)))
    return sides


def _floats(column: npt.NDArray[np.float64]) -> list[float]:
    return [float(v) for v in column]
