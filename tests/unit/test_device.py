"""The device path: exact search with its proof, selection, clustering, codes, lists, and what a device lacks."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench.cli import doctor
from retrieval_bench.codecs import lvq
from retrieval_bench.codecs.lvq import fit_lvq
from retrieval_bench.device.blocks import Blocks
from retrieval_bench.device.choose import Precision, choose_device, choose_precision
from retrieval_bench.device.exact import Streamed, exact_search, part_of
from retrieval_bench.device.kmeans import assign, kmeans
from retrieval_bench.device.lists import Lists, list_group_max, lists_of
from retrieval_bench.device.operand import as_operand
from retrieval_bench.device.product_code import train_product_code
from retrieval_bench.device.products import GROUP, products
from retrieval_bench.device.select import best_groups, members, top
from retrieval_bench.device.stream import streamed
from retrieval_bench.errors import DataError, DeviceMemoryError, UnavailableError, UsageError
from retrieval_bench.measure.machine import machine
from retrieval_bench.projections import _moments
from retrieval_bench.projections.adaptor import fit_adaptor
from retrieval_bench.types import Metric

CPU = torch.device("cpu")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def true_scores(queries: torch.Tensor, vectors: torch.Tensor, metric: Metric) -> torch.Tensor:
    q, x = queries.double(), vectors.double()
    return q @ x.T if metric == "ip" else -torch.cdist(q, x).square()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_exact_search_is_exact_without_looking_again(precision: Precision, metric: Metric, scale: float) -> None:
    vectors, queries = normal(5000, 40) * scale, normal(25, 40, seed=1) * scale
    parts = [part_of(start, vectors[start : start + 1777], precision, metric) for start in range(0, 5000, 1777)]
    found = exact_search(queries, parts, 10, metric)
    expected = true_scores(queries, vectors, metric).topk(10)
    assert torch.equal(found.rows, expected.indices)
    torch.testing.assert_close(found.scores, expected.values.float(), rtol=1e-4, atol=1e-4 * scale**2)
    assert not found.again.any()


@pytest.mark.parametrize("rows", [4000, 700])
def test_of_copies_the_first_are_found(rows: int) -> None:
    vectors = normal(4, 8).repeat(1000, 1)  # a thousand copies of each
    queries = normal(6, 8, seed=1)
    parts = [part_of(start, vectors[start : start + rows], "bfloat16", "ip") for start in range(0, 4000, rows)]
    found = exact_search(queries, parts, 10, "ip")
    assert found.again.all()
    which = true_scores(queries, vectors[:4], "ip").argmax(dim=1)
    assert torch.equal(found.rows, which[:, None] + 4 * torch.arange(10))


def test_every_document_can_be_asked_for() -> None:
    vectors, queries = normal(100, 8), normal(3, 8, seed=1)
    found = exact_search(queries, [part_of(0, vectors, "int8", "ip")], 100, "ip")
    assert torch.equal(found.rows, true_scores(queries, vectors, "ip").argsort(dim=1, descending=True))
    assert not found.again.any()


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_streamed_vectors_answer_like_resident_ones(metric: Metric) -> None:
    vectors, queries = normal(3000, 24), normal(9, 24, seed=1)
    resident = exact_search(queries, [part_of(0, vectors, "float32", metric)], 7, metric)
    parts = Streamed(vectors=vectors.numpy(), rows=700, precision="bfloat16", metric=metric, device=CPU)
    found = exact_search(queries, parts, 7, metric)
    assert torch.equal(found.rows, resident.rows)
    torch.testing.assert_close(found.scores, resident.scores)


def test_streaming_reads_every_row_once_and_writes_none() -> None:
    array = np.arange(60, dtype=np.float32).reshape(20, 3)
    array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = list(streamed(array, 6, CPU))
    assert [start for start, _ in read] == [0, 6, 12, 18]
    np.testing.assert_array_equal(torch.cat([part for _, part in read]).numpy(), array)


@given(groups=st.integers(1, 20_000), wanted=st.integers(1, 70), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_tree_finds_the_best_groups(groups: int, wanted: int, seed: int) -> None:
    maxima = normal(3, groups, seed=seed)
    found, left = best_groups(maxima, wanted)
    expected = maxima.topk(min(wanted, groups), dim=1)
    torch.testing.assert_close(maxima.gather(1, found), expected.values)
    outside = maxima.scatter(1, found, -torch.inf).amax(dim=1)
    assert (outside <= left).all()


def test_members_and_top_pad_what_is_not_there() -> None:
    slots = members(torch.tensor([[1, 0]]), 40)
    assert slots[0, :8].tolist() == list(range(32, 40))
    assert (slots[0, 8:GROUP] == -1).all()
    rows, scores = top(torch.tensor([[1.0, 3.0]]), torch.tensor([[5, 6]]), 3)
    assert (rows.tolist(), scores.tolist()) == ([[6, 5, -1]], [[3.0, 1.0, -torch.inf]])


def test_kmeans_finds_separate_clusters_and_repeats_with_its_seed() -> None:
    centres = normal(20, 6) * 20
    points = centres.repeat(30, 1) + normal(600, 6, seed=1) * 0.1
    found = kmeans(points, 20, rounds=15, seed=4)
    assert torch.equal(found, kmeans(points, 20, rounds=15, seed=4))
    spread = (points - found[assign(points, found)]).square().sum(dim=1).mean()
    assert spread < (points - points.mean(dim=0)).square().sum(dim=1).mean() / 10


def test_a_cluster_without_points_takes_half_of_a_large_one() -> None:
    points = torch.cat([torch.ones(50, 2), normal(50, 2)])
    found = kmeans(points, 40, rounds=8, seed=0)
    assert torch.isfinite(found).all()
    assert len(np.unique(found.numpy(), axis=0)) == 40


def test_fewer_points_than_clusters_are_refused() -> None:
    with pytest.raises(DataError, match="3 vectors are too few to train 4 clusters"):
        kmeans(normal(3, 2), 4, rounds=1, seed=0)


def test_codes_lose_less_with_more_bytes_and_with_a_rotation() -> None:
    mixed = normal(3000, 16) * torch.linspace(3, 0.1, 16)

    def lost(spaces: int, *, rotate: bool) -> float:
        code = train_product_code(mixed, spaces, seed=0, rotate=rotate)
        codes = code.encode(mixed)
        assert (codes.dtype, codes.shape) == (torch.uint8, (3000, spaces))
        return float((code.turned(mixed) - code.decode(codes)).square().sum(dim=1).mean())

    assert lost(8, rotate=False) < lost(4, rotate=False) / 2
    assert lost(4, rotate=True) < lost(4, rotate=False)


def test_code_bytes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UsageError, match=r"5 code bytes do not divide 12 dimensions; use one of \[1, 2, 3, 4, 6, 12\]"):
        train_product_code(normal(300, 12), 5, seed=0, rotate=False)


@pytest.mark.parametrize("most", [1 << 62, 500, 1])
def test_lists_are_searched_like_all_rows_of_the_probed_lists(most: int) -> None:
    vectors, queries = normal(2000, 12), normal(17, 12, seed=1)
    centres = kmeans(vectors, 30, rounds=4, seed=0)
    of_row = assign(vectors, centres)
    lists, rows = lists_of(of_row, 33)  # the last three lists are empty
    there = as_operand(vectors[rows], "float32")
    probes = torch.stack([torch.randperm(33, generator=torch.Generator().manual_seed(i))[:6] for i in range(17)])
    maxima = list_group_max(as_operand(queries, "float32"), lambda a, b: there[a:b], lists, probes, most)
    columns, _ = best_groups(maxima.best, 12)
    slots = maxima.slots(columns, lists)
    scores = products(as_operand(queries, "float32"), there).gather(1, slots.clamp_min(0))
    found, _ = top(scores.masked_fill(slots < 0, -torch.inf), torch.where(slots < 0, -1, rows[slots.clamp_min(0)]), 10)
    probed = (of_row[None, :, None] == probes[:, None, :]).any(dim=2)
    expected = (queries @ vectors.T).masked_fill(~probed, -torch.inf).topk(10).indices
    assert torch.equal(found, expected)


def test_parts_of_lists_hold_each_list_once() -> None:
    lists = Lists(sizes=torch.tensor([5, 0, 9, 2, 2]))
    assert [(p.start, p.stop, a, b) for p, a, b in lists.parts(7)] == [(0, 2, 0, 5), (2, 3, 5, 14), (3, 5, 14, 18)]


class FullDevice:
    """Fails for more rows than it has room for, as a GPU does."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def __call__(self, part: slice) -> range:
        self.sizes.append(part.stop - part.start)
        if self.sizes[-1] > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return range(part.start, part.stop)


def test_a_block_that_does_not_fit_is_halved_and_said_once() -> None:
    blocks, device = Blocks(64, "search"), FullDevice(room=20)
    assert [row for part in blocks.run(100, device) for row in part] == list(range(100))
    assert device.sizes == [64, 32, 16, 16, 16, 16, 16, 16, 4]
    assert blocks.notes == [
        "search: 64 rows at once did not fit on the device; 32 do.",
        "search: 32 rows at once did not fit on the device; 16 do.",
    ]
    assert blocks.run(0, device) == []


def test_a_row_that_does_not_fit_alone_is_an_error_that_says_so() -> None:
    with pytest.raises(DeviceMemoryError, match=r"search: one row alone .* \(CUDA out of memory\).*device = 'cpu'"):
        Blocks(4, "search").run(9, FullDevice(room=0))


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="device 'tpu9' is not one that torch knows"):
        choose_device("tpu9")


def test_a_driver_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> bool:
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old (found 11040).", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    assert choose_device("auto") == choose_device(None) == CPU
    with pytest.raises(UnavailableError, match=r"sees 0 CUDA devices \(.*driver on your system is too old.*use 'cpu'"):
        choose_device("cuda")


@pytest.mark.parametrize(("bfloat16", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_without_bfloat16_multiplies_in_float32(
    bfloat16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    assert choose_precision("auto", torch.device("cuda")) == expected
    assert choose_precision("auto", CPU) == "float32"
    assert choose_precision("float16", torch.device("cuda")) == "float16"


def test_values_beyond_float16_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="beyond 65504 do not fit into float16"):
        as_operand(torch.full((2, 3), 1e5), "float16")
    assert torch.isfinite(as_operand(torch.full((2, 3), 1e5), "bfloat16").wide()).all()


def test_a_zero_vector_has_a_scale() -> None:
    assert as_operand(torch.zeros((1, 4)), "int8").wide().tolist() == [[0.0] * 4]


@pytest.mark.parametrize(("bits", "residual_bits"), [(4, 0), (8, 0), (4, 4), (4, 8), (8, 8)])
def test_a_device_makes_the_codes_that_numpy_makes(
    bits: Any, residual_bits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.vstack([normal(500, 19).numpy(), np.full((1, 19), 0.25, np.float32)])
    coding = fit_lvq(vectors, bits=bits, residual_bits=residual_bits)
    expected = coding.encode(vectors)
    monkeypatch.setattr(lvq, "gpu", lambda: CPU)
    found = coding.encode(vectors)
    assert found.codes.shape == expected.codes.shape
    assert (found.codes == expected.codes).mean() > 0.999  # a value in the middle of two codes may take either
    np.testing.assert_allclose(found.grid, expected.grid, rtol=1e-6)
    np.testing.assert_allclose(coding.decode(found), coding.decode(expected), atol=0.02)


def test_moments_are_the_same_from_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = normal(5000, 12).numpy()
    expected = _moments.second_moment(vectors, vectors.mean(axis=0))
    monkeypatch.setattr(_moments, "gpu", lambda: CPU)
    np.testing.assert_allclose(_moments.second_moment(vectors, vectors.mean(axis=0)), expected, rtol=1e-5, atol=1e-6)


def test_no_driver_is_no_gpu_and_imports_no_torch() -> None:
    said = "import sys; from retrieval_bench.device.presence import gpu; print(gpu(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], env={"PATH": ""}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]


def test_the_adaptor_is_the_same_on_a_named_device() -> None:
    vectors = normal(200, 8).numpy()
    one, two = (fit_adaptor(vectors, dims=[2, 4], seed=1, device=device) for device in (None, "cpu"))
    np.testing.assert_allclose(one.query, two.query, atol=1e-5)
    with pytest.raises(UsageError, match="not one that torch knows"):
        fit_adaptor(vectors, dims=[2], seed=1, device="abacus")


def test_doctor_says_why_torch_does_not_use_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "machine", lambda: {**machine(), "gpu": "NVIDIA H100"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = list(doctor.findings())
    assert "  device 'cuda': torch sees 0 CUDA devices; use 'cpu'" in said
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert any(line.startswith("  torch uses it, ") for line in doctor.findings())
