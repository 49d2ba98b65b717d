"""The native kernels and their numpy forms give the same candidates, whatever the variant, shape and ties."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval_bench.kernels import _native
from retrieval_bench.kernels.rerank import rerank, rerank_numpy
from retrieval_bench.kernels.scan import (
    DIMS,
    LARGEST_CODE,
    LARGEST_QUERY,
    ROWS,
    Asking,
    Lists,
    packed,
    padded_dim,
    scan,
    scan_numpy,
    slots_of,
    tiled,
    unpacked,
)
from retrieval_bench.types import Metric


def _need_compiler() -> None:
    if _native.library() is None:  # asked for within a test, whose home folder is a temporary one
        pytest.skip(f"no native kernel: {_native.description()}")


def _lists(
    sizes: list[int], dim: int, generator: np.random.Generator, *, top: int, beside: str, cells: int = 1
) -> Lists:
    """Random codes; ``beside``: names of what stands beside them."""
    rows = np.array(sizes, np.int64)
    starts, slots = slots_of(rows)
    codes = np.zeros((slots, dim), np.uint8)
    for start, size in zip(starts * ROWS, sizes, strict=True):
        codes[start : start + size] = generator.integers(0, top + 1, (size, dim))
    of_list = generator.integers(0, cells, len(sizes))
    return Lists(
        codes=packed(codes), starts=starts, rows=rows,
        scale=generator.random(slots).astype(np.float32) if "scale" in beside else None,
        bias=(generator.standard_normal(slots) * 500).astype(np.float32) if "bias" in beside else None,
        cells=np.repeat(of_list, -(-rows // ROWS)).astype(np.int32) if cells > 1 else None, cell_count=cells,
    )  # fmt: skip


def _asking(lists: Lists, m: int, generator: np.random.Generator, beside: str) -> Asking:
    shape = (m, lists.cell_count)
    codes = generator.integers(-LARGEST_QUERY, LARGEST_QUERY + 1, (*shape, lists.dim)).astype(np.int8)
    drawn = [(generator.standard_normal(shape) * size).astype(np.float32) for size in (1, 1, 500)]
    zero = generator.integers(-999, 999, shape).astype(np.int32)
    whole = lists.cell_count > 1
    return Asking(
        codes=codes, zero=zero if beside else None, unit=np.abs(drawn[0]) if whole else None,
        weight=drawn[1] if "bias" in beside else None, offset=drawn[2] if whole else None,
    )  # fmt: skip


def _variants() -> list[int]:
    return list(range(_native.best_variant() + 1))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 70), min_size=1, max_size=6),
    quads=st.integers(1, 3),
    queries=st.integers(1, 19),
    depth=st.integers(1, 40),
    top=st.sampled_from([1, LARGEST_CODE]),
    beside=st.sampled_from(["", "scale", "bias", "scale and bias"]),
    cells=st.integers(1, 3),
    probed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_all_variants_find_the_same_candidates(
    sizes: list[int], quads: int, queries: int, depth: int, top: int, beside: str, cells: int, probed: bool, seed: int
) -> None:
    _need_compiler()
    generator = np.random.default_rng(seed)
    lists = _lists(sizes, 16 * quads, generator, top=top, beside=beside, cells=cells)
    asked = _asking(lists, queries, generator, beside)
    probes = None
    if probed:
        count = int(generator.integers(1, len(sizes) + 1))
        probes = np.array([generator.permutation(len(sizes))[:count] for _ in range(queries)], np.int32)
    slots, scores = scan_numpy(lists, asked, depth, probes=probes)
    for variant in _variants():
        found, values = scan(lists, asked, depth, variant=variant, probes=probes)
        np.testing.assert_array_equal(found, slots)
        np.testing.assert_array_equal(values, scores)
        loose, _ = scan(lists, asked, depth, variant=variant, ranked=False, probes=probes)
        np.testing.assert_array_equal(np.sort(loose, axis=1), np.sort(slots, axis=1))


def test_scores_are_what_is_said_of_them() -> None:
    generator = np.random.default_rng(0)
    lists = _lists([40, 7, 33], 16, generator, top=LARGEST_CODE, beside="scale and bias", cells=2)
    assert lists.cells is not None
    assert lists.scale is not None
    assert lists.bias is not None
    asked = _asking(lists, 5, generator, "scale and bias")
    slots, scores = scan(lists, asked, 20)
    codes, rows = unpacked(lists.codes).astype(np.int64), np.arange(5)[:, None]
    cells = lists.cells[slots // ROWS]
    products = np.einsum("qkd,qkd->qk", asked.codes[rows, cells], codes[slots])
    parts: dict[str, Any] = {name: part[rows, cells] for name, part in vars(asked).items() if name != "codes"}
    expected = (products - parts["zero"]) * parts["unit"].astype(np.float64) * lists.scale[slots]
    expected += lists.bias[slots] * parts["weight"].astype(np.float64) + parts["offset"]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-2)


def test_the_largest_products_do_not_overflow() -> None:
    _need_compiler()
    for sign in (1, -1):
        codes = np.full((ROWS, 512), LARGEST_CODE, np.uint8)
        lists = Lists(codes=packed(codes), starts=np.zeros(1, np.int64), rows=np.array([ROWS]))
        asked = Asking(codes=np.full((9, 1, 512), sign * LARGEST_QUERY, np.int8))
        for variant in _variants():
            _, scores = scan(lists, asked, 4, variant=variant)
            assert (scores == sign * LARGEST_CODE * LARGEST_QUERY * 512).all()


def test_candidates_are_those_of_a_full_sort() -> None:
    generator = np.random.default_rng(0)
    n, depth = 5000, 30
    codes = np.zeros((-(-n // ROWS) * ROWS, 32), np.uint8)
    codes[:n] = np.sort(generator.integers(0, 128, (n, 32)), axis=0)  # ascending: the worst order for a threshold
    starts, rows = tiled(np.zeros(1, np.int64), np.array([n]))
    asked = generator.integers(-31, 32, (12, 1, 32)).astype(np.int8)
    slots, scores = scan(Lists(codes=packed(codes), starts=starts, rows=rows), Asking(codes=asked), depth)
    products = asked[:, 0].astype(np.int64) @ codes[:n].T.astype(np.int64)
    order = np.argsort(-products, axis=1, kind="stable")[:, :depth]
    np.testing.assert_array_equal(slots, order)
    np.testing.assert_array_equal(scores, np.take_along_axis(products, order, axis=1))


def test_tiles_hold_the_rows_of_their_lists() -> None:
    starts, rows = tiled(np.array([0, 3, 3, 200]), np.array([40, 0, 2500, 1024]))
    np.testing.assert_array_equal(starts, [0, 3, 67, 131, 200])
    np.testing.assert_array_equal(rows, [40, 1024, 1024, 452, 1024])


def test_packing_is_undone_by_unpacking() -> None:
    codes = np.random.default_rng(0).integers(0, 128, (64, 48)).astype(np.uint8)
    np.testing.assert_array_equal(unpacked(packed(codes)), codes)


@pytest.mark.parametrize("damage", ["starts", "rows", "bias", "scale", "codes", "cells"])
def test_lists_that_do_not_fit_never_reach_the_kernel(damage: str) -> None:
    generator = np.random.default_rng(0)
    parts: dict[str, Any] = {**vars(_lists([20, 5], 16, generator, top=9, beside="scale and bias", cells=2))}
    whole = Lists(**parts)
    with pytest.raises(ValueError, match="queries of 1 x 16 do not fit"):
        scan(whole, Asking(codes=np.zeros((3, 1, 16), np.int8)), 1)
    parts["starts"] = parts["starts"] + 2 if damage == "starts" else parts["starts"]
    parts["rows"] = parts["rows"] + 30 if damage == "rows" else parts["rows"]
    parts["bias"] = parts["bias"][:-1] if damage == "bias" else parts["bias"]
    parts["scale"] = parts["scale"].astype(np.float64) if damage == "scale" else parts["scale"]
    parts["cells"] = parts["cells"] + 2 if damage == "cells" else parts["cells"]
    parts["codes"] = parts["codes"][:, :3] if damage == "codes" else parts["codes"]
    with pytest.raises(ValueError, match="do not fit together"):
        Lists(**parts)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from([np.float32, np.float16, np.uint8]),
    metric=st.sampled_from(["ip", "l2"]),
    d=st.integers(1, 50),
    depth=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_native_and_numpy_rerank_alike(kind: Any, metric: Metric, d: int, depth: int, seed: int) -> None:
    _need_compiler()
    generator = np.random.default_rng(seed)
    n, m = 64, 7
    vectors: Any = generator.integers(0, 256, (n, d)) if kind is np.uint8 else generator.standard_normal((n, d))
    vectors = vectors.astype(kind)
    vectors[10:20] = vectors[0]  # ties, which the lower row wins
    grid = generator.random((n, 2)).astype(np.float32) if kind is np.uint8 else None
    cells = generator.integers(0, 3, n // ROWS).astype(np.int32)
    beside: dict[str, Any] = {"centres": generator.standard_normal((3, d)).astype(np.float32), "cells": cells}
    if grid is not None:
        grid[10:20] = grid[0]
    asked = generator.standard_normal((m, d)).astype(np.float32)
    slots = np.full((m, depth), -1, np.int32)
    for row in slots:
        count = generator.integers(0, min(depth, n) + 1)
        row[:count] = generator.permutation(n)[:count]
    ids = generator.permutation(n).astype(np.int32)
    k = int(generator.integers(1, depth + 1))
    rows, scores = rerank(vectors, asked, slots, k, metric=metric, ids=ids, grid=grid, **beside)
    expected, values = rerank_numpy(vectors, asked, slots, k, metric=metric, ids=ids, grid=grid, **beside)
    np.testing.assert_allclose(scores, values, rtol=1e-4, atol=1e-3)
    place = np.argsort(ids)
    for query in range(m):
        found = rows[query][rows[query] >= 0]
        assert len(found) == (expected[query] >= 0).sum()
        assert set(place[found]) <= set(slots[query])
        assert len(set(found)) == len(found)


def test_scores_that_round_to_one_float_are_told_apart_beside_a_far_larger_one() -> None:
    values = np.zeros((6, 2), np.float32)
    values[:, 0] = [1e9, 1, 1 + 1e-6, 1 - 1e-6, 1 + 2e-6, 1]
    values[1:, 1] = [0, 3e-8, 0, 0, 1e-8]  # beside a 1 less than a float32 shows
    slots = np.arange(6, dtype=np.int32)[None]
    for rank in (rerank, rerank_numpy):
        rows, scores = rank(values, np.ones((1, 2), np.float32), slots, 4, metric="ip")
        np.testing.assert_array_equal(rows, [[0, 4, 2, 5]])
        np.testing.assert_allclose(scores[0], [1e9, 1, 1, 1], rtol=1e-5)


def test_half_precision_is_read_as_numpy_reads_it() -> None:
    values = np.array([[0.0, -0.0, 1.5, -2.25, 65504, 6e-8, 6.1e-5, -1e-7]], np.float16)
    slots = np.zeros((8, 1), np.int32)
    centres = np.zeros((1, 8), np.float32)
    _, scores = rerank(values, np.eye(8, dtype=np.float32), slots, 1, metric="ip", centres=centres)
    np.testing.assert_array_equal(scores[:, 0], values[0].astype(np.float32))


def test_numpy_does_it_where_the_kernel_is_turned_off_or_no_compiler_is_found(tmp_path: Path) -> None:
    said = "from retrieval_bench.kernels import description; print(description())"
    environment = {"RETRIEVAL_BENCH_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(**more: str) -> str:
        command = [sys.executable, "-c", said]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment | more).stdout

    assert "RETRIEVAL_BENCH_NATIVE=0" in run(RETRIEVAL_BENCH_NATIVE="0", PATH="/usr/bin:/bin")
    assert "a C compiler" in run(PATH=str(tmp_path))


def test_a_compiler_that_fails_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _need_compiler()
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path))
    assert _native._opened(str(broken)) is None
    program = _native.compiler()
    assert program is not None
    path = _native._path(program)
    path.parent.mkdir()
    path.write_bytes(b"not a library")
    assert _native._opened(program) is None
    path.unlink()
    assert _native._opened(program) is not None
    assert list(path.parent.iterdir()) == [path]


def test_the_fastest_variant_is_the_one_that_the_library_names() -> None:
    _need_compiler()
    library = _native.library()
    assert library is not None
    assert _native.best_variant() == library.best_variant()


@pytest.mark.parametrize("dim", [1, DIMS - 1, DIMS, DIMS + 1, 5 * DIMS])
def test_codes_are_padded_to_whole_groups_of_dimensions(dim: int) -> None:
    padded = padded_dim(dim)
    assert padded % DIMS == 0
    assert 0 <= padded - dim < DIMS
