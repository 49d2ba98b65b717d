"""Small collections that the checks are run on: made here, the same everywhere, and read-only."""

from __future__ import annotations

from functools import cache

import numpy as np

from retrieval_bench.types import Corpus, FloatArray, Queries

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
    pairs = [(_WORDS[i % 30], _WORDS[(i + 1 + i // 30) % 30]) for i in range(60)]
    texts = [f"The {a} lies beside the {b}, and the road goes on to the {b}." for a, b in pairs]
    corpus = Corpus(ids=[f"d{i}" for i in range(60)], texts=texts)
    asked = range(0, 60, 3)
    queries = Queries(ids=[f"q{i}" for i in asked], texts=[f"{pairs[i][0]} beside the {pairs[i][1]}" for i in asked])
    return corpus, queries
