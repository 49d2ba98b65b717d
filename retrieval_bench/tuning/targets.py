"""What tuning is to reach, as a practitioner says it: ``qps@recall=0.95``, ``nDCG@10``, ``bytes@loss=0.01``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from retrieval_bench.errors import UsageError
from retrieval_bench.quality.names import parse
from retrieval_bench.types import TrialRecord

_SHORT = {"recall": "neighbor_recall@10", "ndcg": "nDCG@10"}
_MEASURED = {"qps": ("batch_qps", 1.0), "bytes": ("analytic_bytes", -1.0)}


@dataclass(frozen=True, kw_only=True)
class Target:
    """The best ``objective`` among settings whose ``metric`` reaches ``least``.

    Attributes:
        objective: ``qps`` (most), ``bytes`` (fewest), or a quality measurement (most).
        metric: the quality that must be reached; None where the objective is itself a quality.
        least: how much of it; None where ``loss`` says so and the exact quality is not known yet.
        loss: share of the exact search's quality that may be lost.
    """

    objective: str
    metric: str | None = None
    least: float | None = None
    loss: float | None = None

    @property
    def quality(self) -> str:
        """The quality measurement that matters."""
        return self.metric or self.objective

    def score(self, record: TrialRecord, split: str = "tune") -> float | None:
        """The objective, higher is better (bytes are negative); None where it was not measured."""
        if self.objective in _MEASURED:
            name, sign = _MEASURED[self.objective]
            value = record.value(name)
            return None if value is None else sign * value
        return record.value(_named(self.objective, split))

    def shortfall(self, record: TrialRecord, split: str = "tune") -> float:
        """As ``missing``; infinite where the objective was not measured either."""
        return math.inf if self.score(record, split) is None else self.missing(record, split)

    def missing(self, record: TrialRecord, split: str = "tune") -> float:
        """How much quality is missing: 0 or less where the target is met, infinite where no quality was measured."""
        if record.outcome != "ok":
            return math.inf
        if self.metric is None:
            return 0.0
        value = record.value(_named(self.metric, split))
        return math.inf if value is None or self.least is None else self.least - value

    def given(self, exact: float) -> Target:
        """The target where exact search reaches this quality: a loss becomes a least quality."""
        return self if self.loss is None else replace(self, least=(1 - self.loss) * exact)

    def __str__(self) -> str:
        """As ``parse_target`` reads it."""
        if self.loss is not None:
            return f"{self.objective}@loss={self.loss:g}"
        return self.objective if self.metric is None else f"{self.objective}@{self.metric}={self.least:g}"


def parse_target(text: str, *, primary: str = "neighbor_recall@10") -> Target:
    """Read a target.

    Args:
        text: ``OBJECTIVE``, ``OBJECTIVE@METRIC=VALUE`` or ``OBJECTIVE@loss=SHARE``; ``recall`` stands for
            neighbor_recall@10 and ``ndcg`` for nDCG@10.
        primary: the quality that ``loss`` is of.

    Raises:
        UsageError: it cannot be read, or a value outside (0, 1].
        UnknownNameError: no such metric.
    """
    if "=" not in text:
        return Target(objective=_metric(text))
    objective, _, rest = text.partition("@")
    metric, _, number = rest.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if objective not in _MEASURED or not metric or not 0 < value <= 1:
        raise UsageError(
            f"target {text!r} cannot be read: write qps@recall=0.95, bytes@loss=0.01, or a metric such as nDCG@10"
        )
    if metric == "loss":
        return Target(objective=objective, metric=primary, loss=value)
    return Target(objective=objective, metric=_metric(metric), least=value)


def _metric(name: str) -> str:
    return str(parse(_SHORT.get(name.lower(), name)))


def _named(metric: str, split: str) -> str:
    return metric if split == "test" else f"{split}/{metric}"
