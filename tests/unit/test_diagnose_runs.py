"""Diagnostics over several runs on the command line, on made-up records."""

import json
from pathlib import Path

import numpy as np
from made_up_run import summary, trial
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.records import Store
from retrieval_bench.types import Measurement


def made(folder: Path, seed: int, rates: list[float], systems: tuple[str, ...] = ("ivf",)) -> str:
    rate = Measurement(
        name="batch_qps", unit="1/s", direction="higher", statistic="median", value=float(np.median(rates)),
        low=min(rates), high=max(rates), n=len(rates), samples=tuple(rates),
    )  # fmt: skip
    store, chosen = Store(folder), {system: f"{system}-0" for system in systems}
    for system, name in chosen.items():
        store.write(trial(system, name, {}).model_copy(update={"measurements": (rate,), "seed": seed}))
    store.write_summary(summary(chosen=chosen, winner=None, tied=(), trials=tuple(chosen.values())))
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


def test_sections_of_several_runs_are_kept_with_the_run_that_is_named(tmp_path: Path) -> None:
    runs = [made(tmp_path / f"{i}", i // 2, [1.0 + i, 1.1 + i, 1.2 + i], ("ivf", "hnsw")) for i in range(4)]
    out = tmp_path / "0"
    for command in (["variance", "ivf"], ["tournament", "--metric", "batch_qps"]):
        said = CliRunner().invoke(app, ["diagnose", *command, *runs, "--json", "--out", str(out)])
        assert said.exit_code == 0, (said.output, said.exception)
        assert json.loads(said.output)["title"] in [section.title for section in Store(out).sections()]
    assert CliRunner().invoke(app, ["report", "--out", str(out)]).exit_code == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Variance of batch_qps: ivf, 4 runs" in page
    assert "Tournament of 2 systems over 4 data sets" in page
    assert CliRunner().invoke(app, ["diagnose", "variance", "ivf", *runs]).exit_code == 0
    assert not (tmp_path / "1" / "sections").exists()
    nowhere = CliRunner().invoke(app, ["diagnose", "variance", "ivf", *runs, "--out", str(tmp_path / "nowhere")])
    assert "holds no finished run" in str(nowhere.exception)
    assert not (tmp_path / "nowhere").exists()
