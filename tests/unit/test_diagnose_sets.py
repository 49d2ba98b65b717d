"""Diagnostics of data on the command line, on made-up vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app


def difficulty(dataset: Path, *more: str) -> dict[str, list[object]]:
    done = CliRunner().invoke(app, ["diagnose", "difficulty", str(dataset), "--json", *more])
    assert done.exit_code == 0, done.output
    return {name: figures for name, *figures in json.loads(done.output)["rows"]}


@pytest.mark.parametrize(("rows", "dimensions", "low", "high"), [(20_000, 3, -0.5, 0.4), (6_000, 300, 2.0, 20.0)])
def test_hubs_are_seen_where_they_are_and_nowhere_else(
    tmp_path: Path, rows: int, dimensions: int, low: float, high: float
) -> None:
    vectors = np.random.default_rng(0).normal(size=(rows, dimensions)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    (skewness, *_) = difficulty(tmp_path / "vectors.npy")["hubness"]
    assert isinstance(skewness, float)
    assert low < skewness < high
