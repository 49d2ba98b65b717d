"""The torch backends in all their forms, on the CPU, and lists handed to faiss and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch

from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import ArtifactError, BudgetError, DataError, UnavailableError, UsageError
from retrieval_bench.indexes import _torch
from retrieval_bench.indexes._torch_faiss import from_faiss, to_faiss
from retrieval_bench.indexes.torch_flat import TorchFlat, TorchFlatBuild
from retrieval_bench.indexes.torch_ivf import TorchIvf, TorchIvfBuild
from retrieval_bench.runner import run
from retrieval_bench.types import Budget, Corpus, FloatArray, Metric, Queries

N, D, M = 1500, 24, 30
FLAT = [{"precision": p} for p in ("float32", "bfloat16", "float16", "int8")]
REDUCED = [{"dim": 16, "precision": p, "projection": "pca"} for p in ("float32", "int8")]
LISTS = [
    {},
    {"precision": "int8"},
    {"precision": "bfloat16", "keep": "none"},
    {"dim": 16, "precision": "int8"},
    {"dim": 16, "precision": "float32", "keep": "none"},
    {"code_bytes": 6, "rotate": False},
    {"code_bytes": 12, "keep": "float16"},
    {"code_bytes": 12, "keep": "none", "dim": 12},
]


def vectors(n: int, seed: int) -> FloatArray:
    """Of falling variance, so that few dimensions hold most of it."""
    draw = np.random.default_rng(seed)
    return (draw.standard_normal((n, D)) * np.geomspace(2, 0.05, D) + 0.3).astype(np.float32)


CORPUS = Corpus(ids=[str(i) for i in range(N)], vectors=vectors(N, 0))
QUERIES = Queries(ids=[str(i) for i in range(M)], vectors=vectors(M, 1))


def exact(metric: Metric) -> tuple[FloatArray, Any]:
    x, q = CORPUS.require_vectors().astype(np.float64), QUERIES.require_vectors().astype(np.float64)
    scores = q @ x.T if metric == "ip" else -((q[:, None] - x[None]) ** 2).sum(axis=2)
    return scores.astype(np.float32), np.argsort(-scores, axis=1, kind="stable")[:, :10]


def built(kind: type[Any], settings: dict[str, Any], metric: Metric = "ip", **budget: Any) -> Any:
    index = kind()
    index.build(CORPUS, kind.BuildParams(**settings), Budget(**budget), metric=metric, seed=1)
    return index


def search(index: Any, k: int = 10, queries: Queries = QUERIES, **settings: Any) -> Any:
    return index.search(queries, k, index.SearchParams.model_validate(settings))


def recall(rows: Any, expected: Any) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(expected, rows, strict=True)]))


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("settings", FLAT)
def test_flat_is_exact_in_any_precision(settings: dict[str, Any], metric: Metric) -> None:
    hits = search(built(TorchFlat, settings, metric))
    scores, rows = exact(metric)
    np.testing.assert_array_equal(hits.rows, rows)
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, rows, axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("settings", REDUCED)
def test_reduced_flat_finds_nearly_all(settings: dict[str, Any], metric: Metric) -> None:
    hits = search(built(TorchFlat, settings, metric), groups=20)
    assert recall(hits.rows, exact(metric)[1]) > 0.99


def test_exactness_that_costs_time_is_noted() -> None:
    index = built(TorchFlat, {})
    search(index)
    assert index.notes == []
    twice = np.tile(vectors(20, 3), (50, 1))
    index = TorchFlat()
    index.build(Corpus(ids=[str(i) for i in range(1000)], vectors=twice), TorchFlatBuild.model_validate({}), Budget(),
                metric="ip")  # fmt: skip
    hits = search(index)
    assert (np.diff(hits.rows[:, :10]) == 20).all()  # of 50 copies the first ten
    assert index.notes[0].startswith("torch_flat: rounded products left 100% of a block's queries open")


def test_streamed_flat_is_exact_and_keeps_only_the_vectors(tmp_path: Path) -> None:
    index = built(TorchFlat, {"stream": True, "precision": "bfloat16"})
    np.testing.assert_array_equal(search(index).rows, exact("ip")[1])
    assert index.memory().parts == {"vectors": 4 * N * D}
    index.save(tmp_path)
    again = search(TorchFlat.load(tmp_path))
    np.testing.assert_array_equal(again.rows, exact("ip")[1])


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("settings", LISTS)
def test_all_lists_find_nearly_all(settings: dict[str, Any], metric: Metric, tmp_path: Path) -> None:
    index = built(TorchIvf, {"lists": 40, **settings}, metric)
    every: dict[str, Any] = {"nprobe": 40, "groups": 60}
    hits = search(index, **every)
    coarse = settings.get("keep") == "none" and "code_bytes" in settings
    assert recall(hits.rows, exact(metric)[1]) > (0.8 if coarse else 0.94)
    true = np.take_along_axis(exact(metric)[0], hits.rows, axis=1)
    assert np.median(np.abs(hits.scores - true)) < (0.2 if settings.get("keep") == "none" else 0.01) * true.std()
    index.save(tmp_path)
    loaded = TorchIvf.load(tmp_path)
    assert (loaded.params, loaded.memory()) == (index.params, index.memory())
    np.testing.assert_array_equal(search(loaded, **every).rows, hits.rows)


@pytest.mark.parametrize("distinct", [1, 5])
@pytest.mark.parametrize("settings", [{}, {"code_bytes": 6, "keep": "none"}])
def test_copies_leave_no_list_empty_and_are_found(settings: dict[str, Any], distinct: int) -> None:
    copies = np.tile(vectors(distinct, 3), (600 // distinct, 1))
    corpus, params = Corpus(ids=[str(i) for i in range(600)], vectors=copies), TorchIvfBuild.model_validate(settings)
    index = TorchIvf()
    index.build(corpus, params, Budget(), metric="l2", seed=1)
    hits = search(index)
    assert index.params.lists == len(index.tensors["centres"]) <= distinct
    distances = ((QUERIES.require_vectors()[:, None] - vectors(distinct, 3)[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(hits.rows % distinct, np.broadcast_to(distances.argmin(axis=1)[:, None], (M, 10)))
    assert all(len(set(row)) == 10 for row in hits.rows.tolist())


def test_more_lists_find_more() -> None:
    index = built(TorchIvf, {"lists": 40})
    found = [recall(search(index, nprobe=p).rows, exact("ip")[1]) for p in (1, 4, 40)]
    assert found[0] < found[1] < found[2] == 1


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(
    "settings", [{}, *({"code_bytes": 8, "keep": "none", "rotate": rotate} for rotate in (False, True))]
)
def test_faiss_answers_alike_with_the_lists_it_is_handed(settings: dict[str, Any], metric: Metric) -> None:
    index = built(TorchIvf, {"lists": 30, **settings}, metric)
    handed = to_faiss(index)
    probing = faiss.SearchParametersIVF(nprobe=5)
    if isinstance(handed, faiss.IndexPreTransform):
        probing = faiss.SearchParametersPreTransform(index_params=probing)
    scores, rows = handed.search(QUERIES.require_vectors(), 10, params=probing)
    hits = search(index, nprobe=5, groups=100)
    assert (rows == hits.rows).mean() > 0.99  # near ties may change places
    np.testing.assert_allclose(scores if metric == "ip" else -scores, hits.scores, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("metric", [faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2])
@pytest.mark.parametrize("coded", [False, True])
def test_lists_that_faiss_trained_are_served(metric: int, coded: bool) -> None:
    quantizer = faiss.IndexFlat(D, metric)
    lists = faiss.IndexIVFPQ(quantizer, D, 30, 6, 8, metric) if coded else faiss.IndexIVFFlat(quantizer, D, 30, metric)
    lists.cp.min_points_per_centroid = 1
    lists.train(CORPUS.require_vectors())
    lists.add(CORPUS.require_vectors())
    lists.nprobe = 5
    scores, rows = lists.search(QUERIES.require_vectors(), 10)
    hits = search(from_faiss(lists, device="cpu"), nprobe=5, groups=100)
    assert (rows == hits.rows).mean() > 0.99
    sign = 1 if metric == faiss.METRIC_INNER_PRODUCT else -1
    np.testing.assert_allclose(sign * scores, hits.scores, rtol=1e-3, atol=1e-3)


def test_what_faiss_has_no_lists_for_is_refused() -> None:
    with pytest.raises(UsageError, match="only lists of float32 vectors or of product codes"):
        to_faiss(built(TorchIvf, {"lists": 10, "precision": "int8"}))
    with pytest.raises(UsageError, match=r"IndexFlat.*: only IndexIVFFlat"):
        from_faiss(faiss.IndexFlat(4))


@pytest.mark.parametrize(
    ("kind", "settings"), [(TorchFlat, {"precision": "int8"}), (TorchIvf, {"code_bytes": 6, "rotate": False})]
)
def test_a_budget_is_met_or_refused_before_any_work(kind: type[Any], settings: dict[str, Any]) -> None:
    total = built(kind, settings).memory().total
    assert built(kind, settings, index_bytes=total).memory().total == total
    with pytest.raises(BudgetError, match=f"{total} bytes"):
        built(kind, settings, index_bytes=total - 1)


def test_no_gpu_is_one_clear_line() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    for kind in (TorchFlat, TorchIvf):
        with pytest.raises(UnavailableError, match=r"device 'cuda': torch sees 0 CUDA devices.*use 'cpu'"):
            built(kind, {"device": "cuda"})


def test_more_lists_than_there_are_means_all() -> None:
    index = built(TorchIvf, {"lists": 10})
    every, more = (search(index, nprobe=nprobe).rows for nprobe in (10, 11))
    assert np.array_equal(every, more)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot reduce 24 dimensions to 99"):
        built(TorchFlat, {"dim": 99})
    with pytest.raises(UsageError, match="7 code bytes do not divide 24 dimensions"):
        built(TorchIvf, {"code_bytes": 7})
    with pytest.raises(DataError, match="1500 vectors are too few to train 1501 clusters"):
        built(TorchIvf, {"lists": 1501})
    big = Corpus(ids=["a", "b"], vectors=np.full((2, 4), 1e5, np.float32))
    with pytest.raises(DataError, match="beyond 65504"):
        TorchFlat().build(big, TorchFlatBuild.model_validate({"precision": "float16"}), Budget(), metric="ip")


def test_no_queries_have_no_hits() -> None:
    none = Queries(ids=[], vectors=np.empty((0, D), np.float32))
    for index in (built(TorchFlat, {}), built(TorchIvf, {"lists": 10})):
        assert search(index, 5, none).rows.shape == (0, 5)


def test_a_full_device_answers_in_smaller_blocks_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    index = built(TorchFlat, {})
    original = TorchFlat._found

    def short_of_memory(self: Any, queries: torch.Tensor, k: int, params: Any) -> Any:
        if len(queries) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return original(self, queries, k, params)

    monkeypatch.setattr(TorchFlat, "_found", short_of_memory)
    hits = search(index)
    np.testing.assert_array_equal(hits.rows, exact("ip")[1])
    assert index.notes == [
        "torch_flat: queries: 30 rows at once did not fit on the device; 15 do.",
        "torch_flat: queries: 15 rows at once did not fit on the device; 7 do.",
    ]


@pytest.mark.parametrize("damage", ["cut", "missing", "other lists"])
def test_a_damaged_artifact_is_refused(damage: str, tmp_path: Path) -> None:
    built(TorchIvf, {"lists": 10}).save(tmp_path)
    if damage == "cut":
        (tmp_path / "values.npy").write_bytes((tmp_path / "values.npy").read_bytes()[:-100])
    elif damage == "missing":
        (tmp_path / "centres.npy").unlink()
    else:
        np.save(tmp_path / "sizes.npy", np.full(10, 7))
    with pytest.raises(ArtifactError, match="build the index again"):
        TorchIvf.load(tmp_path)


def test_bfloat16_is_kept_as_it_is(tmp_path: Path) -> None:
    index = built(TorchFlat, {"precision": "bfloat16"})
    index.save(tmp_path)
    loaded = TorchFlat.load(tmp_path)
    assert loaded.tensors["values"].dtype == torch.bfloat16
    assert torch.equal(loaded.tensors["values"], index.tensors["values"])
    assert index.memory().parts == {"vectors": 4 * N * D, "values": 2 * N * D}
    assert _torch.BYTES["bfloat16"] == 2
    assert isinstance(loaded.params, TorchFlatBuild)


@pytest.mark.parametrize("there", ["", "NVIDIA H100"])
def test_torch_backends_are_in_the_default_run_where_there_is_a_gpu(
    there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "gpu_name", lambda: there)
    names = [card.name for card in run.chosen_cards(load_dataset("synthetic"), None, None)]
    assert "flat" in names
    assert ("torch_flat" in names) == ("torch_ivf" in names) == bool(there)
