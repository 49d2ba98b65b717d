"""Tuning through the runner: held-out queries are asked once, nothing is done twice."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_text import beir_folder
from typer.testing import CliRunner

import retrieval_bench as rb
from retrieval_bench.cli import app
from retrieval_bench.errors import UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store
from retrieval_bench.tuning import Tuning, tune

CARD = """
name = "lists"
summary = "inverted lists"
kind = "index"
backend = "ivf"
[build]
lists = 32
[space.search]
nprobe = [1, 2, 32]
"""
QUICK = Effort(seconds=0.05, concurrent_seconds=0.02)


class Tuned:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        np.save(folder / "v.npy", np.random.default_rng(0).normal(size=(2_000, 16)).astype(np.float32))
        (folder / "lists.toml").write_text(CARD)

    def run(self, **changes: object) -> Tuning:
        return tune(
            str(self.folder / "v.npy"), indexes=[str(self.folder / "lists.toml")], target="qps@recall=0.9",
            budget=rb.Budget(threads=1, tuning_trials=5), sampler="random", effort=QUICK, out=self.folder / "out",
            **changes,  # type: ignore[arg-type]
        )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuned]:
    folder = tmp_path_factory.mktemp("tuning")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVAL_BENCH_HOME", str(folder / "home"))
        yield Tuned(folder)


@pytest.fixture(scope="module")
def first(tuned: Tuned) -> Tuning:
    return tuned.run(seed=1)


def test_the_fastest_setting_that_meets_the_target_is_picked_and_measured_on_held_out_queries(
    tuned: Tuned, first: Tuning
) -> None:
    (system,) = first.systems
    (search,) = system.searches
    records = Store(tuned.folder / "out")
    tried = records.records(search.trials)
    assert len(tried) == 5
    assert {r.search_params["nprobe"] for r in tried} == {1, 2, 32}
    assert search.search == {"nprobe": 32}
    assert search.first_met is not None
    assert 0 < search.first_met <= search.seconds
    assert system.held_out is not None
    assert system.held_out.met
    assert system.held_out.quality == 1.0
    assert system.held_out.optimism == 0.0
    assert first.winner == system
    assert first.lottery is None
    held_out = records.record(system.held_out.trial)
    assert held_out.build_id == records.record(search.best or "").build_id
    assert held_out.value("tune/neighbor_recall@10") is None


def test_the_fastest_of_several_systems_is_told_by_turns(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval_bench.runner.finals.NEAR", 1e9)  # however fast they seem
    monkeypatch.setattr("retrieval_bench.runner.finals.ratio_in_new_processes", lambda *_, **__: 0.9)
    (tuned.folder / "more.toml").write_text(CARD.replace('"lists"', '"more"').replace("= 32", "= 16", 1))
    cards = [str(tuned.folder / f"{name}.toml") for name in ("lists", "more")]

    def again() -> Tuning:
        return tune(
            str(tuned.folder / "v.npy"), indexes=cards, target="qps@recall=0.3", effort=QUICK,
            out=tuned.folder / "two", budget=rb.Budget(threads=1, tuning_trials=2), sampler="random",
        )  # fmt: skip

    done = again()
    assert done.turns is not None
    assert {done.of(trial).system for trial in done.turns.qps} == {"lists", "more"}
    assert done.winner is not None
    assert done.winner == done.of(max(done.turns.qps, key=lambda trial: done.turns.qps[trial] if done.turns else 0.0))
    monkeypatch.setattr(sys.modules[tune.__module__], "in_turns", None)
    assert again() == done, "the same picks are not raced twice"


def test_tuning_never_sees_held_out_queries_and_does_not_time_the_hopeless(tuned: Tuned, first: Tuning) -> None:
    tried = Store(tuned.folder / "out").records(first.systems[0].searches[0].trials)
    assert all(r.value("neighbor_recall@10") is None and r.value("tune/neighbor_recall@10") for r in tried)
    hopeless = [r for r in tried if r.search_params["nprobe"] < 32]
    assert hopeless
    assert all(r.value("batch_qps") is None and "speed not measured" in r.notes[0] for r in hopeless)
    assert all(r.value("batch_qps") for r in tried if r not in hopeless)
    assert first.systems[0].searches[0].hopeless == len(hopeless)


def test_the_same_call_computes_nothing_twice(tuned: Tuned, first: Tuning) -> None:
    events: list[dict[str, object]] = []
    assert tuned.run(seed=1, on_event=events.append) == first
    assert not any("phase" in event for event in events)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sampler": "tpee"}, "sampler = 'tpee' must be one of tpe, nsga2, random"),
        ({"target": "qps@neighbor_recall@5=0.5"}, "neighbor_recall@5 is not measured for lists .* neighbor_recall@10"),
        ({"target": "nDCG@10"}, "nDCG@10 is not measured for lists"),
        ({"repeats": 0}, "repeats = 0"),
    ],
)
def test_what_cannot_be_tuned_for_is_refused_before_any_trial(tuned: Tuned, wrong: dict[str, Any], said: str) -> None:
    folder = tuned.folder / "refused"
    arguments = {"indexes": [str(tuned.folder / "lists.toml")], "budget": rb.Budget(threads=1, tuning_trials=2)}
    with pytest.raises(UsageError, match=said):
        tune(str(tuned.folder / "v.npy"), **{**arguments, **wrong}, out=folder)
    assert not (folder / "records").exists()


def test_a_loss_is_of_exact_search_even_where_that_does_not_fit(tuned: Tuned) -> None:
    done = tune(
        str(tuned.folder / "v.npy"), indexes=["coded"], target="bytes@loss=0.5", out=tuned.folder / "loss",
        budget=rb.Budget(threads=1, bytes_per_vector=40, tuning_trials=2), sampler="random", effort=QUICK,
    )  # fmt: skip
    assert done.winner is not None
    (system,) = done.systems
    assert system.held_out is not None
    held = Store(tuned.folder / "loss").record(system.held_out.trial).value("analytic_bytes")
    assert held is not None
    assert held <= 40 * 2_000


def test_the_command_says_what_it_picked(tuned: Tuned, first: Tuning) -> None:
    said = CliRunner().invoke(
        app,
        ["tune", str(tuned.folder / "v.npy"), "--index", str(tuned.folder / "lists.toml"), "--sampler", "random",
         "--target", "qps@recall=0.9", "--trials", "5", "--threads", "1", "--seed", "1", "--out",
         str(tuned.folder / "out")],
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    held_out = first.systems[0].held_out
    assert held_out is not None
    named = re.search(r"Pick for qps@neighbor_recall@10=0.9: lists \((\w+)\)", said.output)
    assert named is not None, said.output
    records = Store(tuned.folder / "out")  # the same pick, measured for longer than the fixture does
    assert records.record(named[1]).search_params == records.record(held_out.trial).search_params
    assert "+0.0000" in said.output


def test_the_command_says_which_queries_were_left_out(tmp_path: Path) -> None:
    texts = beir_folder(tmp_path / "texts", splits={"dev": slice(0, 30), "test": slice(30, 60)})
    with (texts / "queries.jsonl").open("a") as file:
        file.write('\n{"_id": "q-river-owner", "text": "once more"}')
    ordinary = ["--trials", "1", "--threads", "1", "--measure-seconds", "0.05", "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, ["tune", str(texts), "--ranker", "bm25", *ordinary])
    assert said.exit_code == 0, said.output
    assert f"{texts}: of queries with one id the first is kept; left out: 'q-river-owner'" in said.output


def test_a_tuning_that_goes_on_keeps_the_builds_of_its_picks(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "indexes": ["flat", "ivf"], "target": "qps@recall=0.5", "budget": rb.Budget(tuning_trials=2, threads=1),
        "rows": 2000, "queries": 50, "out": tmp_path, "effort": QUICK,
    }  # fmt: skip
    done = [tune("synthetic", **arguments) for _ in range(2)]
    for tuning in done:
        for system in tuning.systems:
            assert system.held_out is not None
            record = Store(tmp_path).record(system.held_out.trial)
            assert Store(tmp_path).build_folder(record.build_id).exists()
