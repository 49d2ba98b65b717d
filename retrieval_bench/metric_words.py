"""The names that people and files give to the three metrics, in any case and with any separator."""

from __future__ import annotations

import re

from retrieval_bench.errors import UsageError
from retrieval_bench.types import Metric

_WORDS: dict[Metric, tuple[str, ...]] = {
    "ip": ("ip", "inner product", "dot", "dot product", "max inner product", "mip", "mips"),
    "l2": ("l2", "euclidean", "squared euclidean", "sqeuclidean", "squared l2", "l2 squared"),
    "cos": ("cos", "cosine", "angular", "cosine similarity", "cosine distance", "normalized"),
}


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]", "", word.lower())


_METRICS: dict[str, Metric] = {_plain(word): metric for metric, words in _WORDS.items() for word in words}
KNOWN = ", ".join(f"{metric} ({' or '.join(words[1:3])})" for metric, words in _WORDS.items())


def metric_of(word: str) -> Metric | None:
    """The metric of this name, or None."""
    return _METRICS.get(_plain(word))


def metric_named(word: object) -> Metric:
    """The metric that a caller names.

    Raises:
        UsageError: there is none of this name; lists those there are.
    """
    metric = metric_of(word) if isinstance(word, str) else None
    if metric is None:
        raise UsageError(f"metric = {word!r:.60} is not known; there are: {KNOWN}")
    return metric
