"""MaxSim over stored token vectors against its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval_bench.errors import ArtifactError
from retrieval_bench.scorers import _token_store
from retrieval_bench.scorers._token_store import TokenStore, principal_axes, quantized
from retrieval_bench.types import FloatArray

rng = np.random.default_rng(5)
LENGTHS = rng.integers(1, 9, 40)
TOKENS: list[FloatArray] = [rng.standard_normal((length, 16)).astype(np.float32) for length in LENGTHS]
QUERY = rng.standard_normal((4, 16)).astype(np.float32)
DEFINITION = np.array([(QUERY @ tokens.T).max(axis=1).mean() for tokens in TOKENS])


def store(storage: _token_store.Storage = "float16", dim: int = 16) -> TokenStore:
    vectors = np.concatenate(TOKENS)
    axes = principal_axes(vectors, dim)
    values, scales = quantized(vectors @ axes, storage)
    return TokenStore(values, scales, np.cumsum([0, *LENGTHS], dtype=np.int64), axes)


@pytest.mark.parametrize(("storage", "tolerance"), [("float16", 5e-3), ("int8", 5e-2)])
@pytest.mark.parametrize("block", [1, 64, 1 << 22])
def test_max_sim_is_its_definition_for_all_and_for_some(
    storage: _token_store.Storage, tolerance: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_token_store, "_BLOCK_VALUES", block)
    built = store(storage)
    assert np.allclose(built.max_sim(QUERY), DEFINITION, atol=tolerance)
    some = np.array([7, 3, 39, 0, 7, 8, 9])
    assert np.allclose(built.max_sim(QUERY, some), DEFINITION[some], atol=tolerance)
    assert built.max_sim(QUERY, np.empty(0, np.int64)).shape == (0,)


def test_principal_axes_keep_more_than_others() -> None:
    stretched = np.concatenate(TOKENS) * np.linspace(3, 0.1, 16, dtype=np.float32)
    axes = principal_axes(stretched, 4)
    assert np.allclose(axes.T @ axes, np.eye(4), atol=1e-5)
    kept = np.square(stretched @ axes).sum()
    assert kept > np.square(stretched[:, 4:8]).sum()
    assert kept >= np.square(stretched[:, :4]).sum()


def test_bytes_are_those_of_the_arrays() -> None:
    count = int(LENGTHS.sum())
    assert store("int8", 8).parts == {
        "tokens": 8 * count,
        "scales": 4 * count,
        "starts": 8 * 41,
        "projection": 4 * 16 * 8,
    }
    assert store("float16", 8).parts["tokens"] == 16 * count


def test_means_have_length_one_and_the_direction_of_the_tokens() -> None:
    built = store("int8")
    means = built.means()
    assert np.allclose(np.linalg.norm(means, axis=1), 1, atol=1e-5)
    expected = TOKENS[5].mean(axis=0) @ built.projection
    assert means[5] @ expected / np.linalg.norm(expected) > 0.99


def test_saving_keeps_the_scores_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    built = store("int8")
    built.save(tmp_path)
    assert np.array_equal(TokenStore.load(tmp_path).max_sim(QUERY), built.max_sim(QUERY))
    np.save(tmp_path / "starts.npy", built.starts[:-1])
    with pytest.raises(ArtifactError, match="do not fit"):
        TokenStore.load(tmp_path)
    (tmp_path / "values.npy").unlink()
    with pytest.raises(ArtifactError, match="cannot be opened"):
        TokenStore.load(tmp_path)
