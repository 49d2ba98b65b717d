"""How far long work is: on a terminal a bar, in a trial's process events that the run's own line shows."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from retrieval_bench.cli.progress import Progress
from retrieval_bench.encoders import _bar
from retrieval_bench.encoders._bar import steps, tell_run
from retrieval_bench.measure.clock import Effort
from retrieval_bench.runner import child
from retrieval_bench.runner.job import BuildPlan, Job
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Budget


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has started this process."""
    monkeypatch.setattr(_bar, "_run", [])


def work() -> None:
    with steps("indexing", 5) as advance:
        for count in (2, 2, 1):
            advance(count)


def test_a_terminal_gets_a_bar_and_a_log_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal for rich
    work()
    assert "indexing" in capsys.readouterr().err


def test_the_run_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[dict[str, Any]] = []
    tell_run(lambda **event: events.append(event))
    monkeypatch.setenv("FORCE_COLOR", "1")
    work()
    assert not events  # it took no time
    monkeypatch.setattr(_bar, "_SECONDS", 0.0)
    work()
    assert events == [{"doing": "indexing", "done": done, "of": 5} for done in (2, 4, 5)]
    assert capsys.readouterr() == ("", "")


def test_a_trial_tells_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(_bar, "_SECONDS", 0.0)
    line: Any = SimpleNamespace(send=lambda **event: events.append(event))
    monkeypatch.setattr(child, "build", lambda plan, line: work())
    card = SystemCard(name="flat", summary="", kind="index", backend="flat")
    plan = BuildPlan(
        build_id="b", card=card, build={}, trials=(), dataset_folder=Path(), out=Path(), budget=Budget(), threads=1,
        seed=0, depth=1, effort=Effort(), plugin="json", splits=("test",),
    )  # fmt: skip
    child.main(Job(stage="build", plan=plan).model_dump_json(), line, 0)
    assert [event["done"] for event in events] == [2, 4, 5]


def test_the_line_of_the_run_says_how_far_a_trial_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Progress(console) as progress:
        progress({"plan": [("lucene", ["t"])]})
        progress({"system": "lucene", "pending": 1, "planned": 1})
        progress({"phase": "build", "state": "start"})
        progress({"doing": "indexing", "done": 20000, "of": 50000})
        (task,) = progress._bar.tasks
        assert task.description == "lucene: build, indexing 20,000 of 50,000"
        progress({"phase": "build", "state": "end", "seconds": 1.0})
        progress({"phase": "save", "state": "start"})
        assert task.description == "lucene: save"


def test_a_log_does_not_say_how_far_a_trial_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    with Progress(console) as progress:
        progress({"plan": [("lucene", ["t"])]})
        progress({"doing": "indexing", "done": 20000, "of": 50000})
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""
