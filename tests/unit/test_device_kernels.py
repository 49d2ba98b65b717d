"""The Triton kernels against plain torch: compiled where there is a GPU, else in Triton's interpreter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from retrieval_bench.device import products as operations
from retrieval_bench.device.choose import Precision
from retrieval_bench.device.kmeans import assign, kmeans
from retrieval_bench.device.lists import list_group_max, lists_of
from retrieval_bench.device.operand import Operand, as_operand
from retrieval_bench.device.products import GROUP, chosen_scores, group_max, nearest, products

pytest.importorskip("triton", reason="Triton is not installed")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# The interpreter's products of bfloat16 are wrong (seen with Triton 3.9); float16 stands for the half types there.
_HALF: Precision = "bfloat16" if DEVICE.type == "cuda" else "float16"
PRECISIONS: list[Precision] = ["float32", _HALF, "int8"]


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "INTERPRETED", True)


def rows(n: int, d: int, precision: Precision, seed: int, *, bias: bool = False) -> Operand:
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn((n, d), generator=draw).to(DEVICE)
    return as_operand(vectors, precision, torch.randn(n, generator=draw).to(DEVICE) if bias else None)


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_NATIVE", "0")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("m", "n", "d", "bias"), [(1, 40, 16, True), (20, 200, 70, False), (70, 333, 33, True), (130, 64, 128, True)]
)
def test_group_max(m: int, n: int, d: int, bias: bool, precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, there = rows(m, d, precision, 1), rows(n, d, precision, 2, bias=bias)
    found = group_max(asked, there)
    plain(monkeypatch)
    torch.testing.assert_close(found, group_max(asked, there), rtol=1e-5, atol=1e-4)
    padded = torch.nn.functional.pad(products(asked, there), (0, -n % GROUP), value=-torch.inf)
    torch.testing.assert_close(found, padded.view(m, -1, GROUP).amax(2), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_chosen_scores(metric: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(0)
    asked, there = torch.randn((7, 150), generator=draw).to(DEVICE), torch.randn((90, 150), generator=draw).to(DEVICE)
    slots = torch.randint(-1, 90, (7, 45), generator=draw).to(DEVICE)
    found = chosen_scores(asked, there.to(dtype), slots, metric)  # type: ignore[arg-type]
    plain(monkeypatch)
    torch.testing.assert_close(found, chosen_scores(asked, there.to(dtype), slots, metric), rtol=1e-5, atol=1e-3)  # type: ignore[arg-type]
    assert (found[slots < 0] == -torch.inf).all()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nearest(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    points, centres = rows(150, 40, precision, 1), rows(300, 40, precision, 2, bias=True)
    which, scores = nearest(points, centres)
    plain(monkeypatch)
    expected, best = nearest(points, centres)
    torch.testing.assert_close(scores, best, rtol=1e-5, atol=1e-4)
    assert (which == expected).float().mean() > 0.99  # only near ties may differ


def test_of_equal_centres_the_first_is_nearest() -> None:
    centres = Operand(values=torch.ones((300, 16), device=DEVICE))
    assert nearest(Operand(values=torch.ones((5, 16), device=DEVICE)), centres)[0].tolist() == [0] * 5


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("m", [1, 40])
def test_list_group_max(m: int, precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(3)
    vectors = torch.randn((900, 24), generator=draw).to(DEVICE)
    centres = kmeans(vectors, 12, rounds=3, seed=0)
    lists, row_of_slot = lists_of(assign(vectors, centres), 14)  # two lists stay empty
    there = as_operand(vectors[row_of_slot.clamp_min(0)], precision)
    asked = rows(m, 24, precision, 4)
    probes = torch.stack([torch.randperm(14, generator=draw)[:5] for _ in range(m)]).to(DEVICE)
    found = list_group_max(asked, lambda a, b: there[a:b], lists, probes, most=200)
    plain(monkeypatch)
    expected = list_group_max(asked, lambda a, b: there[a:b], lists, probes)
    torch.testing.assert_close(found.best, expected.best, rtol=1e-5, atol=1e-4)
    assert torch.equal(found.ends, expected.ends)


def test_nothing_asked_is_nothing_launched() -> None:
    there, none = rows(40, 8, "float32", 0), rows(0, 8, "float32", 1)
    assert group_max(none, there).shape == (0, 2)
    assert nearest(none, there)[0].shape == (0,)
    slots = torch.empty((0, 3), dtype=torch.int64, device=DEVICE)
    assert chosen_scores(none.values, there.values, slots, "ip").shape == (0, 3)
    assert np.isfinite(group_max(rows(1, 8, "float32", 2), there).cpu().numpy()).all()
