"""The BEIR commands over folders: those called alike stay apart, cards go first, and parts have a mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up_files import QRELS, write_beir
from typer.testing import CliRunner

pytest.importorskip("bm25s")

from retrieval_bench.cli import app
from retrieval_bench.study import beir
from retrieval_bench.study.beir import run_beir

ORDINARY = ["--ranker", "bm25", "--measure-seconds", "0.01"]
FILLERS = [{"_id": f"f{i}", "text": f"filler number {i}"} for i in range(10)]  # so that metrics at 10 can be measured


def _folder(place: Path, text: str) -> Path:
    documents = [{"_id": "d1", "text": text}, {"_id": "d2", "text": "lifting"}, *FILLERS]
    return write_beir(place, documents=documents, qrels={"test": [("q1", "d1", 1), ("q2", "d2", 1)]})


def _main_score(file: Path) -> float:
    value: float = json.loads(file.read_text())["scores"]["test"][0]["main_score"]
    return value


def test_folders_that_are_called_alike_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = _folder(tmp_path / "a" / "same", "dancing birds")
    bad = _folder(tmp_path / "b" / "same", "nothing alike")
    out = tmp_path / "out"
    done = list(run_beir([str(good), str(bad), str(good)], rankers=["bm25"], seconds=0.01, out=out))
    (first,), (second,) = (each.files for each in done)
    assert [_main_score(first), _main_score(second)] == [1.0, 0.5]
    assert len(list((out / "runs").iterdir())) == 2
    monkeypatch.chdir(good)
    (here,) = run_beir(["."], rankers=["bm25"], seconds=0.01, out=tmp_path / "here")
    assert [file.name for file in here.files] == [first.name]
    assert first.name.startswith("same-")


def test_a_folder_called_as_a_set_has_its_name_on_the_leaderboard(tmp_path: Path) -> None:
    folders = [str(_folder(tmp_path / place / "scifact", "dancing birds")) for place in ("a", "b")]

    def names(*given: str) -> list[str]:
        done = run_beir(given, rankers=["bm25"], seconds=0.01, out=tmp_path / "out")
        return [file.stem for each in done for file in each.files]

    assert names(folders[0]) == ["SciFact"]
    assert all(name.startswith("scifact-") for name in names(*folders))


def test_the_mean_over_the_parts_of_a_folder(tmp_path: Path) -> None:
    whole, out = tmp_path / "forums", tmp_path / "out"
    _folder(whole / "android", "dancing birds")
    _folder(whole / "gis", "nothing alike")
    (whole / "notes").mkdir()
    done = CliRunner().invoke(app, ["beir", str(whole), *ORDINARY, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "forums: mean over its parts" in done.output.replace("\n", "")
    (mean,) = (out / "bm25").glob("forums-*.json")
    assert _main_score(mean) == 0.75
    assert len(list((out / "bm25").iterdir())) == 3
    (whole / "gis" / "qrels" / "test.tsv").write_text("q1\n")
    mean.unlink()
    done = CliRunner().invoke(app, ["beir", str(whole), *ORDINARY, "--out", str(out)])
    assert done.exit_code == 1
    assert not mean.exists()  # a mean over some of the parts would pass for the whole


def test_cards_go_before_folders_of_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home_folder: Path
) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_DATA", str(tmp_path / "data"))
    for part in ("android", "gis"):
        _folder(tmp_path / "data" / "cqadupstack" / part, "dancing birds")
    write_beir(tmp_path / "cqadupstack", qrels=QRELS)
    monkeypatch.chdir(tmp_path)
    assert list(beir._parts("./cqadupstack")) == ["./cqadupstack"]
    assert len(beir._parts("cqadupstack")) == 12
    known = [f"beir/cqadupstack/{part}" for part in ("android", "gis")]
    monkeypatch.setattr(beir, "beir_sets", lambda: known)
    for names in (["cqadupstack"], known):  # as --all has them
        *_, mean = run_beir(names, rankers=["bm25"], seconds=0.01, out=tmp_path / "out")
        assert mean.means["bm25"]["nDCG@10"] == 1.0
        assert mean.files == (tmp_path / "out" / "bm25" / "CQADupstackRetrieval.json",)
    (alone,) = run_beir(known[:1], rankers=["bm25"], seconds=0.01, out=tmp_path / "out")
    assert alone.files[0].name == "CQADupstackAndroidRetrieval.json"
