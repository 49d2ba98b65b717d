"""A mean taken apart by kinds of queries: short and long, common and rare words, clusters, near and far."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics import mean_interval
from retrieval_bench.types import FloatArray

Float64Array = npt.NDArray[np.float64]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Queries whose feature lies in ``low``..``high``: how many, and the mean with its 95 % interval."""

    low: float
    high: float
    n: int
    mean: float
    mean_low: float
    mean_high: float


def by_feature(values: npt.ArrayLike, feature: npt.ArrayLike, *, bins: int = 4) -> list[Slice]:
    """Per-query values in slices of equal size by a feature of the query.

    Args:
        values: (m,) per-query values; NaN is left out.
        feature: (m,) of the same queries. Fewer than ``bins`` different values are a slice each.
        bins: slices wanted; equal features are never parted, so there may be fewer.

    Raises:
        UsageError: different lengths, or bins < 1.
    """
    value, kind = np.asarray(values, np.float64), np.asarray(feature, np.float64)
    if value.shape != kind.shape or bins < 1:
        raise UsageError(f"{len(value)} values with {len(kind)} features in {bins} slices cannot be tabled")
    there = ~(np.isnan(value) | np.isnan(kind))
    value, kind = value[there], kind[there]
    different = np.unique(kind)
    if len(different) <= bins:
        groups = np.searchsorted(different, kind)
    else:
        edges = np.unique(np.quantile(kind, np.linspace(0, 1, bins + 1)[1:-1]))
        groups = np.searchsorted(edges, kind, side="right")
    found = []
    for group in np.unique(groups):
        chosen = groups == group
        low, high = mean_interval(value[chosen])
        found.append(
            Slice(low=float(kind[chosen].min()), high=float(kind[chosen].max()), n=int(chosen.sum()),
                  mean=float(value[chosen].mean()), mean_low=low, mean_high=high)
        )  # fmt: skip
    return found


def lengths(texts: Sequence[str]) -> Float64Array:
    """(m,) words of each text."""
    return np.array([len(_WORD.findall(t)) for t in texts], np.float64)


def rarity(texts: Sequence[str], corpus: Sequence[str]) -> Float64Array:
    """(m,) mean inverse document frequency of each text's words in the corpus, natural logarithm; 0 without words."""
    frequency = Counter(word for text in corpus for word in set(_WORD.findall(text.lower())))
    words = [_WORD.findall(t.lower()) for t in texts]
    return np.array([np.mean([math.log((len(corpus) + 1) / (frequency[w] + 1)) for w in ws]) if ws else 0.0
                     for ws in words])  # fmt: skip


def clusters(vectors: FloatArray, *, k: int = 8, rounds: int = 20, seed: int = 0) -> Float64Array:
    """(m,) cluster number of each vector by Lloyd's k-means, numbered by size, the largest 0."""
    k = min(k, len(vectors))
    rng = np.random.default_rng(seed)
    centres = vectors[rng.choice(len(vectors), k, replace=False)].astype(np.float64)
    label = np.zeros(len(vectors), np.int64)
    for _ in range(rounds):
        label = ((centres**2).sum(axis=1)[None, :] - 2 * vectors @ centres.T).argmin(axis=1)
        for c in np.unique(label):
            centres[c] = vectors[label == c].mean(axis=0)
    order = np.argsort(-np.bincount(label, minlength=k), kind="stable")
    return np.argsort(order)[label].astype(np.float64)
