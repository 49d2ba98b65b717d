"""A small tournament from end to end, and the sentence that its table supports."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.errors import UsageError
from retrieval_bench.records import Store, Turns
from retrieval_bench.runner.measurements import exact, quality
from retrieval_bench.tournament import Standing, Tournament, methods, play
from retrieval_bench.tournament.advice import advised
from retrieval_bench.tournament.standings import standings
from retrieval_bench.types import Budget, TrialRecord

CODECS = ["int4", "hashing"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tournament")


@pytest.fixture(scope="module")
def played(folder: Path) -> Tournament:
    return play("synthetic", budgets=[8, 64], codecs=CODECS, rows=1500, queries=60, threads=1, out=folder)


def test_each_budget_has_every_method_best_first(played: Tournament) -> None:
    assert [r.bytes_per_vector for r in played.rounds] == [8, 64]
    for each in played.rounds:
        assert {s.method for s in each.standings} == set(CODECS)
        done = [s for s in each.standings if s.outcome == "ok"]
        recalls = [s.quality["neighbor_recall@10"].value for s in done]
        assert recalls == sorted(recalls, reverse=True)
        assert all(0 < (s.bytes_per_vector or 0) <= each.bytes_per_vector for s in done)
        assert "neighbor_recall@10" in done[0].tied
        assert "neighbor_recall@10" not in next(s for s in done if s.method == "hashing").tied
        assert each.choice in {s.method for s in done if s.leads}
        assert each.advice.startswith(f"At {each.bytes_per_vector:g} bytes per vector use {each.choice}")
    assert played.exact.quality["neighbor_recall@10"].value == 1.0


def test_the_same_call_does_nothing_twice(played: Tournament, folder: Path) -> None:
    written = {p: p.stat().st_mtime_ns for p in folder.rglob("records/*.json")}
    again = play("synthetic", budgets=[8, 64], codecs=CODECS, rows=1500, queries=60, threads=1, out=folder)
    assert again == played
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("records/*.json")} == written
    assert json.loads((folder / "tournament.json").read_text())["rounds"][0]["choice"] == played.rounds[0].choice


def test_the_command_prints_tables_and_writes_a_page(played: Tournament, folder: Path) -> None:
    asked = ["tournament", "synthetic", "--bytes", "8", "64", "--rows", "1500", "--queries", "60", "--threads", "1"]
    asked += [part for codec in CODECS for part in ("--codec", codec)] + ["--out", str(folder)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    page = (folder / "tournament.html").read_text()
    for each in played.rounds:
        assert each.advice in " ".join(done.output.split())
        assert each.advice in html.unescape(page)
    for shown in (page, " ".join(done.output.split())):
        assert "Advice is chosen on 60 tuning queries; all figures are of the test queries." in shown
    assert page.count("<table>") == 2
    wrong = CliRunner().invoke(app, [*asked, "surplus"])
    assert isinstance(wrong.exception, UsageError)


def test_what_failed_is_tried_again_when_asked(played: Tournament, folder: Path) -> None:
    store = Store(folder / "64")
    (trial,) = (s.trial_id for s in played.rounds[1].standings if s.method == "int4")
    failed = store.record(trial).model_copy(update={"outcome": "crashed", "reason": "a full disk"})
    store.forget(trial)
    store.write(failed)
    asked = ["tournament", "synthetic", "--bytes", "64", "--codec", "int4", "--rows", "1500", "--queries", "60"]
    asked += ["--threads", "1", "--out", str(folder)]
    for more, outcome, code in (
        ([], "crashed", 1),
        (["--retry"], "ok", 0),
    ):  # one method alone, and it failed: no advice
        done = CliRunner().invoke(app, [*asked, *more])
        assert done.exit_code == code, (done.output, done.exception)
        assert store.record(trial).outcome == outcome


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more than 0"):
        play("synthetic", budgets=[0], out=tmp_path)
    assert len(methods()) >= 14


def _add(store: Store, method: str, qps: float, ndcg: float, recall: float, noise: float = 0.02) -> TrialRecord:
    generator = np.random.default_rng(len(method))
    values = {
        name: np.clip(mean + generator.normal(0, noise, 300), 0, 1)
        for name, mean in (("nDCG@10", ndcg), ("neighbor_recall@10", recall))
    }
    record = TrialRecord(
        trial_id=method, build_id=method, dataset="d", dataset_fingerprint="f", documents=100, dimensions=8,
        queries=300, depth=10, system=method, kind="index", backend="coded", card_hash="", build_params={},
        search_params={}, seed=0, budget=Budget(), outcome="ok",
        measurements=(
            *quality({"test": values}),
            exact("batch_qps", "1/s", qps, direction="higher"),
            exact("analytic_bytes", "byte", 1600),
        ),
        started="2026-01-01", seconds=1, code={}, machine={}, libraries={},
    )  # fmt: skip
    store.write(record, {"test": values}, {"test": [str(i) for i in range(300)]})
    return record


def test_the_fastest_of_those_tied_in_every_figure_is_advised(tmp_path: Path) -> None:
    store = Store(tmp_path)
    records = [
        _add(store, "a", 100, 0.5, 0.8),
        _add(store, "bb", 300, 0.5, 0.8),
        _add(store, "ccc", 900, 0.5, 0.6),
        _add(store, "dddd", 5000, 0.2, 0.3),
    ]
    found = standings(store, records)
    assert {s.method for s in found if s.leads} == {"a", "bb"}
    assert "nDCG@10" in next(s for s in found if s.method == "ccc").tied
    whole = Standing(method="exact", outcome="ok", trial_id="x", quality=found[0].quality)
    choice, sentence, turns = advised(32, found, whole)
    assert choice == "bb"
    assert turns is None
    assert "tied for the best (with a)" in sentence
    assert "300 QPS" in sentence


def test_where_figures_disagree_recall_decides_and_where_nothing_fits_it_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = standings(store, [_add(store, "a", 100, 0.7, 0.5), _add(store, "bb", 100, 0.5, 0.8)])
    assert advised(32, found, found[0])[0] == "bb"
    refused = Standing(method="a", outcome="refused", reason="needs more", trial_id="t")
    assert advised(16, [refused], refused) == (None, "At 16 bytes per vector no method fits this collection.", None)


def test_measuring_in_turns_decides_between_those_that_seem_alike_in_speed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    records = [_add(store, "a", 290, 0.5, 0.8), _add(store, "bb", 300, 0.5, 0.8), _add(store, "ccc", 90, 0.5, 0.8)]
    asked: list[str] = []

    def in_turns(near: Sequence[Standing]) -> Turns:
        asked.extend(sorted(s.method for s in near))
        trials = {s.method: s.trial_id for s in near}
        qps = {trials["a"]: 310.0, trials["bb"]: 300.0}
        return Turns(qps=qps, rival=trials["bb"], ratio=1.03, low=1.01, high=1.05, rounds=20, told=True)

    found = standings(store, records)
    choice, sentence, turns = advised(32, found, found[0], in_turns)
    assert asked == ["a", "bb"]
    assert "contradict" not in sentence
    fooled = found[0].model_copy(update={"method": "fooled", "tied": ("nDCG@10",), "qps": 9_000.0})
    assert "contradict it, beyond chance: " in advised(32, [fooled, *found], found[0])[1]
    assert choice == "a"
    assert turns is not None
    assert "use a, the fastest of those tied" in sentence
    assert "faster than bb (1.03 times its queries, 1.01 to 1.05)" in sentence
    assert "use bb, one of the fastest of those tied" in advised(32, found, found[0])[1]
