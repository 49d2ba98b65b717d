"""Whether the training data held the test: shared n-grams, the longest shared span, and whether scores gain by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics import unpaired_interval
from retrieval_bench.types import Qrels

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What texts share with the training data.

    Attributes:
        share: (m,) share of each text's words that lie in a shared n-gram.
        longest: (m,) words of its longest shared span.
    """

    share: npt.NDArray[np.float64]
    longest: npt.NDArray[np.int64]


def overlap(texts: Sequence[str], training: Iterable[str], *, n: int = 8) -> Overlap:
    """Find word n-grams of the texts that the training data holds, in any order of documents.

    Words are compared in lower case without punctuation. Shared n-grams that follow one another are one span, as in the
    token-level measure of Llama 2 (Touvron et al. 2023, appendix A.6) and ConTAM (Singh et al. 2024).

    Args:
        texts: m test queries or documents. One shorter than n words counts as shared when all of it is.
        training: texts of the training data, read once.
        n: words of an n-gram.

    Raises:
        UsageError: n < 1.
    """
    if n < 1:
        raise UsageError(f"n = {n}: an n-gram has at least one word")
    words = [_words(text) for text in texts]
    sizes = {min(n, len(w)) for w in words if w}
    wanted = {gram for w in words if w for gram in _grams(w, min(n, len(w)))}
    seen: set[int] = set()
    for text in training:
        line = _words(text)
        for size in sizes:
            seen.update(wanted.intersection(_grams(line, size)))
    share, longest = np.zeros(len(words)), np.zeros(len(words), np.int64)
    for i, w in enumerate(words):
        if not w:
            continue
        size = min(n, len(w))
        covered = np.zeros(len(w) + 1, bool)
        for start, gram in enumerate(_grams(w, size)):
            if gram in seen:
                covered[start : start + size] = True
        share[i] = covered.sum() / len(w)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], covered, [False]]).astype(np.int8)))
        longest[i] = (edges[1::2] - edges[::2]).max(initial=0)
    return Overlap(share=share, longest=longest)


def benefit(values: npt.ArrayLike, contaminated: npt.ArrayLike) -> tuple[float, float, float]:
    """Mean of the contaminated queries minus that of the clean ones, and its 95 % interval.

    A difference above 0 is what contamination could have gained; that it did, only training without it would show.

    Args:
        values: (m,) per-query values; NaN is left out.
        contaminated: (m,) bool.

    Returns:
        (difference, low, high); NaN where either part is empty.
    """
    value, dirty = np.asarray(values, np.float64), np.asarray(contaminated, bool)
    there = ~np.isnan(value)
    inside, outside = value[there & dirty], value[there & ~dirty]
    if not len(inside) or not len(outside):
        return float("nan"), float("nan"), float("nan")
    return (float(inside.mean() - outside.mean()), *unpaired_interval(inside, outside))


def relevant_among(qrels: Qrels, documents: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which queries have a relevant document, and which have one among the given ones.

    Args:
        qrels: of m queries.
        documents: (n,) bool, whether a document of the corpus is one of them.

    Returns:
        Two (m,) arrays; relevant documents that the corpus lacks are not counted.
    """
    there = np.asarray(documents, bool)
    use = (qrels.grades > 0) & (qrels.rows < len(there))
    query, rows = np.repeat(np.arange(len(qrels)), np.diff(qrels.offsets))[use], qrels.rows[use]
    some, among = np.zeros(len(qrels), bool), np.zeros(len(qrels), bool)
    some[query], among[query[there[rows]]] = True, True
    return some, among


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: list[str], size: int) -> list[int]:
    return [hash(tuple(words[i : i + size])) for i in range(len(words) - size + 1)]
