"""Diagnostics over several runs on the command line, on made-up records."""

import json
from pathlib import Path

import numpy as np
from made_up_run import summary, trial
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.records import Store
from retrieval_bench.types import Measurement


def made(folder: Path, seed: int, rates: list[float]) -> str:
    rate = Measurement(
        name="batch_qps", unit="1/s", direction="higher", statistic="median", value=float(np.median(rates)),
        low=min(rates), high=max(rates), n=len(rates), samples=tuple(rates),
    )  # fmt: skip
    record = trial("ivf", "ivf-0", {}).model_copy(update={"measurements": (rate,), "seed": seed})
    store = Store(folder)
    store.write(record)
    store.write_summary(summary(chosen={"ivf": "ivf-0"}, winner=None, tied=(), trials=("ivf-0",)))
    return str(folder)


def test_the_spread_of_a_speed_is_traced_to_its_source(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = []
    for seed in range(4):
        for again in range(2):
            rates = 1000 * np.exp(0.2 * seed + rng.normal(0, 0.02) + rng.normal(0, 0.001, 5))
            runs.append(made(tmp_path / f"{seed}-{again}", seed, rates.tolist()))
    said = CliRunner().invoke(app, ["diagnose", "variance", "ivf", *runs, "--json"])
    assert said.exit_code == 0, said.output
    found = {row[0]: row for row in json.loads(said.output)["rows"]}
    assert list(found) == ["seed", "run", "repeat"]  # one machine: nothing to tell
    assert found["seed"][2] > 0.9
    assert 0.5 < found["run"][1] < 4
    assert found["repeat"][1] < 0.2


def test_a_run_without_the_system_is_named(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a", 0, [1.0, 2.0])]
    said = CliRunner().invoke(app, ["diagnose", "variance", "hnsw", *runs])
    assert "has no batch_qps of a chosen setting of 'hnsw'" in str(said.exception)
