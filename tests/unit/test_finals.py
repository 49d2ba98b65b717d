"""When finalists are measured in turns, when not and why, and when an earlier measuring still counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_up_run
import numpy as np
import pytest

from retrieval_bench.errors import DataError
from retrieval_bench.records import Store, Turns
from retrieval_bench.runner import finals
from retrieval_bench.runner.race import Contender, Race
from retrieval_bench.statistics import plain
from retrieval_bench.types import TrialRecord


def trials(*speeds: float, private: float = 1e6) -> list[TrialRecord]:
    """Each answers its 300 queries in 300 / speed seconds."""
    return [
        made_up_run.trial(f"s{i}", str(i), {"batch_qps": speed, "private_bytes": private})
        for i, speed in enumerate(speeds)
    ]


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of the race, which the contender of the first trial wins by far."""
    calls: list[dict[str, Any]] = []

    def contender(_store: Store, trial: TrialRecord, name: str) -> Contender | None:
        gone = trial.system == "s9"
        return None if gone else Contender(name=name, kind="index", backend="b", plugin="p", dataset_folder=Path())

    def race(racing: list[Contender], **settings: Any) -> Race:
        calls.append(settings)
        seconds = np.tile(np.arange(1.0, 1 + len(racing)), (settings["rounds"], 1))
        return Race(names=tuple(c.name for c in racing), seconds=seconds, queries=10, decided={}, looks=1)

    monkeypatch.setattr(finals, "contender", contender)
    monkeypatch.setattr(finals, "race", race)
    return calls


@pytest.mark.parametrize(
    ("speeds", "seconds", "rounds"),
    [((300.0, 300.0), 30.0, 15), ((300.0, 300.0), 12.0, 6), ((3e9, 3e9), 30.0, 20), ((300.0, 0.0), 60.0, None)],
)
def test_as_many_rounds_as_the_time_allows_and_none_below_six(
    speeds: tuple[float, ...], seconds: float, rounds: int | None, raced: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = finals.in_turns(Store(tmp_path), trials(*speeds), seconds=seconds)
    if rounds is None:
        assert found == "6 rounds would take more than 60 s"
        assert not raced
        return
    assert isinstance(found, Turns)
    assert found.fastest == "0"
    assert found.told
    assert [call["rounds"] for call in raced] == [rounds]


def test_why_finalists_are_not_measured_in_turns(
    raced: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    gone = made_up_run.trial("s9", "9", {"batch_qps": 1e6})
    assert finals.in_turns(store, [*trials(1e6), gone], seconds=9.0) == "a built index was removed"
    assert "half of the free memory" in str(finals.in_turns(store, trials(1e6, 1e6, private=1e15), seconds=9.0))
    assert not raced
    with monkeypatch.context() as patch:
        patch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=100))
        assert "half of the free memory" in str(finals.in_turns(store, trials(1e6, 1e6, private=26), seconds=9.0))
        assert isinstance(finals.in_turns(store, trials(1e6, 1e6, private=25), seconds=9.0), Turns)

    def broken(*_: Any, **__: Any) -> Race:
        raise DataError("it broke")

    monkeypatch.setattr(finals, "race", broken)
    assert finals.in_turns(store, trials(1e6, 1e6), seconds=9.0) == "it broke"


def test_new_pairs_have_one_look_of_the_same_rounds_and_twice_the_time(
    raced: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(finals, "plain", lambda *_: False)
    monkeypatch.setattr(finals, "ratio_in_new_processes", lambda *_, **settings: asked.append(settings))
    finals.in_turns(Store(tmp_path), trials(3e9, 3e9), seconds=9.0)
    (settings,) = asked
    assert (settings["looks"], settings["rounds"]) == (1, raced[0]["rounds"])
    assert 17.0 < settings["seconds"] <= 18.0


def turns(*names: str, rival: str = "1") -> Turns:
    return Turns(qps=dict.fromkeys(names, 1.0), rival=rival, ratio=1.0, low=1.0, high=1.0, rounds=9)


def test_an_earlier_measuring_counts_for_the_same_finalists_under_the_same_rules() -> None:
    assert finals.usable_again(turns("0", "1"), ["1", "0"])
    assert not finals.usable_again(turns("0", "1"), ["0", "2"])
    assert not finals.usable_again(turns("0", "1"), ["0"])
    assert not finals.usable_again(turns("0", "1", rival=""), ["0", "1"])
    assert not finals.usable_again(None, [])


def test_finals_are_held_once(raced: list[dict[str, Any]], tmp_path: Path) -> None:
    store, pair = Store(tmp_path), trials(300.0, 300.0)
    assert finals.Finals(store, seconds=0.0).in_turns(pair) == ""
    assert not raced
    first = finals.Finals(store, seconds=30.0)
    found = first.in_turns(pair)
    assert isinstance(found, Turns)
    assert first.spent > 0
    store.write_summary(made_up_run.summary(turns=found))
    again = finals.Finals(store, seconds=30.0)
    assert again.in_turns(pair) == found
    assert again.spent == 0
    assert len(raced) == 1


@pytest.mark.parametrize(
    ("low", "high", "told"), [(1.26, 2.0, True), (1.25, 2.0, False), (0.5, 0.79, True), (0.5, 0.8, False)]
)
def test_what_is_plain_within_one_pair_of_processes(low: float, high: float, told: bool) -> None:
    assert plain(low, high) is told
