import threading
import time
from typing import Any

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.errors import UsageError
from retrieval_bench.measure import clock, memory
from retrieval_bench.measure.growth import NOISE, bytes_of_a_copy, copies_for
from retrieval_bench.measure.machine import code, libraries, machine
from retrieval_bench.report import text
from retrieval_bench.runner import measurements as made
from retrieval_bench.runner.hidden import Hidden
from retrieval_bench.runner.job import BuildFacts
from retrieval_bench.types import MemoryReport

EFFORT = clock.Effort(seconds=0.1, concurrent_seconds=0.1)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_time_to_measure_for_is_not_negative(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"--measure-seconds\): give 0 or more"):
        clock.Effort(seconds=seconds)
    for command in ("run", "tune", "beir", "codesearch", "litsearch"):
        done = CliRunner().invoke(app, [command, "scifact", "--measure-seconds", str(seconds)])
        assert isinstance(done.exception, UsageError), command


def test_batches_repeat_at_least_the_minimum_and_end_in_time() -> None:
    calls: list[int] = []
    samples = clock.batches(lambda: calls.append(1) or time.sleep(0.001 * (len(calls) % 7)), EFFORT)  # type: ignore[func-returns-value]
    assert len(samples) == len(calls) >= EFFORT.minimum
    assert all(s >= 0 for s in samples)


def test_steady_batches_stop_before_the_time_is_up() -> None:
    patient = clock.Effort(seconds=60.0, target=0.5)
    assert len(clock.batches(lambda: time.sleep(0.01), patient)) < 20


@pytest.mark.parametrize(
    ("queries", "seconds", "expected"),
    [(950, 1.0, 950), (950, 1.9, 950), (950, 9.5, 100), (10_000, 10.0, 1000), (60, 100.0, 60)],
)
def test_a_slow_systems_batch_is_a_part_of_the_queries(queries: int, seconds: float, expected: int) -> None:
    assert clock.portion(queries, seconds, clock.Effort(seconds=3.0, minimum=3)) == expected


def test_singles_ask_in_order_and_warm_up_first() -> None:
    asked: list[int] = []
    samples = clock.singles(asked.append, list(range(20)), clock.Effort(seconds=5))
    assert asked == [*range(5), *range(20)]
    assert samples.shape == (20,)


def test_singles_stop_when_the_time_is_up_but_not_before_ten() -> None:
    samples = clock.singles(lambda _: time.sleep(0.005), list(range(1000)), clock.Effort(seconds=0.0))
    assert len(samples) == 10


def test_concurrent_clients_run_at_once_and_warm_up() -> None:
    first: dict[int, int] = {}
    together = threading.Barrier(3, timeout=20)

    def call(query: int) -> None:
        if threading.get_ident() not in first:
            first[threading.get_ident()] = query
            together.wait()  # which only three that run at once get through

    found = clock.concurrent(call, list(range(9)), 3, clock.Effort(concurrent_seconds=0.0))
    assert len(found.rates) == clock.STRETCHES
    assert sorted(first.values()) == [0, 3, 6], "each starts at another query"


def test_concurrent_rates_are_of_all_clients_together_over_stretches_after_the_first() -> None:
    second = 1_000_000_000
    even = [[second * i // 4 for i in range(1, 41)], [second * i // 4 for i in range(1, 41)]]
    found = clock.stretched(even)
    assert found.rates == pytest.approx([8.0] * clock.STRETCHES)
    assert found.fairness == 1.0
    slow_start = [[10 * second + second * i // 10 for i in range(200)]]
    slow_start[0][0] = 0
    assert clock.stretched(slow_start).rates == pytest.approx([10.0] * clock.STRETCHES), "the warm-up is left out"
    halves = clock.stretched([[second * i for i in range(50)] + [50 * second + second * i // 2 for i in range(100)]])
    assert min(halves.rates) == pytest.approx(1.0)
    assert max(halves.rates) == pytest.approx(2.0)


def test_a_client_that_waits_for_the_others_is_not_served_fairly() -> None:
    found = clock.stretched([list(range(0, 300, 10)), list(range(0, 300, 30))])
    assert found.fairness == pytest.approx(10 / 20)


def test_concurrent_throughput_has_an_interval_and_the_fairness_none() -> None:
    rates = (5.0, 7.0, 6.0, 9.0, 8.0, 10.0)
    rate, fairness = made.concurrency(2, clock.Concurrent(rates=rates, fairness=0.9))
    assert (rate.name, rate.value, rate.low, rate.high, rate.n) == ("concurrent_qps@2", 7.5, 5.0, 10.0, 6)
    assert rate.samples == rates
    assert (fairness.name, fairness.value, fairness.low) == ("concurrent_fairness@2", 0.9, None)
    assert len(made.concurrency(1, clock.Concurrent(rates=rates, fairness=1.0))) == 1


def test_what_was_measured_once_has_no_interval() -> None:
    facts = BuildFacts(params={}, memory=MemoryReport(parts={"codes": 7}), build_seconds=1, peak_bytes=1, saved_bytes=9)
    found = {m.name: m for m in made.memory(facts, 1040, 0.1, 5)}
    counted = {name for name, m in found.items() if m.statistic == "exact"}
    assert counted == {"analytic_bytes", "artifact_bytes"}
    assert all((m.low, m.high) == (m.value, m.value) for m in found.values() if m.name in counted)
    assert all((m.low, m.high, m.n) == (None, None, 1) for m in found.values() if m.name not in counted)
    assert made.throughput(10, [2.0]).low is None
    one_query = made.quality({"test": {"nDCG@10": np.array([1.0])}})[0]
    assert (one_query.low, one_query.high) == (None, None)
    assert text.figure(found["build_seconds"]) == "1.00 s, once"


MIB = 1 << 20


@pytest.mark.parametrize(
    ("private", "said"),
    [
        (100 * MIB + made.ENGINE, ""),
        (105 * MIB + made.ENGINE, ""),
        (106 * MIB + made.ENGINE, "bytes of private memory and reports 104,857,600"),
        (0, ""),
    ],
)
def test_an_account_is_believed_within_what_the_engine_may_take(private: int, said: str) -> None:
    found = made.unreported(100 * MIB, private)
    assert said in found
    assert bool(said) == bool(found)


def test_what_copies_hold_is_told_beyond_what_may_err() -> None:
    assert made.uncounted(100 * MIB, None) == ""
    assert made.uncounted(100 * MIB, Hidden(5 * MIB, MIB)) == ""
    assert "each copy of it holds 112,197,632 bytes" in made.uncounted(100 * MIB, Hidden(7 * MIB, MIB))


def test_copies_are_made_where_private_memory_is_beyond_the_account_and_noise() -> None:
    assert not made.doubtful(100 * MIB, 105 * MIB + made.PAGES)
    assert made.doubtful(100 * MIB, 105 * MIB + made.PAGES + 1)


def test_a_copys_own_bytes_are_told_from_what_all_share() -> None:
    shared: list[np.ndarray[Any, Any]] = []

    def make() -> np.ndarray[Any, Any]:
        if not shared:
            shared.append(np.ones(1 << 20))  # 8 MiB once for the process
        return np.ones(1 << 16)  # 512 KiB

    make()
    copies = copies_for(1 << 19)
    assert copies == 16
    assert bytes_of_a_copy(make, copies) == pytest.approx(1 << 19, abs=NOISE / copies)
    assert copies_for(1 << 30) == 1
    made_now: list[int] = []
    assert bytes_of_a_copy(lambda: made_now.append(1) or np.ones(5 << 20), 16) == pytest.approx(40 << 20, rel=0.1)  # type: ignore[func-returns-value]
    assert len(made_now) == 2, "one more than the first, which holds so much that it tells enough"


def test_a_clients_error_is_raised_and_no_thread_is_left() -> None:
    def broken(query: int) -> None:
        raise ValueError(f"query {query}")

    before = set(threading.enumerate())  # other tests' libraries may have started some
    with pytest.raises(ValueError, match="query"):
        clock.concurrent(broken, [0, 1], 3, EFFORT)
    assert set(threading.enumerate()) <= before


def test_private_memory_sees_what_is_allocated_and_not_what_is_mapped(tmp_path) -> None:  # type: ignore[no-untyped-def]
    memory.settle()
    before = memory.private_bytes()
    held = np.ones(1 << 22)  # 32 MiB
    grown = memory.private_bytes() - before
    assert 0.95 * held.nbytes < grown < 1.2 * held.nbytes
    np.save(tmp_path / "a.npy", held)
    before = memory.private_bytes()
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert mapped.sum() == held.sum()
    # Pages of a file that only this process maps count as unique, but not in the polled figure.
    assert memory.watched_bytes(psutil.Process()) - before < held.nbytes


def test_peak_watch_sees_a_short_peak() -> None:
    with memory.PeakWatch(interval=0.001) as watch:
        before = memory.watched_bytes(psutil.Process())
        held = np.ones(1 << 23)
        time.sleep(0.05)
        size = held.nbytes
        del held
    assert watch.peak - before > 0.9 * size


def test_facts_of_the_machine_are_there() -> None:
    assert machine()["cpu"]
    assert int(machine()["cores"]) >= 1
    assert "numpy" in libraries()
    assert code()["version"]


def test_latency_percentiles_that_few_samples_cannot_show_are_left_out() -> None:
    names = [m.name for m in made.latencies(np.arange(1, 101) / 1e3)]
    assert names == ["single_p50_ms", "single_p95_ms", "single_p99_ms"]
    assert [m.name for m in made.latencies(np.arange(1, 1001) / 1e3)][-1] == "single_p99.9_ms"
    assert "single_p90_ms" in [m.name for m in made.latencies(np.arange(1, 11) / 1e3, budgeted=90)]
    median = made.latencies(np.arange(1, 101) / 1e3)[0]
    assert median.value == pytest.approx(50.5)
    assert median.low is not None
    assert median.high is not None
    assert median.low <= median.value <= median.high


def test_throughput_is_the_median_rate() -> None:
    found = made.throughput(100, [1.0, 2.0, 4.0])
    assert found.value == 50
    assert (found.low, found.high) == (25, 100)


def test_quality_means_leave_out_queries_without_judgments() -> None:
    values = {"test": {"nDCG@10": np.array([1.0, 0.0, np.nan])}, "tune": {"nDCG@10": np.array([0.5, 0.5])}}
    found = {m.name: m for m in made.quality(values)}
    assert found["nDCG@10"].value == 0.5
    assert found["nDCG@10"].n == 2
    assert found["tune/nDCG@10"].value == 0.5


def test_memory_that_does_not_agree_is_explained() -> None:
    facts = BuildFacts(
        params={}, memory=MemoryReport(parts={"codes": 1000}), build_seconds=1, peak_bytes=1, saved_bytes=1001
    )
    assert made.memory_notes(made.memory(facts, 1040, 0.1, None)) == ()
    notes = made.memory_notes(made.memory(facts, 1100, 0.1, None))
    assert len(notes) == 1
    assert "private_bytes is +10%" in notes[0]
