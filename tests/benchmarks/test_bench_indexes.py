"""Build, batch search and single query of every default index, beside a peer in the same run: plain numpy.

Absolute times differ between machines; the ratio to the peer of the same group is what ``scripts/bench`` compares
with the stored baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import retrieval_bench as rb
from retrieval_bench.types import FloatArray

BACKENDS: dict[str, dict[str, Any]] = {
    "flat": {},
    "ivf": {"nprobe": 16},
    "ivf_pq": {"nprobe": 16},
    "ivf_opq": {"nprobe": 16},
    "hnsw": {"ef": 64},
}


@cache
def data() -> tuple[FloatArray, FloatArray]:
    dataset = rb.load_dataset("synthetic")
    return dataset.corpus.require_vectors(), dataset.queries["test"].require_vectors()


@cache
def built(backend: str) -> rb.Searcher:
    return rb.build(backend, data()[0], search=BACKENDS[backend])


def top(queries: FloatArray, corpus: FloatArray) -> object:
    """The peer: exact search by one matrix product and a partial sort."""
    scores = queries @ corpus.T
    best = np.argpartition(-scores, 10, axis=1)[:, :10]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def covariance(corpus: FloatArray) -> object:
    """The peer of a build: a decomposition of the corpus, repeated to last some milliseconds."""
    return [np.linalg.eigh(corpus.T @ corpus) for _ in range(20)]


def searching(backend: str, queries: FloatArray) -> Callable[[], Any]:
    if backend == "peer":
        return lambda: top(queries, data()[0])
    searcher = built(backend)
    return lambda: searcher.search(queries, k=10)


@pytest.mark.parametrize("backend", ["peer", *BACKENDS])
@pytest.mark.benchmark(group="batch", min_rounds=5, warmup=True, warmup_iterations=1)
def test_batch(benchmark: BenchmarkFixture, backend: str) -> None:
    assert benchmark(searching(backend, data()[1])) is not None


@pytest.mark.parametrize("backend", ["peer", *BACKENDS])
@pytest.mark.benchmark(group="single", min_rounds=50, warmup=True, warmup_iterations=5)
def test_single(benchmark: BenchmarkFixture, backend: str) -> None:
    assert benchmark(searching(backend, data()[1][:1])) is not None


@pytest.mark.parametrize("backend", ["peer", *BACKENDS])
@pytest.mark.benchmark(group="build", min_rounds=3)
def test_build(benchmark: BenchmarkFixture, backend: str) -> None:
    corpus, _ = data()
    call: Callable[[], Any] = (
        (lambda: covariance(corpus)) if backend == "peer" else (lambda: rb.build(backend, corpus, seed=0))
    )
    assert benchmark.pedantic(call, rounds=3, warmup_rounds=1) is not None  # type: ignore[no-untyped-call]
