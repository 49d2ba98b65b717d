import threading
import time

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.errors import UsageError
from retrieval_bench.measure import clock, memory
from retrieval_bench.measure.machine import code, libraries, machine
from retrieval_bench.runner import measurements as made
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


def test_concurrent_clients_run_at_once() -> None:
    one = clock.concurrent(lambda _: time.sleep(0.01), [0, 1, 2], 1, EFFORT)
    four = clock.concurrent(lambda _: time.sleep(0.01), [0, 1, 2], 4, EFFORT)
    assert four > 2 * one


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
