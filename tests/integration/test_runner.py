"""The runner against backends that go wrong: every failure is a record, and the run goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import retrieval_bench as rb
from retrieval_bench.comparison import compare
from retrieval_bench.errors import CardError, DataError, UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store, sql

PLUGINS = Path(__file__).parent / "plugins"
QUICK = Effort(seconds=0.05, concurrent_seconds=0.02)
CARD = """
name = "{name}"
summary = "a backend that goes wrong"
kind = "index"
backend = "misbehaving"
[build]
wrong = "{build}"
[search]
wrong = {search}
setting = {settings}
"""

FEW = """
name = "few"
summary = "codes of a few bytes: most answers are not exact ones, and are scored from the vectors"
kind = "index"
backend = "ivf_pq"
[build]
lists = 2
code_bytes = 8
refine = "none"
[search]
nprobe = [1, 2]
"""


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log.txt"
        self.vectors = folder / "vectors.npy"
        np.save(self.vectors, np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32))

    def card(self, name: str, build: str = "no", search: str = '"no"', settings: str = "[0]") -> str:
        path = self.folder / f"{name}.toml"
        path.write_text(CARD.format(name=name, build=build, search=search, settings=settings))
        return str(path)

    def run(self, *cards: str, timeout: float = 60, **budget: float) -> rb.Run:
        return rb.run(
            str(self.vectors), indexes=list(cards), budget=rb.Budget.model_validate({"threads": 1, **budget}),
            timeout=timeout, effort=QUICK, out=self.folder / "out",
        )  # fmt: skip

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    monkeypatch.setenv("BUILD_LOG", str(tmp_path / "log.txt"))
    monkeypatch.syspath_prepend(str(PLUGINS))
    __import__("misbehaving")
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("build", "budget", "outcome", "reason"),
    [
        ("crash", {}, "crashed", "SIGSEGV"),
        ("raise", {}, "crashed", "RuntimeError: the engine broke"),
        ("exit", {}, "crashed", "exit status 3"),
        ("sleep", {"build_seconds": 0.3}, "over_budget", "the build took more than 0.3 s"),
        ("nap", {"build_seconds": 0.01}, "over_budget", "the build took"),
        ("sleep", {}, "timed_out", "not finished after 15 s"),
        ("eat", {"peak_bytes": 600 << 20}, "over_budget", "private memory reached"),
        ("refuse", {}, "refused", "at least 7 bytes per vector"),
        ("no", {"bytes_per_vector": 31}, "over_budget", "32.0 bytes per vector, 31.0 are allowed"),
        ("no", {"index_bytes": 100}, "over_budget", "10,240 of 100"),
    ],
)
def test_a_failing_build_is_a_record_of_each_setting_and_the_run_goes_on(
    bench: Bench, build: str, budget: dict[str, float], outcome: str, reason: str
) -> None:
    cards = [bench.card("bad", build=build, settings="[0, 1]"), bench.card("good")]
    done = bench.run(*cards, timeout=15 if outcome == "timed_out" else 60, **budget)
    bad = [r for r in done.records if r.system == "bad"]
    good = [r for r in done.records if r.system == "good"]
    assert [r.outcome for r in bad] == [outcome, outcome]
    assert all(reason in r.reason for r in bad), bad[0].reason
    assert len(good) == 1
    if "bytes_per_vector" not in budget and "index_bytes" not in budget:
        assert good[0].outcome == "ok"
        assert done.summary.winner == good[0].trial_id


@pytest.mark.parametrize(
    ("search", "outcome", "reason"),
    [
        ("crash", "crashed", "SIGSEGV"),
        ("kill", "crashed", "SIGKILL"),  # the process that it was forked from
        ("unsorted", "crashed", "broke the contract"),
        ("refuse", "refused", "this setting cannot be"),
        ("sleep", "timed_out", "not finished after 15 s"),
    ],
)
def test_a_failing_setting_fails_alone(bench: Bench, search: str, outcome: str, reason: str) -> None:
    done = bench.run(
        bench.card("some", search=f'["no", "{search}", "slow"]'), timeout=15 if outcome == "timed_out" else 60
    )
    by_setting = {r.search_params["wrong"]: r for r in done.records}
    assert by_setting["no"].outcome == "ok"
    assert by_setting["slow"].outcome == "ok"
    assert by_setting[search].outcome == outcome
    assert reason in by_setting[search].reason
    assert bench.calls().count("build") == 1


def test_too_slow_a_setting_is_over_budget_with_its_measurements(bench: Bench) -> None:
    done = bench.run(bench.card("some", search='["no", "slow"]'), latency_ms=10)
    slow = next(r for r in done.records if r.search_params["wrong"] == "slow")
    assert slow.outcome == "over_budget"
    assert "single_p95_ms" in slow.reason
    assert slow.value("neighbor_recall@10") == 1.0


TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor cannot be exceeded")


@pytest.mark.parametrize(
    ("build", "search", "reason"),
    [
        pytest.param("no", "threads", "processors, 1 are allowed (threads)", marks=TWO_CORES),
        pytest.param("threads", "no", "processors, 1 are allowed (threads)", marks=TWO_CORES),
        ("no", "hoard", "bytes of private memory and reports 10,240"),
        ("no", "map", "bytes of private memory and reports 10,240"),
        ("hoard", "no", "its saved files hold 2,1"),
    ],
)
def test_what_is_used_outside_the_account_is_over_budget(bench: Bench, build: str, search: str, reason: str) -> None:
    (record,) = bench.run(bench.card("bad", build=build, search=f'"{search}"'), bytes_per_vector=100).records
    assert record.outcome == "over_budget", record.reason
    assert reason in record.reason


def test_vectors_that_the_harness_reads_to_score_are_not_held_against_an_index(bench: Bench) -> None:
    # 98 MB: more than an index may hold beside what it reports
    wide = np.random.default_rng(0).normal(size=(12_000, 2_048)).astype(np.float32)
    np.save(bench.vectors, wide)
    card = bench.folder / "few.toml"
    card.write_text(FEW)
    done = rb.run(
        str(bench.vectors), indexes=[str(card)], budget=rb.Budget(threads=1, bytes_per_vector=2_000), effort=QUICK,
        out=bench.folder / "out",
    )  # fmt: skip
    assert [r.outcome for r in done.records] == ["ok", "ok"], [r.reason for r in done.records]
    assert all((r.value("neighbor_recall@100") or 0.0) < 0.5 for r in done.records)


def test_without_a_budget_of_memory_hidden_memory_is_a_note(bench: Bench) -> None:
    (record,) = bench.run(bench.card("some", search='"hoard"')).records
    assert record.outcome == "ok"
    assert "bytes of private memory and reports" in record.notes[0]


def test_measurements_are_complete_and_the_harness_tells_its_share(bench: Bench) -> None:
    done = bench.run(bench.card("good"))
    record = done.records[0]
    names = {m.name for m in record.measurements}
    assert names >= {
        "batch_qps", "single_p50_ms", "single_p95_ms", "concurrent_qps@1", "build_seconds", "build_peak_bytes",
        "analytic_bytes", "artifact_bytes", "private_bytes", "neighbor_recall@10", "tune/neighbor_recall@10",
    }  # fmt: skip
    assert record.value("neighbor_recall@10") == 1.0
    assert record.machine["cpu"]
    assert record.libraries["numpy"]
    assert done.summary.overhead_percent is not None
    assert abs(sum(done.summary.wall_seconds.values())) > 0


def test_the_same_command_computes_nothing_twice(bench: Bench) -> None:
    cards = [bench.card("good", settings="[0, 1]")]
    first = bench.run(*cards)
    calls = bench.calls()
    second = bench.run(*cards)
    assert bench.calls() == calls
    assert [r.model_dump() for r in second.records] == [r.model_dump() for r in first.records]


def test_finalists_are_measured_in_turns_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval_bench.runner.finals.NEAR", 1e9)  # a busy machine makes anything seem slow
    monkeypatch.setattr("retrieval_bench.runner.run._TURNS", 1000)
    cards = [bench.card("one"), bench.card("two")]
    done = bench.run(*cards)
    turns = done.summary.turns
    assert turns is not None, done.summary.why
    assert set(turns.qps) == {r.trial_id for r in done.records}
    assert done.winner is not None
    assert done.winner.trial_id == turns.fastest
    assert "measured in turns" in done.summary.why
    assert bench.run(*cards).summary.turns == turns


def test_a_changed_budget_or_setting_is_a_new_trial(bench: Bench) -> None:
    first = bench.run(bench.card("good", settings="[0]"))
    more = bench.run(bench.card("good", settings="[0, 1]"))
    assert bench.calls().count("build") == 1  # the built index serves the new setting
    assert {r.trial_id for r in first.records} < {r.trial_id for r in more.records}
    other = bench.run(bench.card("good", settings="[0]"), build_seconds=50)
    assert {r.trial_id for r in other.records}.isdisjoint(r.trial_id for r in more.records)


PROGRAM = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs with Ctrl-C ignored
import misbehaving
import retrieval_bench as rb
from pathlib import Path
from retrieval_bench.measure.clock import Effort
rb.run(sys.argv[1], indexes=sys.argv[3:], budget=rb.Budget(threads=1), out=Path(sys.argv[2]),
       effort=Effort(seconds=0.05, concurrent_seconds=0.02))
"""


def start(bench: Bench, *cards: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(bench.vectors), str(bench.folder / "out"), *cards]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE)


def test_killed_in_the_middle_nothing_is_lost_and_nothing_is_computed_twice(bench: Bench) -> None:
    card = bench.card("some", settings="[0, 1, 2]", search='["no", "slow"]')
    killed = start(bench, card)
    records = bench.folder / "out" / "records"
    deadline = time.monotonic() + 60
    while not (records.exists() and len(list(records.glob("[!.]*.json"))) >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    finished = {p.name: p.read_bytes() for p in records.glob("[!.]*.json")}
    assert 2 <= len(finished) < 6
    for _ in range(100):  # the trial's process dies with the run; its last writes are over
        if not _children_of(bench):
            break
        time.sleep(0.05)
    before = bench.calls()
    done = bench.run(card)
    after = bench.calls()[len(before) :]
    assert "build" not in after
    assert len(done.records) == 6
    assert all(r.outcome == "ok" for r in done.records)
    assert {n: (records / n).read_bytes() for n in finished} == finished
    done_before = {r.search_params["setting"] for r in done.records if f"{r.trial_id}.json" in finished
                   and r.search_params["wrong"] == "slow"}  # fmt: skip
    assert not any(f"search {s}" in after for s in done_before & {s for s in (0, 1, 2) if _both(done, s, finished)})


def _both(done: rb.Run, setting: int, finished: dict[str, bytes]) -> bool:
    return all(f"{r.trial_id}.json" in finished for r in done.records if r.search_params["setting"] == setting)


def _children_of(bench: Bench) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"runner/worker.py" in (folder / "cmdline").read_bytes()
                and str(bench.folder).encode() in (folder / "environ").read_bytes()
            ):
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(bench: Bench) -> None:
    card = bench.card("some", search='["no", "slow"]', settings="[0, 1]")
    running = start(bench, card)
    records = bench.folder / "out" / "records"
    deadline = time.monotonic() + 60
    while not (records.exists() and list(records.glob("[!.]*.json"))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert "KeyboardInterrupt" in said
    done = bench.run(card)
    assert [r.outcome for r in done.records] == ["ok"] * 4
    assert bench.calls().count("build") == 1


def test_two_runs_do_not_share_a_folder(bench: Bench) -> None:
    store = Store(bench.folder / "out")
    with store.locked(), pytest.raises(DataError, match="another run is writing there"):
        bench.run(bench.card("good"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_refused_before_any_work(bench: Bench) -> None:
    (bench.folder / "out").mkdir(mode=0o500)
    with pytest.raises(DataError, match="no permission to write"):
        bench.run(bench.card("good"))
    assert bench.calls() == []


def test_results_of_a_run_without_a_measurement_say_why(bench: Bench) -> None:
    done = bench.run(bench.card("bad", build="refuse"))
    assert sql(done.folder, "select count(*) from measurements where value > 0")[1] == [(0,)]
    assert "at least 7 bytes" in sql(done.folder, "select reason from trials")[1][0][0]
    with pytest.raises(UsageError, match=r"bad has no result in .*: refused: .*at least 7 bytes"):
        compare("bad", "bad", out=done.folder)


def test_a_card_whose_values_are_none_is_refused(bench: Bench) -> None:
    with pytest.raises(CardError, match="wrong: an empty list leaves no setting"):
        bench.run(bench.card("empty", search="[]"))


@pytest.mark.parametrize("wrong", [0.0, 95.0])
def test_a_recall_that_cannot_be_reached_is_refused(bench: Bench, wrong: float) -> None:
    with pytest.raises(UsageError, match="at most 1"):
        rb.run(str(bench.vectors), indexes=["flat"], recall_target=wrong, out=bench.folder / "out")


def test_results_answer_sql(bench: Bench) -> None:
    done = bench.run(bench.card("good", settings="[0, 1]"))
    columns, rows = sql(done.folder, 'select system, count(*), avg("neighbor_recall@10") from trials group by 1')
    assert columns[0] == "system"
    assert rows == [("good", 2, 1.0)]
    _, rows = sql(done.folder, "select count(*), avg(\"neighbor_recall@10\") from queries where split = 'test'")
    assert rows == [(2 * done.summary.queries["test"], 1.0)]
    _, rows = sql(done.folder, "select n from measurements where name = 'build_seconds'")
    assert rows == [(1,), (1,)]
