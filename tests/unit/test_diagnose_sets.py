"""Diagnostics of data on the command line, on made-up vectors."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_run import summary
from made_up_text import WordEncoder, beir_folder
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.records import Store


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


def test_queries_of_a_small_corpus_are_unlike_it_only_where_they_are(tmp_path: Path) -> None:
    made = np.random.default_rng(0).normal(size=(300, 384)).astype(np.float32)
    for name, aside, verdict in (("alike", 0.0, "queries are like"), ("aside", 1.0, "queries are unlike")):
        np.savez(tmp_path / f"{name}.npz", corpus=made[:200], queries=made[200:] + np.float32(aside))
        said = CliRunner().invoke(app, ["diagnose", "difficulty", str(tmp_path / f"{name}.npz"), "--json"])
        assert said.exit_code == 0, (said.output, said.exception)
        (sentence,) = json.loads(said.output)["says"]
        assert f"{verdict} the corpus: the median one is farther from it than" in sentence


def test_labels_agreement_is_told_where_there_are_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval_bench.encoders.load_encoder", lambda _: WordEncoder())
    found = difficulty(beir_folder(tmp_path / "things", splits={"test": slice(40)}))
    share, low, high, _ = found["labels' agreement"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert isinstance(share, float)
    assert 0.6 < low < share < high <= 1
    rank, _, _, reading = found["effective rank of what agrees with labels"]
    plain = found["effective rank (RankMe)"][0]
    assert isinstance(rank, float)
    assert isinstance(plain, float)
    assert 1 < rank < plain
    assert str(reading).endswith("of 16")


def test_labels_agreement_is_absent_with_a_reason_where_there_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32))
    found = difficulty(tmp_path / "vectors.npy")
    for name in ("labels' agreement", "effective rank of what agrees with labels"):
        assert found[name] == [None, None, None, "absent: the data set has no judgments"]


def test_what_is_said_of_data_and_of_an_encoder_is_kept_with_the_run_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval_bench.encoders.load_encoder", lambda *_, **__: WordEncoder())
    store = Store(tmp_path / "run")
    store.write_summary(summary())
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32))
    difficulty(tmp_path / "vectors.npy", "--out", str(store.folder))
    quick = ["--sizes", "1", "--words", "4", "--out", str(store.folder)]
    said = CliRunner().invoke(app, ["diagnose", "throughput", *quick])
    assert said.exit_code == 0, (said.output, said.exception)
    assert [section.title for section in store.sections()] == ["Difficulty: vectors", "Throughput of words"]
