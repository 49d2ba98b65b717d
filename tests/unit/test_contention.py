"""What else the machine did: read from made-up counters, said in words, and reason enough to measure once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from retrieval_bench.measure import contention
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.contention import ContentionWatch
from retrieval_bench.runner import timing
from retrieval_bench.runner.finals import near_the_fastest
from retrieval_bench.runner.job import BuildPlan
from retrieval_bench.runner.quiet import hopeful_speed, unquiet_answer, unquiet_note
from retrieval_bench.runner.timing import Timing
from retrieval_bench.types import Budget, Contention, Hits, Measurement, Queries, RowIds, TrialRecord


def window(**figures: Any) -> Contention:
    return Contention.model_validate(
        {"seconds": 2.0, "others": 0.0, "stolen": 0.0, "switches": 0.0, "throttled": 0.0, **figures}
    )


BUSY = window(others=0.4, stolen=0.1)


class Machine:
    """Made-up counters of two processors: hundredths of a second, as the system tells them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.seconds, self.ours, self.switches = folder, 100.0, 3.0, 7
        monkeypatch.setattr(contention, "_TICKS", 100)
        monkeypatch.setattr(contention, "perf_counter", lambda: self.seconds)
        monkeypatch.setattr(contention, "_ours", lambda: (self.ours, self.switches))
        self.tick(user=1000)

    def tick(self, *, user: int, stolen: int = 0, throttled: int = 0) -> None:
        (self.folder / "stat").write_text(
            f"cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 {user} 1 2 5000 60 3 4 {stolen} 8 9\n"
            f"cpu1 {user} 1 2 5000 60 3 4 {stolen} 8 9\ncpu2 999999 0 0 0 0 0 0 99999 0 0\nintr 5\n"
        )
        (self.folder / "cpu.stat").write_text(f"usage_usec 5\nthrottled_usec {throttled}\n")

    def watch(self) -> ContentionWatch:
        return ContentionWatch({0, 1}, proc=self.folder, cgroup=self.folder)


def test_what_others_took_is_what_was_used_and_not_by_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    with machine.watch() as watch:
        machine.seconds += 2.0
        machine.ours += 1.5
        machine.switches += 10
        machine.tick(user=1125, stolen=20, throttled=300_000)
    # Of 4 s of two processors 2.5 were used, 1.5 of them by us; 0.4 were stolen.
    assert watch.found.others == pytest.approx(0.25)
    assert watch.found.stolen == pytest.approx(0.1)
    assert watch.found.switches == pytest.approx(5.0)
    assert watch.found.throttled == pytest.approx(0.3)
    assert watch.found.taken == pytest.approx(0.25 + 0.1 + 0.15)
    assert not watch.found.quiet
    assert watch.found.said.startswith("other processes took 25%, other machines took 10%, ")
    assert watch.found.said.endswith("its limit of time held it back for 0.3 of 2 s")


def test_a_quiet_machine_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    with machine.watch() as watch:
        machine.seconds += 2.0
        machine.ours += 1.5
        machine.tick(user=1076)
    assert watch.found.others == pytest.approx(0.005)
    assert watch.found.quiet
    assert watch.found.said == ""


def test_what_the_system_does_not_tell_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    with machine.watch() as watch:
        machine.seconds += 0.1  # too short for counters that tick a hundred times a second
        machine.tick(user=1010)
    assert (watch.found.others, watch.found.stolen) == (None, None)
    (tmp_path / "stat").unlink()
    (tmp_path / "cpu.stat").unlink()
    with machine.watch() as watch:
        machine.seconds += 2.0
    assert (watch.found.others, watch.found.stolen, watch.found.throttled) == (None, None, None)
    assert watch.found.quiet


def test_the_counters_of_this_machine_can_be_read() -> None:
    seconds, switches = contention._ours()
    assert seconds > 0
    assert switches >= 0


@pytest.mark.parametrize(
    ("latencies", "windows", "tried", "value"),
    [
        ([9.0], [window()], 1, 9.0),  # over the budget on a quiet machine
        ([1.0], [BUSY], 1, 1.0),  # within it on a busy one
        ([9.0, 1.0], [BUSY, BUSY], 2, 1.0),
        ([9.0, 8.0], [BUSY, window()], 2, 8.0),
        ([9.0, 8.0, 8.5], [BUSY, BUSY, BUSY], 3, 8.5),  # the last, not the best
    ],
)
def test_a_latency_over_the_budget_is_measured_again_while_the_machine_is_busy(
    monkeypatch: pytest.MonkeyPatch, latencies: list[float], windows: list[Contention], tried: int, value: float
) -> None:
    asked = iter(latencies)
    left = iter([window(), *windows, window()])

    class Watch:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.found = next(left)

    monkeypatch.setattr(timing, "ContentionWatch", Watch)
    monkeypatch.setattr(timing, "singles", lambda *_, **__: np.full(40, next(asked) / 1e3))
    plan = BuildPlan.model_construct(
        threads=1, budget=Budget(latency_ms=5.0), effort=Effort(seconds=0.0, concurrent_seconds=0.0)
    )
    queries = Queries(ids=RowIds(20), vectors=np.zeros((20, 2), np.float32))
    hits = Hits(rows=np.zeros((20, 1), np.int64), scores=np.zeros((20, 1), np.float32))
    timed = Timing(plan)
    found = {m.name: m.value for m in timed.measure(lambda _: hits, queries, 20)}
    assert timed.tried == tried
    assert found["single_p95_ms"] == pytest.approx(value)
    assert timed.windows["single"] == windows[-1]
    assert bool(timed.notes) == (tried > 1)
    assert ("measured 3 times, and never on a quiet machine: other processes took 40%" in timed.doubt) == (tried == 3)
    assert set(timed.windows) == {"batch", "single", "concurrent"}


def record(qps: float, **windows: Contention) -> TrialRecord:
    speed = Measurement(
        name="batch_qps", unit="1/s", direction="higher", statistic="once", value=qps, low=None, high=None
    )
    return TrialRecord.model_construct(contention=windows, measurements=(speed,))


def test_the_answer_says_when_the_machine_was_not_quiet() -> None:
    assert unquiet_answer([record(1.0, batch=window()), record(1.0)]) == ""
    said = unquiet_answer([record(1.0, batch=BUSY, single=window()), record(1.0, batch=window()), record(1.0)])
    assert said == (
        " The machine was not quiet: up to 50% of the time of its processors went elsewhere, in 1 of 2 trials, so "
        "their speeds are lower bounds."
    )
    assert unquiet_note({"batch": window()}) == ()
    (line,) = unquiet_note({"batch": window(), "single": BUSY})
    assert line.endswith("other processes took 40%, other machines took 10% (single).")


def test_who_was_measured_on_a_busy_machine_may_be_faster_than_it_seemed() -> None:
    records = [record(100.0, batch=window()), record(30.0, batch=BUSY), record(30.0, batch=window())]
    hopeful = [hopeful_speed(r) for r in records]
    assert hopeful == [100.0, 60.0, 30.0]
    assert near_the_fastest([100.0, 30.0, 30.0], hopeful) == [0, 1]
    assert near_the_fastest([100.0, 60.0, 30.0]) == [0, 1]
