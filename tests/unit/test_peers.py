"""The backends over other libraries: budgets, settings side by side, and where they cannot run."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval_bench.errors import ArtifactError, BudgetError, UnavailableError, UsageError
from retrieval_bench.indexes._peer import OneSetting
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, Metric, Queries, RowIds

N, D = 800, 16
PEERS = ["hnswlib", "usearch"]


def _vectors(seed: int = 0, n: int = N) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def _build(name: str, budget: Budget | None = None, metric: Metric = "ip", **params: Any) -> Any:
    try:
        index = indexes.get(name)()
    except UnavailableError as error:
        pytest.skip(str(error))
    corpus = Corpus(ids=RowIds(N), vectors=_vectors())
    index.build(corpus, index.BuildParams(**params), budget or Budget(), metric=metric, seed=1)
    return index


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", [*PEERS, "rabitq", "scann"])
def test_many_candidates_give_the_exact_answer(name: str, metric: Metric) -> None:
    index, queries = _build(name, metric=metric), _vectors(1, 20)
    settings = {"ef": 400} if name in PEERS else {"nprobe": 1000, "refine_factor": 100}  # that is, all lists
    hits = index.search(Queries(ids=RowIds(20), vectors=queries), 5, index.SearchParams(**settings))
    scores = queries @ _vectors().T
    if metric == "l2":
        scores = 2 * scores - (_vectors() ** 2).sum(axis=1) - (queries**2).sum(axis=1)[:, None]
    best = np.argsort(-scores, axis=1)[:, :5]
    assert np.mean([np.isin(a, b).mean() for a, b in zip(best, hits.rows, strict=True)]) > 0.98
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, hits.rows, axis=1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", PEERS)
def test_fewer_bytes_mean_fewer_links(name: str) -> None:
    wide = _build(name)
    less = Budget(index_bytes=wide.memory().total - 50 * N)
    narrow = _build(name, less)
    assert narrow.params.m < wide.params.m
    assert narrow.memory().total <= wide.memory().total - 50 * N
    with pytest.raises(BudgetError, match=f"^{name} .*at least"):
        _build(name, Budget(bytes_per_vector=40))
    with pytest.raises(BudgetError):
        _build(name, less, m=32)


def test_half_precision_where_bytes_are_short() -> None:
    index = _build("usearch", Budget(bytes_per_vector=4 * D + 140))
    assert index.params.precision == "f16"
    assert index.memory().parts["vectors"] == 2 * D * N


def test_rabitq_keeps_vectors_more_exactly_where_there_is_room() -> None:
    kept = [_build("rabitq", Budget(bytes_per_vector=b)).params.refine for b in (30, 50, 70, 200)]
    assert kept == ["none", "int8", "fp16", "float32"]
    with pytest.raises(BudgetError, match=r"^rabitq"):
        _build("rabitq", Budget(bytes_per_vector=12))


def test_scann_keeps_vectors_more_exactly_where_there_is_room() -> None:
    kept = [_build("scann", Budget(bytes_per_vector=b)).params.refine for b in (32, 45, 60, 200)]
    assert kept == ["none", "int8", "bfloat16", "float32"]
    with pytest.raises(BudgetError, match=r"^scann .*at least"):
        _build("scann", Budget(bytes_per_vector=20))


def test_scann_counts_the_second_list_of_each_vector_before_it_builds() -> None:
    plain, spilled = (_build("scann", refine="none", spill=spill).memory().total for spill in (False, True))
    with pytest.raises(BudgetError, match=r"^scann"):
        _build("scann", Budget(index_bytes=plain), refine="none", spill=True)
    assert plain < spilled <= plain + N * (D / 4 + 8)
    with pytest.raises(UsageError, match="spill"):
        _build("scann", metric="l2", spill=True)


def test_more_lists_than_scann_has_means_all() -> None:
    index, queries = _build("scann", lists=10), Queries(ids=RowIds(2), vectors=_vectors(1, 2))
    every, more = (index.search(queries, 5, index.SearchParams(nprobe=nprobe)).rows for nprobe in (10, 11))
    assert np.array_equal(every, more)


@pytest.mark.parametrize("file", ["dataset.npy", "serialized_partitioner.pb", "hashed_dataset.npy"])
def test_damaged_files_of_scann_are_refused(file: str, tmp_path: Path) -> None:
    _build("scann").save(tmp_path)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="build the index again"):
        indexes.get("scann").load(tmp_path)


@pytest.mark.parametrize("name", PEERS)
def test_fewer_candidates_than_hits_are_refused(name: str) -> None:
    index = _build(name)
    with pytest.raises(UsageError, match=r"ef = 3 .* k = 5"):
        index.search(Queries(ids=RowIds(2), vectors=_vectors(1, 2)), 5, index.SearchParams(ef=3))


@pytest.mark.parametrize("name", PEERS)
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    _build(name).save(tmp_path)
    (tmp_path / "index.json").write_text('{"params": {}}')
    with pytest.raises(ArtifactError, match="build the index again"):
        indexes.get(name).load(tmp_path)


def test_searches_of_another_setting_wait() -> None:
    setting, seen, now = OneSetting(), [], [0]

    def change(value: int) -> None:
        now[0] = value

    def search(value: int) -> None:
        with setting.at(value, change):
            for _ in range(5):
                time.sleep(0.001)
                seen.append(now[0] == value)

    running = [threading.Thread(target=search, args=(value,)) for value in (1, 2, 1, 3, 2, 1)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(seen) == 30
    assert all(seen)


def test_svs_is_refused_where_it_would_end_the_process(tmp_path: Path) -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and "GenuineIntel" in cpuinfo.read_text():
        pytest.skip("this is an Intel CPU")
    with pytest.raises(UnavailableError, match="Intel CPUs only"):
        indexes.get("svs")
