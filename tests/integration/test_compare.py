"""``compare``: of trials whose speeds are measured in turns, of runs, and of TREC runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import retrieval_bench as rb
from retrieval_bench.cli import app
from retrieval_bench.comparison import compare, judge_quality, judge_speed
from retrieval_bench.errors import DataError, RetrievalBenchError, UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store
from retrieval_bench.runner.race import Contender, contender, served, take_turns

CARD = """
name = "{name}"
summary = "inverted lists, few or many of them scanned"
kind = "index"
backend = "ivf"
[build]
lists = 64
[search]
nprobe = {nprobe}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rb.Run]:
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVAL_BENCH_HOME", str(folder / "home"))
        np.save(folder / "v.npy", np.random.default_rng(0).normal(size=(6_000, 32)).astype(np.float32))
        cards = []
        for name, nprobe in (("few", 2), ("many", 64)):
            (folder / f"{name}.toml").write_text(CARD.format(name=name, nprobe=nprobe))
            cards.append(str(folder / f"{name}.toml"))
        yield rb.run(
            str(folder / "v.npy"), indexes=cards, budget=rb.Budget(threads=1), out=folder / "out",
            effort=Effort(seconds=0.05, concurrent_seconds=0.02),
        )  # fmt: skip


@pytest.fixture
def home_of_the_run(made: rb.Run, monkeypatch: pytest.MonkeyPatch) -> rb.Run:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(made.folder.parent / "home"))
    return made


def test_two_systems_of_a_run_are_told_apart_in_quality_and_speed(home_of_the_run: rb.Run) -> None:
    verdict = compare("few", "many", out=home_of_the_run.folder, within=0.01)
    assert verdict.quality.what == "neighbor_recall@10"
    assert verdict.quality.word == "worse"
    assert verdict.quality.high < 0
    assert verdict.speed is not None
    assert verdict.speed.word == "better"
    assert verdict.speed.low > 1.5
    assert verdict.word == "better and worse"
    assert "worse quality, faster" in verdict.lines[0]
    assert verdict.equivalence is not None
    assert not verdict.equivalence.not_worse


def test_a_trial_does_not_differ_from_itself(home_of_the_run: rb.Run) -> None:
    trial = home_of_the_run.summary.chosen["few"]
    verdict = compare(trial, trial[:6], out=home_of_the_run.folder, speed=False, within=0.01)
    assert verdict.word == "no difference"
    assert "no difference that this test could see" in verdict.lines[0]
    assert verdict.equivalence is not None
    assert verdict.equivalence.equivalent


def test_a_folder_means_its_winner(home_of_the_run: rb.Run) -> None:
    winner = home_of_the_run.winner
    assert winner is not None
    assert compare(str(home_of_the_run.folder), "few", out=home_of_the_run.folder, speed=False).a.startswith(
        winner.system
    )


def test_what_cannot_be_compared_is_refused(home_of_the_run: rb.Run) -> None:
    with pytest.raises(UsageError, match="'nobody' is no trial, system or run's folder"):
        compare("nobody", "few", out=home_of_the_run.folder)
    with pytest.raises(UsageError, match="has no nDCG@10"):
        compare("few", "many", out=home_of_the_run.folder, metric="nDCG@10")


def test_two_runs_of_different_vectors_are_told_apart(home_of_the_run: rb.Run, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(1).normal(size=(6_000, 16)).astype(np.float32))
    other = rb.run(
        str(tmp_path / "v.npy"), indexes=["flat"], budget=rb.Budget(threads=1), out=tmp_path / "out",
        effort=Effort(seconds=0.02, concurrent_seconds=0.01),
    )  # fmt: skip
    with pytest.raises(UsageError, match="searched different vectors"):
        compare(str(home_of_the_run.folder), str(other.folder), speed=False)


def test_a_system_that_cannot_be_served_says_why(home_of_the_run: rb.Run) -> None:
    store = Store(home_of_the_run.folder)
    good = contender(store, home_of_the_run.records[0], "good")
    assert good is not None
    broken = Contender(**{**vars(good), "name": "broken", "index_folder": store.folder / "nowhere"})
    with pytest.raises(RetrievalBenchError, match=r"broken: its process ended: .*nowhere"), served([broken]):
        pass
    with pytest.raises(RetrievalBenchError, match=r"good: .*not finished after 0.001 s"), served([good], timeout=0.001):
        pass


def test_served_systems_answer_as_in_process_and_tell_their_memory(home_of_the_run: rb.Run) -> None:
    store = Store(home_of_the_run.folder)
    both = [contender(store, r, r.system) for r in home_of_the_run.records]
    with served([c for c in both if c], sample_seconds=0.001) as running:
        few, many = (s.hits().rows for s in running)
        assert few.shape == many.shape
        assert (few != many).any()
        assert running[0].memory().analytic_bytes == home_of_the_run.records[0].value("analytic_bytes")
        done = take_turns(running, looks=2, rounds=6)
    assert done.seconds.shape == (6 * done.looks, 2)
    assert done.queries == few.shape[0]


class TestFindings:
    def test_quality_claims_a_difference_only_where_it_is(self) -> None:
        rng = np.random.default_rng(0)
        a = rng.random(200)
        found = judge_quality("nDCG@10", a + 0.05 + rng.normal(0, 0.05, 200), a)
        assert found.word == "better"
        assert found.low < 0.05 < found.high
        assert found.text.startswith("nDCG@10: better: +0.0")
        none = judge_quality("nDCG@10", a + rng.normal(0, 0.05, 200), a)
        assert none.word == "no difference"
        assert 0 < none.detectable < 0.02

    def test_speed_is_a_ratio_of_rates(self) -> None:
        rng = np.random.default_rng(0)
        b = rng.lognormal(0, 0.05, 30)
        found = judge_speed(b * 2 * rng.lognormal(0, 0.05, 30), b, per=100)
        assert found.word == "worse"
        assert found.change == pytest.approx(0.5, abs=0.03)
        assert found.b == pytest.approx(100, rel=0.1)

    def test_the_sequential_test_has_the_last_word(self) -> None:
        slow = np.full(30, 2.0)
        assert judge_speed(slow, slow / 2, decided=False).word == "no difference"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q 0 d 1\n")
    for command in (["score", "nowhere"], ["score", str(tmp_path)], ["compare", "nowhere", "nowhere", "--qrels"]):
        said = CliRunner().invoke(app, [*command, str(tmp_path / "qrels")])
        assert isinstance(said.exception, DataError)
        assert re.search(r"there is no such file|cannot be read \(Is a directory\)", str(said.exception))


def test_trec_runs_on_the_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    documents = [f"d{i}" for i in range(20)]
    with (
        (tmp_path / "qrels").open("w") as qrels,
        (tmp_path / "good").open("w") as good,
        (tmp_path / "bad").open("w") as bad,
    ):
        for q in range(60):
            qrels.write(f"q{q} 0 d0 1\n")
            for run, noise in ((good, 0.2), (bad, 3.0)):
                scores = rng.normal(0, noise, 20) + np.array([1.0] + [0.0] * 19)
                for rank, i in enumerate(np.argsort(-scores), start=1):
                    run.write(f"q{q} Q0 {documents[i]} {rank} {scores[i]} tag\n")
    command = ["compare", str(tmp_path / "good"), str(tmp_path / "bad"), "--qrels", str(tmp_path / "qrels")]
    said = CliRunner().invoke(app, [*command, "--within", "5"])
    assert said.exit_code == 0, said.output
    assert "good against bad: better in quality" in said.output
    assert "as good within 5 %: shown" in said.output
    answer = json.loads(CliRunner().invoke(app, [*command, "--metric", "MRR@10", "--json"]).output)
    assert answer["verdict"] == "better"
    assert answer["quality"]["what"] == "MRR@10"
    assert answer["quality"]["p"] < 0.001


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["tail", "few"], "get less than half"),
        (["slices", "few", "--by", "cluster"], "From "),
        (["slices", "few", "--by", "distance"], "distance from"),
        (["metrics"], "is to be believed from"),
    ],
)
def test_diagnostics_of_a_run(home_of_the_run: rb.Run, tmp_path: Path, command: list[str], says: str) -> None:
    page = tmp_path / "section.html"
    asked = ["diagnose", *command, "--out", str(home_of_the_run.folder), "--html", str(page)]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0, said.output
    assert says in said.output
    assert page.read_text().startswith("<section>")
    title = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)["title"]
    assert title in [s.title for s in Store(home_of_the_run.folder).sections()]


def test_a_runs_folder_stands_for_the_run(home_of_the_run: rb.Run) -> None:
    said = CliRunner().invoke(app, ["results", str(home_of_the_run.folder), "--winner"])
    assert said.output.strip() == home_of_the_run.summary.winner


def test_a_tournament_over_runs_and_the_difficulty_of_data(home_of_the_run: rb.Run) -> None:
    folder = str(home_of_the_run.folder)
    said = json.loads(CliRunner().invoke(app, ["diagnose", "tournament", folder, "--json"]).output)
    assert [row[0] for row in said["rows"]] == ["many", "few"]
    hard = CliRunner().invoke(app, ["diagnose", "difficulty", str(home_of_the_run.folder.parent / "v.npy"), "--json"])
    figures = {row[0]: row[1] for row in json.loads(hard.output)["rows"]}
    assert figures["effective rank (RankMe)"] == pytest.approx(32, rel=0.05)
