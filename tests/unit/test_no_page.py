"""A run that succeeded ends well where what the page needs is not installed."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.registry import missing


def test_without_jinja2_the_table_and_the_winner_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise missing("the HTML report", ModuleNotFoundError("No module named 'jinja2'", name="jinja2"))

    monkeypatch.setattr("retrieval_bench.report.write_html", absent)
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path / "home"))
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))
    command = ["run", str(tmp_path / "v.npy"), "--index", "flat", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--measure-seconds", "0.05"])
    assert done.exit_code == 0, done.output
    assert "Winner: retrieval-bench export" in done.output
    assert "No page was written: the HTML report needs the package 'jinja2'" in done.output
    again = CliRunner().invoke(app, ["report", "--out", str(tmp_path / "out")])
    assert again.exit_code == 0, again.output
    assert "pip install 'retrieval-bench[report]'" in again.output
