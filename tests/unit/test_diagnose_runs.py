"""Diagnostics over several runs on the command line, on made-up records."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_run import summary, trial
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.errors import UsageError
from retrieval_bench.records import Store
from retrieval_bench.types import Measurement


def made(
    folder: Path,
    seed: int,
    rates: list[float],
    systems: tuple[str, ...] = ("ivf",),
    machine: dict[str, str] | None = None,
    dataset: str = "scifact",
) -> str:
    rate = Measurement(
        name="batch_qps", unit="1/s", direction="higher", statistic="median", value=float(np.median(rates)),
        low=min(rates), high=max(rates), n=len(rates), samples=tuple(rates),
    )  # fmt: skip
    store, chosen = Store(folder), {system: f"{system}-0" for system in systems}
    for system, name in chosen.items():
        record = trial(system, name, {})
        machines = {"machine": record.machine | (machine or {})}
        store.write(record.model_copy(update={"dataset": dataset, "measurements": (rate,), "seed": seed} | machines))
    facts = {"dataset": dataset, "chosen": chosen, "trials": tuple(chosen.values())}
    store.write_summary(summary(winner=None, tied=(), **facts))
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


def spread(folder: Path, runs: list[tuple[int, dict[str, str], float]]) -> tuple[dict[str, list[float]], list[str]]:
    """Rows by source, and sentences, of runs of a seed, a machine and a log rate."""
    noise = np.random.default_rng(0).normal(0, 0.001, (len(runs), 5))
    made_runs = [
        made(folder / f"{i}", seed, (1000 * np.exp(level + noise[i])).tolist(), machine=machine)
        for i, (seed, machine, level) in enumerate(runs)
    ]
    said = CliRunner().invoke(app, ["diagnose", "variance", "ivf", *made_runs, "--json"])
    assert said.exit_code == 0, (said.output, said.exception)
    answer = json.loads(said.output)
    return {name: figures for name, *figures in answer["rows"]}, answer["says"]


@pytest.mark.parametrize("other", [{"cpu": "another model"}, {"memory_bytes": str(16 * 2**30 - 4096)}])
def test_one_run_on_each_of_two_machines_is_the_machine(tmp_path: Path, other: dict[str, str]) -> None:
    found, says = spread(tmp_path, [(0, {}, 0.0), (0, other, 0.3)])
    assert list(found) == ["machine", "repeat"]
    assert found["machine"][1] > 0.99
    assert says[1:] == ["These runs cannot tell run apart: it varies with the others or with every value."]


def test_a_seed_of_its_own_on_each_machine_is_not_told_apart_either(tmp_path: Path) -> None:
    found, says = spread(tmp_path, [(0, {}, 0.0), (1, {"cpu": "another model"}, 0.3)])
    assert list(found) == ["machine", "repeat"]
    assert len(says) == 3


def test_several_seeds_on_each_machine_are_within_it(tmp_path: Path) -> None:
    other = {"cpu": "another model"}
    found, _ = spread(tmp_path, [(0, {}, 0.0), (1, {}, 0.02), (2, other, 0.3), (3, other, 0.32)])
    assert list(found) == ["machine", "seed", "repeat"]
    assert found["machine"][1] > 0.9


def test_what_machine_and_seed_do_not_explain_is_laid_to_the_run(tmp_path: Path) -> None:
    other = {"cpu": "another model"}
    found, says = spread(tmp_path, [(0, {}, 0.0), (1, {}, 0.2), (0, other, 0.2), (1, other, 0.0)])
    assert list(found) == ["machine", "seed", "run", "repeat"]
    assert found["run"][1] > 0.95
    assert len(says) == 1


def test_a_run_without_the_system_is_named(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a", 0, [1.0, 2.0])]
    said = CliRunner().invoke(app, ["diagnose", "variance", "hnsw", *runs])
    assert "has no batch_qps of a chosen setting of 'hnsw'" in str(said.exception)


def test_the_spread_over_different_data_is_refused(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, 0, [1.0, 2.0], dataset=name) for name in ("cacm", "npl")]
    said = CliRunner().invoke(app, ["diagnose", "variance", "ivf", *runs])
    assert isinstance(said.exception, UsageError)
    assert f"{runs[0]} and {runs[1]} differ in their data set (cacm and npl)" in str(said.exception)


def test_one_data_set_ranks_systems_without_intervals_and_says_why(tmp_path: Path) -> None:
    run = made(tmp_path / "run", 0, [1.0, 2.0], ("ivf", "hnsw"))
    asked = ["diagnose", "tournament", "--metric", "batch_qps", run]
    said = CliRunner().invoke(app, [*asked, "--json", "--out", run])
    assert said.exit_code == 0, (said.output, said.exception)
    found = json.loads(said.output)
    assert found["title"] == "Tournament of 2 systems over 1 data set"
    assert [row[2:4] for row in found["rows"]] == [[None, None]] * 2
    assert found["says"][-1].startswith("There are no intervals: fewer than two data sets")
    assert "There are no intervals" in CliRunner().invoke(app, asked).output
    assert "There are no intervals" in Store(Path(run)).sections()[0].html()


def test_a_data_set_counts_once_in_a_tournament(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, 0, [1.0, 2.0], ("ivf", "hnsw")) for name in "ab"]
    said = CliRunner().invoke(app, ["diagnose", "tournament", "--metric", "batch_qps", *runs])
    assert f"{runs[0]} and {runs[1]} are both of scifact" in str(said.exception)


def test_sections_of_several_runs_are_kept_with_the_run_that_is_named(tmp_path: Path) -> None:
    systems = ("ivf", "hnsw")
    runs = [made(tmp_path / f"{i}", i // 2, [1.0 + i, 1.1 + i, 1.2 + i], systems) for i in range(4)]
    sets = [made(tmp_path / name, 0, [1.0, 1.1], systems, dataset=name) for name in ("cacm", "npl", "cosqa", "trec")]
    out = tmp_path / "0"
    for command in (["variance", "ivf", *runs], ["tournament", "--metric", "batch_qps", *sets]):
        said = CliRunner().invoke(app, ["diagnose", *command, "--json", "--out", str(out)])
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
