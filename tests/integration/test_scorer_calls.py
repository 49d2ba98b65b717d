"""Scorer calls of a system are measured, recorded and held against the budget."""

import json
from pathlib import Path

import pytest

import retrieval_bench as rb
from retrieval_bench.measure.clock import Effort

PLUGINS = Path(__file__).parent / "plugins"
CARD = """
name = "spending"
summary = "spends scorer calls"
kind = "ranker"
backend = "spending"
[build]
build_calls = 500
calls = 30
"""


SILENT = """
name = "silent"
summary = "calls its scorer for every document and tells nothing"
kind = "ranker"
backend = "silent"
"""


def run(folder: Path, card: str = CARD, /, **budget: int) -> rb.TrialRecord:
    (folder / "spending.toml").write_text(card)
    data = folder / "data"
    if not data.exists():
        (data / "qrels").mkdir(parents=True)
        lines = [json.dumps({"_id": f"d{i}", "text": f"text {i}"}) for i in range(20)]
        (data / "corpus.jsonl").write_text("\n".join(lines))
        (data / "queries.jsonl").write_text("\n".join(json.dumps({"_id": f"q{i}", "text": "text"}) for i in range(4)))
        judged = ["query-id\tcorpus-id\tscore", *(f"q{i}\td{i}\t1" for i in range(4))]
        (data / "qrels" / "test.tsv").write_text("\n".join(judged))
    done = rb.run(
        str(data), rankers=[str(folder / "spending.toml")], budget=rb.Budget(threads=1, **budget), depth=10,
        effort=Effort(seconds=0.05, concurrent_seconds=0.02), out=folder / "out",
    )  # fmt: skip
    return done.records[0]


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS), prepend=":")
    monkeypatch.syspath_prepend(str(PLUGINS))
    __import__("spending")
    __import__("silent")


def test_calls_stand_in_the_record(tmp_path: Path) -> None:
    record = run(tmp_path, scorer_calls=30, build_scorer_calls=500)
    assert record.outcome == "ok", record.reason
    assert record.value("build_scorer_calls") == 500
    assert record.value("scorer_calls") == 30


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ({"scorer_calls": 29}, "30 scorer calls per query, 29 are allowed"),
        ({"build_scorer_calls": 499}, "500 scorer calls at the build, 499 are allowed"),
    ],
)
def test_a_system_that_spends_too_much_is_over_budget(tmp_path: Path, budget: dict[str, int], reason: str) -> None:
    record = run(tmp_path, **budget)
    assert record.outcome == "over_budget"
    assert reason in record.reason


def test_calls_that_a_ranker_does_not_tell_of_are_counted_by_the_harness(tmp_path: Path) -> None:
    record = run(tmp_path, SILENT)
    assert record.outcome == "ok", record.reason
    assert (record.value("build_scorer_calls"), record.value("scorer_calls")) == (20, 20)


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ({"scorer_calls": 19}, "20 scorer calls per query, 19 are allowed"),
        ({"build_scorer_calls": 19}, "20 scorer calls at the build, 19 are allowed"),
    ],
)
def test_a_ranker_that_hides_its_calls_is_over_budget(tmp_path: Path, budget: dict[str, int], reason: str) -> None:
    record = run(tmp_path, SILENT, **budget)
    assert record.outcome == "over_budget"
    assert reason in record.reason
