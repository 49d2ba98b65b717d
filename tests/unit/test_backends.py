"""The faiss backends: budgets, explicit parameters, bad input, damaged files, and where a GPU is used."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from retrieval_bench.errors import ArtifactError, BudgetError, DataError, UnavailableError, UsageError
from retrieval_bench.indexes import _faiss_gpu
from retrieval_bench.indexes._pq_plan import Wanted, choose
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, Metric, Queries, RowIds

N, D = 1500, 24
BACKENDS = ["flat", "hnsw", "ivf", "ivf_opq", "ivf_pq"]
TIERS = [16, 32, 64, 128, 256]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):  # these collections are too small to share among threads
        yield


def _vectors(n: int = N, d: int = D, seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((20, d))
    return (centres[np.arange(n) % 20] + 0.5 * generator.standard_normal((n, d))).astype(np.float32)


def _build(
    name: str,
    vectors: FloatArray | None = None,
    *,
    budget: Budget | None = None,
    metric: Metric = "ip",
    seed: int = 0,
    **params: Any,
) -> Any:
    vectors = _vectors() if vectors is None else vectors
    backend = indexes.get(name)
    index = backend()
    corpus = Corpus(ids=RowIds(len(vectors)), vectors=vectors)
    index.build(corpus, backend.BuildParams(**params), budget or Budget(), metric=metric, seed=seed)
    return index


def _search(index: Any, vectors: FloatArray, k: int = 5, **params: Any) -> Hits:
    hits: Hits = index.search(Queries(ids=RowIds(len(vectors)), vectors=vectors), k, index.SearchParams(**params))
    return hits


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_flat_is_exact_and_gives_duplicates_in_ascending_order(metric: Metric) -> None:
    vectors = np.round(_vectors(300))
    vectors[200:] = vectors[:100]
    index = _build("flat", vectors, metric=metric)
    hits = _search(index, vectors[:40], k=300)
    scores = vectors[:40] @ vectors.T
    if metric == "l2":
        scores = -((vectors[:40, None] - vectors[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(hits.rows, np.argsort(-scores, axis=1, kind="stable"))
    np.testing.assert_array_equal(hits.scores, -np.sort(-scores, axis=1))
    np.testing.assert_array_equal(_search(index, vectors[:40], k=1).rows, hits.rows[:, :1])


@pytest.mark.parametrize("name", BACKENDS)
def test_the_smallest_size_that_an_error_names_can_be_built(name: str) -> None:
    with pytest.raises(BudgetError, match=f"^{name}") as refused:
        _build(name, budget=Budget(bytes_per_vector=1))
    found = re.search(r"at least (\d+) bytes \(([\d.]+) per vector\)", str(refused.value))
    assert found is not None
    needed = int(found[1])
    assert float(found[2]) == pytest.approx(needed / N, abs=0.01)
    assert _build(name, budget=Budget(index_bytes=needed)).memory().total <= needed
    with pytest.raises(BudgetError):
        _build(name, budget=Budget(index_bytes=needed - 1))


@pytest.mark.parametrize("name", ["ivf_pq", "ivf_opq"])
def test_a_larger_budget_keeps_vectors_more_exactly(name: str) -> None:
    kept = []
    for tier in TIERS:
        try:
            index = _build(name, budget=Budget(bytes_per_vector=tier))
        except BudgetError:
            assert tier == 16  # ids alone take half of it
            continue
        assert index.memory().total <= tier * N
        kept.append(index.params.refine)
    assert kept == sorted(kept, key=["none", "int8", "fp16", "float32"].index)
    assert kept[0] == "none"
    assert kept[-1] == "float32"
    assert _build(name).params.refine == "float32"


def test_flat_and_hnsw_need_what_the_vectors_need() -> None:
    for name in ("flat", "hnsw", "ivf"):
        with pytest.raises(BudgetError, match="the budget allows 24000"):
            _build(name, budget=Budget(bytes_per_vector=16))
    assert _build("flat", budget=Budget(bytes_per_vector=4 * D)).memory().parts == {"codes": 4 * D * N}
    assert _build("hnsw", budget=Budget(bytes_per_vector=4 * D + 90)).params.m == 8


@pytest.mark.parametrize(
    ("name", "params", "tier"),
    [
        ("ivf_pq", {"refine": "float32"}, 64),
        ("ivf_pq", {"code_bytes": 12, "refine": "none"}, 16),
        ("ivf_opq", {"lists": 128}, 16),
        ("ivf", {"lists": 512}, 110),
        ("hnsw", {"m": 16}, 4 * D + 90),
    ],
)
def test_explicit_parameters_are_never_changed_to_fit(name: str, params: dict[str, Any], tier: int) -> None:
    with pytest.raises(BudgetError):
        _build(name, budget=Budget(bytes_per_vector=tier), **params)
    used = _build(name, **params).params.model_dump()
    assert used | params == used
    assert None not in used.values()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("refine", ["none", "fp16", "int8", "float32"])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_every_form_of_product_quantization_finds_near_vectors(bits: int, refine: str, metric: Metric) -> None:
    vectors = _vectors()
    index = _build("ivf_pq", vectors, bits=bits, refine=refine, metric=metric, lists=4, code_bytes=12)
    exact = _search(_build("flat", vectors, metric=metric), vectors[:50], k=10)
    hits = _search(index, vectors[:50], k=10, nprobe=4, refine_factor=16)
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(exact.rows, hits.rows, strict=True)])
    assert recall > (0.6 if refine == "none" else 0.97)
    np.testing.assert_allclose(hits.scores[:, 0], exact.scores[:, 0], atol=0.15 * np.abs(exact.scores).max())


def test_memory_is_counted_to_the_byte() -> None:
    index = _build("ivf", lists=10)
    assert index.memory().parts == {"codes": 4 * D * N, "ids": 8 * N, "centroids": 40 * D, "lists": 480}
    parts = _build("ivf_opq", lists=1, bits=8, code_bytes=6, refine="int8").memory().parts
    assert parts == {
        "codes": 6 * N,
        "ids": 8 * N,
        "centroids": 4 * D,
        "lists": 48,
        "codebooks": 4 * 256 * D + 8 * D,  # product quantizer; lowest value and range of int8
        "rotation": 4 * D * D,
        "originals": D * N,
    }


def test_a_fast_scan_counts_the_padding_of_its_lists(tmp_path: Path) -> None:
    index = _build("ivf_pq", lists=40, code_bytes=12, refine="none")
    index.save(tmp_path)
    codes = index.memory().parts["codes"]
    assert codes > 12 * N
    assert codes % (32 * 12) == 0
    assert abs((tmp_path / "index.faiss").stat().st_size - index.memory().total) < 4096


def test_the_seed_decides_what_is_trained() -> None:
    queries = _vectors(50, seed=1)
    hits = [_search(_build("ivf", seed=seed), queries, nprobe=1).scores for seed in (0, 0, 1)]
    np.testing.assert_array_equal(hits[0], hits[1])
    assert not np.array_equal(hits[0], hits[2])


def test_codes_must_divide_the_dimensions() -> None:
    with pytest.raises(UsageError, match=r"code_bytes = 5 .* possible code_bytes: 1, 2, 3, 4, 6, 12$"):
        _build("ivf_pq", code_bytes=5)
    assert _build("ivf_opq", code_bytes=5, refine="none").params.opq_dim == 30
    with pytest.raises(UsageError, match="does not divide 25"):
        _build("ivf_opq", code_bytes=5, opq_dim=25)
    with pytest.raises(UsageError, match="more than 24 dimensions can use"):
        _build("ivf_opq", code_bytes=13)
    odd = _vectors(d=23)
    assert _build("ivf_pq", odd).params.code_bytes == 12
    assert _search(_build("ivf_pq", odd, metric="l2"), odd[:5], k=3).rows[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_too_few_vectors_to_train_are_refused() -> None:
    few = _vectors(100)
    with pytest.raises(DataError, match="100 vectors are too few to train lists = 101"):
        _build("ivf", few, lists=101)
    with pytest.raises(DataError, match="100 vectors are too few to train sub-quantizers of 256"):
        _build("ivf_pq", few, bits=8)
    assert _build("ivf", few[:1]).params.lists == 1


@pytest.mark.parametrize("name", ["ivf", "ivf_pq", "ivf_opq", "rabitq"])
def test_more_lists_than_there_are_means_all(name: str) -> None:
    index, queries = _build(name, lists=16), _vectors(8)
    every, more = (_search(index, queries, nprobe=nprobe) for nprobe in (16, 1000))
    assert np.array_equal(every.rows, more.rows)


def test_searches_out_of_range_are_refused() -> None:
    queries = _vectors(3)
    with pytest.raises(UsageError, match=r"ef = 4 .* k = 5"):
        _search(_build("hnsw"), queries, ef=4)
    flat = _build("flat")
    with pytest.raises(UsageError, match="k = 1501"):
        _search(flat, queries, k=N + 1)
    with pytest.raises(DataError, match="12 dimensions, the index 24"):
        _search(flat, queries[:, :12])


def test_short_answers_are_padded_at_the_end() -> None:
    hits = _search(_build("ivf", lists=16), _vectors(8), k=N, nprobe=1)
    assert (hits.rows[:, -1] == -1).all()
    assert (hits.scores[hits.rows == -1] == -np.inf).all()
    assert (hits.rows[:, 0] >= 0).all()


@pytest.mark.parametrize("name", BACKENDS)
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    index = _build(name)
    index.save(tmp_path)
    file, whole = tmp_path / "index.faiss", (tmp_path / "index.faiss").read_bytes()
    for damaged in (b"", whole[:3], whole[: len(whole) // 2], whole[:-1], b"none" + whole[4:]):
        file.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=re.escape(str(tmp_path))):
            indexes.get(name).load(tmp_path)
    file.write_bytes(whole)
    (tmp_path / "params.json").write_text('{"listz": 3}')
    with pytest.raises(ArtifactError):
        indexes.get(name).load(tmp_path)
    file.unlink()
    with pytest.raises(ArtifactError):
        indexes.get(name).load(tmp_path)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_memory_mapped_corpus_can_be_indexed(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", _vectors())
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    assert (
        _search(_build(name, mapped), np.asarray(mapped[:1]), k=1, **({"ef": 64} if name == "hnsw" else {})).rows >= 0
    )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A faiss that finds one GPU, whose copies are the index itself; the list says what was moved there."""
    moved: list[str] = []

    def to_gpu(resources: object, device: int, index: Any) -> Any:
        assert (resources, device) == ("resources", 0)
        moved.append(type(index).__name__)
        return index

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    monkeypatch.setattr(faiss, "index_gpu_to_cpu", lambda index: index, raising=False)
    _faiss_gpu.resources.cache_clear()
    return moved


@pytest.mark.parametrize(
    ("name", "params", "device", "expected"),
    [
        ("flat", {}, "cuda", ["IndexFlat"]),
        ("ivf", {}, "cuda", ["IndexFlat", "IndexIVFFlat"]),
        ("ivf_pq", {"bits": 8, "refine": "none", "code_bytes": 12}, "cuda", ["IndexFlat", "IndexIVFPQ"]),
        ("ivf_opq", {"bits": 8, "refine": "none", "code_bytes": 12}, "cuda", ["IndexFlat", "IndexPreTransform"]),
        ("ivf_pq", {"bits": 8, "refine": "none", "code_bytes": 6}, "cpu", ["IndexFlat"]),  # no kernel for 6 bytes
        ("ivf_pq", {"bits": 8, "refine": "float32", "code_bytes": 12}, "cpu", ["IndexFlat"]),
        ("ivf_pq", {}, "cpu", ["IndexFlat"]),
        ("hnsw", {}, "cpu", []),
    ],
)
def test_what_a_gpu_can_do_goes_there(
    gpu: list[str], name: str, params: dict[str, Any], device: str, expected: list[str], tmp_path: Path
) -> None:
    index = _build(name, **params)
    assert (index.device, gpu) == (device, expected)
    hits = _search(index, _vectors(5), k=3)
    index.save(tmp_path)
    loaded = indexes.get(name).load(tmp_path)
    assert loaded.device == device  # type: ignore[attr-defined]
    np.testing.assert_array_equal(_search(loaded, _vectors(5), k=3).rows, hits.rows)


def _forget_cagra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it imported anew, and again after the test."""
    name = "retrieval_bench.indexes.cagra"
    monkeypatch.setitem(sys.modules, name, sys)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(indexes, "_found", {n: f for n, f in indexes._found.items() if n != "cagra"})


class MadeUpCagra(faiss.IndexHNSWCagra):  # type: ignore[misc]
    """In the place of the GPU's graph: the CPU form that faiss turns it into."""

    def __init__(self, resources: object, d: int, metric: int, settings: Any) -> None:
        assert resources == "resources"
        super().__init__(d, settings.graph_degree // 2, metric)
        self.base_level_only = False

    def train(self, vectors: Any) -> None:
        self.add(vectors)

    def search(self, queries: Any, k: int, params: Any) -> Any:
        return super().search(queries, k, params=faiss.SearchParametersHNSW(efSearch=params.itopk_size))


def test_cagra_is_built_and_searched_as_asked(gpu: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_compile_options", lambda: "OPTIMIZE CUVS ")
    monkeypatch.setattr(faiss, "GpuIndexCagra", MadeUpCagra, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexCagraConfig", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "SearchParametersCagra", SimpleNamespace, raising=False)
    _forget_cagra(monkeypatch)
    index = _build("cagra", degree=16, metric="l2")
    vectors = _vectors()
    hits = _search(index, vectors[:20], k=5, window=64)
    assert (hits.rows[:, 0] == np.arange(20)).mean() > 0.9
    assert index.memory().parts["codes"] == vectors.nbytes
    with pytest.raises(UsageError, match="window = 16 candidates cannot give k = 20 hits"):
        _search(index, vectors[:1], k=20, window=16)
    with pytest.raises(UsageError, match="candidates = 8 are fewer than degree = 16"):
        _build("cagra", degree=16, candidates=8)


@pytest.mark.parametrize(
    ("gpus", "options", "said"), [(0, "CUVS", "needs an NVIDIA GPU"), (1, "AVX2", "faiss with cuVS")]
)
def test_cagra_says_what_it_lacks(gpus: int, options: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus, raising=False)
    monkeypatch.setattr(faiss, "get_compile_options", lambda: options)
    _forget_cagra(monkeypatch)
    with pytest.raises(UnavailableError, match=said):
        indexes.get("cagra")


def test_a_gpu_selects_no_more_than_2048(gpu: list[str]) -> None:
    index = _build("flat", _vectors(3000))
    assert index.device == "cuda"
    with pytest.raises(UsageError, match="k = 2049"):
        _search(index, _vectors(1), k=2049)


def test_without_a_gpu_everything_stays_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    assert _build("flat").device == "cpu"


def test_eight_bits_are_chosen_where_codes_alone_decide() -> None:
    many, tight = _vectors(3000), Budget(bytes_per_vector=30)
    used = _build("ivf_pq", many, budget=tight).params
    assert (used.bits, used.refine) == (8, "none")
    assert _build("ivf_pq", many).params.bits == 4
    assert _build("ivf_pq", many, budget=tight, code_bytes=6, refine="none").params.bits == 4
    assert _build("ivf_pq", many, budget=tight, bits=4).params.bits == 4


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("refine", ["none", "float32"])
def test_loading_adds_no_tables(bits: int, refine: str, tmp_path: Path) -> None:
    index = _build("ivf_pq", metric="l2", bits=bits, refine=refine, code_bytes=6)
    index.save(tmp_path)
    loaded = indexes.get("ivf_pq").load(tmp_path)
    assert loaded.memory() == index.memory()
    assert "tables" not in loaded.memory().parts
    queries = _vectors(20, seed=1)
    np.testing.assert_array_equal(_search(loaded, queries).scores, _search(index, queries).scores)


@pytest.mark.parametrize("rotated", [False, True])
def test_codes_too_short_to_find_candidates_leave_no_room_for_originals(rotated: bool) -> None:
    wanted = Wanted(n=396_000, d=50, bits=None, rotated=rotated, lists=None, code_bytes=None, refine=None)
    small, large = (choose("x", wanted, Budget(bytes_per_vector=b)) for b in (64, 80))
    assert (small.refine, small.bits, small.code_bytes) == ("none", 8, 50)
    assert (large.refine, large.bits, large.sub_quantizers) == ("int8", 4, 25)
