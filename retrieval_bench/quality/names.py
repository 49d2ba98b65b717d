"""A metric is its name: ``nDCG@10`` says what is computed and how deep."""

from __future__ import annotations

import re
from dataclasses import dataclass

from retrieval_bench.errors import UnknownNameError, UsageError
from retrieval_bench.quality.families import FAMILIES, WITHOUT_CUT

NEIGHBOR_RECALL = "neighbor_recall"
_SPELLINGS = {name.lower(): name for name in (*FAMILIES, NEIGHBOR_RECALL)}


@dataclass(frozen=True)
class QualityMetric:
    """What one metric name means; ``str`` gives the canonical name back.

    Attributes:
        family: ``nDCG``, ``recall``, ``MRR``, ``MAP``, ``P``, ``success``, ``judged`` or ``neighbor_recall``.
        cut: how many of the best hits are looked at; None is all of them.
    """

    family: str
    cut: int | None

    def __str__(self) -> str:
        return self.family if self.cut is None else f"{self.family}@{self.cut}"

    @property
    def needs_neighbors(self) -> bool:
        """Computed from exact neighbors (``neighbor_recall``), not from judgments (``evaluate``)."""
        return self.family == NEIGHBOR_RECALL


def parse(name: str) -> QualityMetric:
    """Read a metric name, in any case: ``ndcg@10`` is ``nDCG@10``, and so is trec_eval's ``ndcg_cut_10``.

    Raises:
        UnknownNameError: no such family; names the nearest.
        UsageError: the cut is missing, or is not a whole number of at least 1.
    """
    family, at, cut = _ours(name.strip()).partition("@")
    known = _SPELLINGS.get(family.lower())
    if known is None:
        raise UnknownNameError("metric", name, [f"{n}{at}{cut}" for n in _SPELLINGS.values()])
    if not at:
        if known not in WITHOUT_CUT:
            raise UsageError(f"metric {name!r} needs a cut, as in '{known}@10'")
        return QualityMetric(known, None)
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", cut):
        raise UsageError(f"metric {name!r}: the cut must be a whole number of at least 1, as in '{known}@10'")
    return QualityMetric(known, int(cut))


def _ours(name: str) -> str:
    """A name as trec_eval writes it in our form; any other as it is."""
    if found := re.fullmatch(r"(ndcg|map)_cut_(\d+)|(p|recall|success)_(\d+)|(recip_rank)", name.lower()):
        family = found[1] or found[3] or "MRR"
        cut = found[2] or found[4]
        return f"{family}@{cut}" if cut else family
    return name
