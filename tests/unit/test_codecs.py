"""Every codec: bytes to the byte, budgets, distortion, files, and input that cannot be coded."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from retrieval_bench.codecs import Codec, nbytes, read_traffic, registered
from retrieval_bench.codecs._bits import pack, packed_bytes, unpack
from retrieval_bench.codecs._turn import random_signs, turned
from retrieval_bench.codecs._uniform import learned_steps, quantized, restored
from retrieval_bench.errors import BudgetError, DataError
from retrieval_bench.types import FloatArray

N, D = 1200, 32
CODECS = registered.names()
BY_ROW = {"hashing", "quotient_remainder"}  # a row's number is its code
TIERS = [12, 24, 48, 96]


def _vectors(n: int = N, d: int = D, seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    spread = np.linspace(1.5, 0.3, d)
    centres = generator.standard_normal((20, d)) * spread
    vectors = centres[generator.integers(20, size=n)] + 0.5 * generator.standard_normal((n, d)) * spread
    return np.asarray(vectors - vectors.mean(axis=0), np.float32)


def _fitted(name: str, vectors: FloatArray, size: float, **settings: Any) -> tuple[Codec, dict[str, Any]]:
    codec = registered.get(name)()
    codec.fit(vectors, size, **settings)
    return codec, codec.encode(vectors)


def _error(codec: Codec, codes: dict[str, Any], vectors: FloatArray) -> float:
    """Mean squared error of inner products with the first rows, a share of the products' mean square."""
    true = vectors[:60] @ vectors.T
    found = codec.queries(vectors[:60]) @ codec.decode(codes, slice(0, len(vectors))).T
    return float(((found - true) ** 2).mean() / (true**2).mean())


def test_there_are_at_least_fourteen() -> None:
    assert len(CODECS) >= 14


@pytest.mark.parametrize("name", CODECS)
def test_bytes_are_those_of_the_arrays_and_within_the_budget(name: str) -> None:
    vectors, saved = _vectors(), io.BytesIO()
    codec, codes = _fitted(name, vectors, 24)
    total = nbytes(codes) + nbytes(codec.tables)
    assert 0 < total <= 24 * N
    arrays = codes | {f"table_{key}": table for key, table in codec.tables.items()}
    np.savez(saved, **arrays)
    headers = 400 * (len(codes) + len(codec.tables) + 1)
    assert total <= saved.tell() <= total + headers


@pytest.mark.parametrize("name", CODECS)
def test_the_smallest_size_that_a_refusal_names_is_enough(name: str) -> None:
    vectors = _vectors()
    with pytest.raises(BudgetError, match=f"^{name}") as refused:
        _fitted(name, vectors, 0.01)
    found = re.search(r"at least (\d+) bytes", str(refused.value))
    assert found is not None
    codec, codes = _fitted(name, vectors, int(found[1]) / N)
    assert nbytes(codes) + nbytes(codec.tables) <= int(found[1])


@pytest.mark.parametrize("name", CODECS)
def test_more_bytes_never_lose_more(name: str) -> None:
    vectors = _vectors()
    errors = [_error(*_fitted(name, vectors, tier), vectors) for tier in TIERS]
    assert all(later <= earlier * 1.1 + 1e-4 for earlier, later in pairwise(errors)), errors
    if name not in {"hashing", "quotient_remainder", "tensor_train"}:
        assert errors[-1] < 0.5 * errors[0] or errors[0] < 1e-3


@pytest.mark.parametrize("name", CODECS)
def test_blocks_and_single_rows_decode_alike(name: str) -> None:
    vectors = _vectors()
    traffic = np.random.default_rng(1).pareto(1, N) + 0.01
    codec, codes = _fitted(name, vectors, 24, traffic=traffic)
    whole = codec.decode(codes, slice(0, N))
    assert whole.dtype == np.float32
    assert whole.shape == (N, codec.queries(vectors[:1]).shape[1])
    rows = np.array([0, 3, 500, 501, N - 1])
    np.testing.assert_allclose(codec.decode(codes, rows), whole[rows], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(codec.decode(codes, slice(700, 900)), whole[700:900], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CODECS)
def test_tables_and_facts_are_the_whole_state(name: str) -> None:
    vectors = _vectors()
    codec, codes = _fitted(name, vectors, 24, seed=5)
    again = registered.get(name)(codec.tables, codec.facts)
    np.testing.assert_array_equal(again.decode(codes, slice(0, N)), codec.decode(codes, slice(0, N)))
    np.testing.assert_array_equal(again.queries(vectors[:5]), codec.queries(vectors[:5]))
    other, other_codes = _fitted(name, vectors, 24, seed=5)
    assert other.facts == codec.facts
    for key, code in codes.items():
        np.testing.assert_array_equal(other_codes[key], code)


@pytest.mark.parametrize("name", CODECS)
def test_constant_and_duplicate_vectors(name: str) -> None:
    constant = np.zeros((N, D), np.float32)
    codec, codes = _fitted(name, constant, 48)
    np.testing.assert_allclose(codec.queries(_vectors(3)) @ codec.decode(codes, slice(0, N)).T, 0, atol=1e-5)
    twice = np.repeat(_vectors(N // 2), 2, axis=0)
    codec, codes = _fitted(name, twice, 48)
    decoded = codec.decode(codes, slice(0, N))
    assert np.isfinite(decoded).all()
    if name not in BY_ROW | {"tensor_train"}:
        np.testing.assert_allclose(decoded[0::2], decoded[1::2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["pq", "opq", "rq", "prq"])
def test_codebooks_need_vectors(name: str) -> None:
    with pytest.raises(DataError, match="10 vectors are too few"):
        _fitted(name, _vectors(10), 64)


@pytest.mark.parametrize("name", CODECS)
def test_odd_dimensions(name: str) -> None:
    vectors = _vectors(d=23)
    codec, codes = _fitted(name, vectors, 90)
    assert np.isfinite(codec.decode(codes, slice(0, N))).all()


@pytest.mark.parametrize("name", ["fp16", "pq", "cluster_dim", "hashing", "tensor_train"])
def test_values_beyond_half_precision_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="half precision"):
        _fitted(name, _vectors() * np.float32(1e7), 64)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [1, 7, 16])
def test_packed_bits_come_back(bits: int, count: int) -> None:
    values = np.random.default_rng(0).integers(0, 1 << bits, (50, count), dtype=np.uint8)
    packed = pack(values, bits)
    assert packed.shape == (50, packed_bytes(count, bits))
    np.testing.assert_array_equal(unpack(packed, bits, count), values)


def test_learned_steps_lose_no_more_than_any_other() -> None:
    values = (np.random.default_rng(0).standard_normal((4000, 3)) * [0.1, 1, 10]).astype(np.float32)
    steps = learned_steps(values, 4)
    best = ((restored(quantized(values, steps, 4), steps, 4) - values) ** 2).mean(axis=0)
    for factor in (0.8, 0.95, 1.05, 1.2):
        other = steps * np.float32(factor)
        assert (((restored(quantized(values, other, 4), other, 4) - values) ** 2).mean(axis=0) > best).all()
    np.testing.assert_allclose(best / values.var(axis=0), 0.01154, rtol=0.1)  # Max 1960, table 2: 16 levels


@pytest.mark.parametrize("d", [2, 23, 64])
def test_the_turn_keeps_products(d: int) -> None:
    vectors = _vectors(40, d)
    signs = random_signs(d, 3)
    rotated = turned(vectors, signs)
    np.testing.assert_allclose(rotated @ rotated.T, vectors @ vectors.T, rtol=1e-4, atol=1e-3)
    one = np.zeros((1, d), np.float32)
    one[0, 0] = 1
    assert d == 2 or np.abs(turned(one, signs)).max() < 0.95


def test_rabitq_of_one_bit_estimates_as_faiss_does() -> None:
    vectors = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)  # no dimension can be spared
    codec, codes = _fitted("rabitq", vectors, D / 8 + 4 + 0.2)  # the bits, the factor, and the signs of the rotation
    assert codec.facts == {"rank": D, "bits": 1}
    rotated = codec.queries(vectors)
    peer = faiss.RaBitQuantizer(D, faiss.METRIC_L2)
    theirs = peer.decode(peer.compute_codes(rotated))
    np.testing.assert_allclose(codec.decode(codes, slice(0, N)), theirs, rtol=1e-4, atol=1e-5)


def test_rabitq_is_unbiased() -> None:
    vectors = _vectors()
    for size in (8.5, 12.5, 22):
        codec, codes = _fitted("rabitq", vectors, size)
        decoded = codec.decode(codes, slice(0, N))
        reduced = codec.queries(vectors)
        np.testing.assert_allclose((decoded * reduced).sum(axis=1), (reduced**2).sum(axis=1), rtol=1e-3)


def test_mixed_precision_favours_what_is_asked_for() -> None:
    vectors = _vectors()
    traffic = np.ones(N)
    hot = np.arange(0, N, 50)
    traffic[hot] = 1000
    codec, codes = _fitted("mixed", vectors, 24, traffic=traffic)
    assert codec.facts["hot"] > codec.facts["cold"]
    errors = ((codec.queries(vectors) - codec.decode(codes, slice(0, N))) ** 2).sum(axis=1)
    assert errors[hot].mean() < 0.5 * np.delete(errors, hot).mean()
    uniform, uniform_codes = _fitted("mixed", vectors, 24)
    assert set(uniform_codes) == {"cold"}
    assert uniform.facts["hot"] == uniform.facts["cold"]


def test_traffic_is_read_from_three_kinds_of_files(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = np.array([3.0, 0.0, 5.0])
    np.save(tmp_path / "t.npy", counts)
    pq.write_table(pa.table({"id": ["a", "b", "c"], "count": counts}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("id,count\na,3\nb,0\nc,5\n")
    for name in ("t.npy", "t.parquet", "t.csv"):
        np.testing.assert_array_equal(read_traffic(tmp_path / name, 3), counts)
    with pytest.raises(DataError, match="one for each of the 4 rows"):
        read_traffic(tmp_path / "t.npy", 4)
    (tmp_path / "bad.csv").write_text("-1\n2\n3\n")
    with pytest.raises(DataError):
        read_traffic(tmp_path / "bad.csv", 3)
    with pytest.raises(DataError, match="cannot be read"):
        read_traffic(tmp_path / "absent.npy", 3)
