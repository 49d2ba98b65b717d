"""Whether figures of two trials answer the same question; where they do not, an error names both and what differs."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval_bench.errors import UsageError
from retrieval_bench.records import RunSummary
from retrieval_bench.types import TrialRecord

_MEND = "measure both on one data set"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial, and what to call it in an error."""

    name: str
    trial: TrialRecord


def same_question(a: Asked, b: Asked, metric: str) -> None:
    """Refuse two trials whose values of a metric do not answer the same question.

    Raises:
        UsageError: other documents, other vectors where exact neighbors are the truth, or rankings cut at other depths.
    """
    one, other = a.trial, b.trial
    if one.documents != other.documents:
        sizes = f"{one.documents:,} and {other.documents:,} documents"
        raise UsageError(f"{a.name} and {b.name} searched {sizes} ({one.dataset}, {other.dataset}): {_MEND}")
    if metric.startswith("neighbor") and one.dataset_fingerprint != other.dataset_fingerprint:
        raise UsageError(
            f"{a.name} and {b.name} searched different vectors ({one.dataset}, {other.dataset}), so {metric} is "
            f"of different neighbors: {_MEND}"
        )
    if "@" not in metric and one.depth != other.depth:
        raise UsageError(
            f"{a.name} and {b.name} ranked to the depths {one.depth} and {other.depth}, over which {metric} is "
            "taken: measure both with one --k, or compare a metric with a cut"
        )


def same_work(a: Asked, b: Asked, metric: str, runs: tuple[RunSummary, RunSummary]) -> None:
    """Refuse two trials whose figures differ for other reasons than seed, build or machine.

    Vectors that came from an encoder may differ by rounding, for machines choose its precision; given ones may not.

    Args:
        a: one trial.
        b: the other.
        metric: the figure.
        runs: of which they are trials.

    Raises:
        UsageError: as ``same_question``; or another data set, depth, metric of vectors, or encoder.
    """
    same_question(a, b, metric)
    one, other = (_work(asked.trial, run) for asked, run in zip((a, b), runs, strict=True))
    for what, value in one.items():
        if other.get(what, value) != value:
            raise UsageError(
                f"{a.name} and {b.name} differ in their {what} ({value} and {other[what]}), so that the spread of "
                f"{metric} is not only one of seed, build and machine: give runs of the same data, metric and depth"
            )


def _work(trial: TrialRecord, run: RunSummary) -> dict[str, object]:
    work: dict[str, object] = {"data set": trial.dataset, "test queries": trial.queries, "depth": trial.depth}
    if trial.kind == "ranker":
        return work | {"encoder": trial.build_params.get("encoder")}
    work |= {"metric": run.metric, "dimensions": trial.dimensions, "encoder": run.encoder}
    return work if run.encoder else work | {"vectors, by their fingerprints": trial.dataset_fingerprint}
