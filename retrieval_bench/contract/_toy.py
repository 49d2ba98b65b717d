"""Small collections that the checks are run on: made here, the same everywhere, and read-only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from retrieval_bench.types import Corpus, Examples, FloatArray, Qrels, Queries

DOCUMENTS, DIMENSIONS, QUERIES = 2000, 32, 40
_CLUSTERS = 40
# fmt: off
_WORDS = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "glacier", "harbour", "island", "juniper",
    "kelp", "lagoon", "meadow", "nectar", "orchard", "prairie", "quartz", "reef", "saffron", "tundra",
    "umbra", "valley", "willow", "xenon", "yarrow", "zephyr", "anchor", "beacon", "canyon", "desert",
]
# fmt: on


def _read_only(vectors: FloatArray) -> FloatArray:
    vectors.setflags(write=False)
    return vectors


@cache
def clustered() -> tuple[Corpus, Queries]:
    """2,000 vectors of 32 dimensions in 40 clusters, and 40 queries from the same clusters; both with texts."""
    generator = np.random.default_rng(20)
    centres = generator.standard_normal((_CLUSTERS, DIMENSIONS))
    of_row = np.concatenate([np.arange(DOCUMENTS) % _CLUSTERS, np.arange(QUERIES) % _CLUSTERS])
    vectors = (centres[of_row] + 0.4 * generator.standard_normal((len(of_row), DIMENSIONS))).astype(np.float32)
    texts = [f"{_WORDS[c % 30]} {_WORDS[(c * 7 + i) % 30]} {i}" for i, c in enumerate(of_row)]
    corpus = Corpus(
        ids=[f"d{i}" for i in range(DOCUMENTS)],
        texts=texts[:DOCUMENTS],
        vectors=_read_only(vectors[:DOCUMENTS].copy()),
    )
    queries = Queries(
        ids=[f"q{i}" for i in range(QUERIES)],
        texts=texts[DOCUMENTS:],
        vectors=_read_only(vectors[DOCUMENTS:].copy()),
    )
    return corpus, queries


@cache
def written() -> tuple[Corpus, Queries]:
    """60 short texts, each with a pair of words of its own, and a query for every third, made of that pair."""
    texts = [f"The {a} lies beside the {b}, and the road goes on to the {b}." for a, b in map(_pair, range(60))]
    corpus = Corpus(ids=[f"d{i}" for i in range(60)], texts=texts)
    return corpus, _asking(range(0, 60, 3))


@cache
def examples() -> Examples:
    """Judged questions to learn from: for those texts of ``written`` that its queries leave out."""
    rows = np.array([row for row in range(60) if row % 3], np.int64)
    qrels = Qrels(offsets=np.arange(len(rows) + 1), rows=rows, grades=np.ones(len(rows), np.int64))
    return Examples(queries=_asking(rows.tolist()), qrels=qrels)


def _pair(row: int) -> tuple[str, str]:
    return _WORDS[row % 30], _WORDS[(row + 1 + row // 30) % 30]


def _asking(rows: Sequence[int]) -> Queries:
    texts = ["{} beside the {}".format(*_pair(row)) for row in rows]
    return Queries(ids=[f"q{row}" for row in rows], texts=texts)
