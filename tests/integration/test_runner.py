"""The runner against backends that go wrong: every failure is a record, and the run goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import retrieval_bench as rb
from retrieval_bench.comparison import compare
from retrieval_bench.errors import CardError, DataError, UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store, sql
from retrieval_bench.runner.child import breach_of_size
from retrieval_bench.types import Budget, MemoryReport

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
    """A folder with vectors, cards, results and a log of what the backend was asked for."""

    def __init__(self, folder: Path, vectors: Path) -> None:
        self.folder, self.log, self.vectors = folder, folder / "log.txt", vectors

    def card(self, name: str, build: str = "no", search: str = '"no"', settings: str = "[0]") -> str:
        path = self.folder / f"{name}.toml"
        path.write_text(CARD.format(name=name, build=build, search=search, settings=settings))
        return str(path)

    def run(self, *cards: str, timeout: float = 60, **budget: float) -> rb.Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BUILD_LOG", str(self.log))
            return rb.run(
                str(self.vectors), indexes=list(cards), budget=rb.Budget.model_validate({"threads": 1, **budget}),
                timeout=timeout, effort=QUICK, out=self.folder / "out",
            )  # fmt: skip

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("place")
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVAL_BENCH_HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", str(PLUGINS))
        patch.syspath_prepend(str(PLUGINS))
        __import__("misbehaving")
        yield folder


@pytest.fixture
def bench(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(place / "home"))  # the data is made ready once
    return Bench(tmp_path, place / "vectors.npy")


BUILDS = {
    "raise": ("crashed", "RuntimeError: the engine broke"),
    "leave": ("crashed", "its process left with status 0 before it had finished"),
    "refuse": ("refused", "at least 7 bytes per vector"),
    "sleep": ("timed_out", "not finished after 40 s (--timeout)"),
}
SEARCHES = {
    "no": ("ok", ""),
    "crash": ("crashed", "SIGSEGV"),
    "kill": ("crashed", "SIGKILL"),  # the process that it was forked from
    "leave": ("crashed", "its process left with status 0 before it had finished"),
    "quit_thread": ("crashed", "its process left with status 0 before it had finished"),
    "garble": ("crashed", "it wrote into the line to the run: b'garbage'"),
    "unsorted": ("crashed", "broke the contract"),
    "refuse": ("refused", "this setting cannot be"),
    "sleep": ("timed_out", "not finished after 40 s (--timeout)"),
    "slow": ("ok", ""),
    "hoard": ("ok", ""),
}


@pytest.fixture(scope="module")
def everything(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, list[str], rb.Run]:
    """One run of all that can go wrong without a budget, and of what goes well."""
    bench = Bench(tmp_path_factory.mktemp("everything"), place / "vectors.npy")
    cards = [bench.card(wrong, build=wrong, settings="[0, 1]") for wrong in BUILDS]
    cards.append(bench.card("searches", search=json.dumps(list(SEARCHES))))
    cards.append(bench.card("good", settings="[0, 1]"))
    return bench, cards, bench.run(*cards, timeout=40)


Everything = tuple[Bench, list[str], rb.Run]


@pytest.mark.parametrize("wrong", BUILDS)
def test_a_failing_build_is_a_record_of_each_setting_and_the_run_goes_on(everything: Everything, wrong: str) -> None:
    outcome, reason = BUILDS[wrong]
    records = [r for r in everything[2].records if r.system == wrong]
    assert [r.outcome for r in records] == [outcome, outcome], records[0].reason
    assert all(reason in r.reason for r in records), records[0].reason
    assert [r.outcome for r in everything[2].records if r.system == "good"] == ["ok", "ok"]
    assert everything[2].winner is not None


@pytest.mark.parametrize("wrong", SEARCHES)
def test_a_failing_setting_fails_alone(everything: Everything, wrong: str) -> None:
    outcome, reason = SEARCHES[wrong]
    (record,) = [
        r for r in everything[2].records if (r.system, r.search_params.get("wrong")) == ("searches", wrong)
    ]  # fmt: skip
    assert record.outcome == outcome, record.reason
    assert reason in record.reason
    # None is built again for what fails later, and the good one is served from the same index.
    assert everything[0].calls().count("build") == len(BUILDS) + 1


@pytest.fixture(scope="module")
def hurried(place: Path, tmp_path_factory: pytest.TempPathFactory) -> rb.Run:
    """A run whose budget of build time none can meet."""
    bench = Bench(tmp_path_factory.mktemp("hurried"), place / "vectors.npy")
    return bench.run(bench.card("sleeps", build="sleep"), bench.card("naps", build="nap"), build_seconds=0.01)


def test_a_build_over_a_budget_says_which(hurried: rb.Run, bench: Bench) -> None:
    full = bench.run(bench.card("eats", build="eat"), bench.card("codes"), peak_bytes=600 << 20, bytes_per_vector=31)
    said = {r.system: r.reason for r in (*hurried.records, *full.records) if r.outcome == "over_budget"}
    assert "the build took more than 0.01 s" in said["sleeps"]
    assert "the build took" in said["naps"]  # over before anyone who looks now and then has looked
    assert "private memory reached" in said["eats"]
    assert "32.0 bytes per vector, 31.0 are allowed" in said["codes"]
    assert "10,240 of 100" in (
        breach_of_size(MemoryReport(parts={"codes": 10_240}), 320, Budget(index_bytes=100)) or ""
    )


def test_too_slow_a_setting_is_over_budget_with_its_measurements(bench: Bench) -> None:
    done = bench.run(bench.card("some", search='["no", "slow"]'), latency_ms=10)
    slow = next(r for r in done.records if r.search_params["wrong"] == "slow")
    assert slow.outcome == "over_budget"
    assert "single_p95_ms" in slow.reason
    assert slow.value("neighbor_recall@10") == 1.0


def test_what_is_used_outside_the_account_is_over_budget(bench: Bench) -> None:
    hidden = "bytes of private memory and reports 10,240"
    wanted = {("map", "map"): hidden, ("more", "hoard"): hidden}
    more = ["hoard"]
    cards = [bench.card("map", search='"map"')]
    if len(os.sched_getaffinity(0)) > 1:  # one processor cannot be exceeded
        wanted |= dict.fromkeys([("building", "no"), ("more", "threads")], "processors, 1 are allowed (threads)")
        cards.append(bench.card("building", build="threads"))
        more.append("threads")
    cards.append(bench.card("more", search=json.dumps(more)))
    found = {(r.system, r.search_params["wrong"]): r for r in bench.run(*cards, bytes_per_vector=100).records}
    assert {key: r.outcome for key, r in found.items()} == dict.fromkeys(wanted, "over_budget")
    assert all(wanted[key] in r.reason for key, r in found.items()), [r.reason for r in found.values()]


def test_little_that_is_hidden_is_seen_where_the_index_is_little(bench: Bench) -> None:
    bench.vectors = bench.folder / "little.npy"
    np.save(bench.vectors, np.random.default_rng(0).normal(size=(2_500, 16)).astype(np.float32))
    card = bench.card("some", search='["no", "keep"]')
    honest, hiding = bench.run(card, bytes_per_vector=64).records
    assert honest.outcome == "ok", honest.reason
    assert hiding.outcome == "over_budget"
    assert "each copy of it holds" in hiding.reason


def test_vectors_that_the_harness_reads_to_score_are_not_held_against_an_index(bench: Bench) -> None:
    # 70 MB: more than an index may hold beside what it reports
    np.save(bench.folder / "wide.npy", np.random.default_rng(0).normal(size=(8_600, 2_048)).astype(np.float32))
    card = bench.folder / "few.toml"
    card.write_text(FEW)
    done = rb.run(
        str(bench.folder / "wide.npy"), indexes=[str(card)], budget=rb.Budget(threads=1, bytes_per_vector=2_000),
        effort=QUICK, queries=50, out=bench.folder / "out",
    )  # fmt: skip
    assert [r.outcome for r in done.records] == ["ok", "ok"], [r.reason for r in done.records]
    assert all((r.value("neighbor_recall@100") or 0.0) < 0.5 for r in done.records)


def test_without_a_budget_of_memory_hidden_memory_is_a_note(everything: Everything) -> None:
    (record,) = [r for r in everything[2].records if r.search_params.get("wrong") == "hoard"]
    assert any("bytes of private memory and reports" in note for note in record.notes)


def test_measurements_are_complete_and_the_harness_tells_its_share(everything: Everything) -> None:
    done = everything[2]
    record = next(r for r in done.records if r.system == "good")
    names = {m.name for m in record.measurements}
    assert names >= {
        "batch_qps", "single_p50_ms", "single_p95_ms", "concurrent_qps@1", "build_seconds", "build_peak_bytes",
        "analytic_bytes", "artifact_bytes", "private_bytes", "neighbor_recall@10", "tune/neighbor_recall@10",
    }  # fmt: skip
    assert record.value("neighbor_recall@10") == 1.0
    assert record.machine["cpu"]
    assert record.libraries["numpy"]
    assert done.summary.overhead_percent is not None
    assert all(seconds > 0 for phase, seconds in done.summary.wall_seconds.items() if phase in ("build", "search"))


def test_the_same_command_computes_nothing_twice(
    everything: Everything, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(place / "home"))
    bench, cards, first = everything
    calls = bench.calls()
    second = bench.run(*cards, timeout=40)
    assert bench.calls() == calls
    assert [r.model_dump() for r in second.records] == [r.model_dump() for r in first.records]
    assert second.summary.turns == first.summary.turns


def test_finalists_are_measured_in_turns_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval_bench.runner.finals.NEAR", 1e9)  # a busy machine makes anything seem slow
    monkeypatch.setattr("retrieval_bench.runner.finals.ratio_in_new_processes", lambda *_, **__: 0.9)
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


def test_a_further_setting_is_served_from_the_index_that_is_built(bench: Bench) -> None:
    first = bench.run(bench.card("good", settings="[0]"))
    more = bench.run(bench.card("good", settings="[0, 1]"))
    assert bench.calls().count("build") == 1
    assert {r.trial_id for r in first.records} < {r.trial_id for r in more.records}


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


def stopped(bench: Bench, card: str, records: int, how: signal.Signals) -> str:
    """Start a run, stop it when there are so many records, wait for the end of its last process; what it said."""
    environment = {**os.environ, "BUILD_LOG": str(bench.log)}
    command = [sys.executable, "-c", PROGRAM, str(bench.vectors), str(bench.folder / "out"), card]
    run = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 60
    while len(list((bench.folder / "out" / "records").glob("[!.]*.json"))) < records:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(how)
    _, said = run.communicate(timeout=30)
    deadline = time.monotonic() + 5
    while left := [p for p in psutil.process_iter() if _of(p, bench)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    return said


def _of(process: psutil.Process, bench: Bench) -> bool:
    try:
        return process.environ().get("BUILD_LOG") == str(bench.log)
    except psutil.Error:
        return False


def test_stopped_or_killed_in_the_middle_nothing_is_lost_and_nothing_is_computed_twice(bench: Bench) -> None:
    card = bench.card("some", settings="[0, 1, 2]", search='["no", "slow"]')
    records = bench.folder / "out" / "records"
    finished: dict[Path, bytes] = {}
    assert "KeyboardInterrupt" in stopped(bench, card, 1, signal.SIGINT)
    for wanted, how in ((3, signal.SIGKILL), (6, None)):
        stopped(bench, card, wanted, how) if how else bench.run(card)
        assert all(path.read_bytes() == held for path, held in finished.items())
        finished = {path: path.read_bytes() for path in records.glob("[!.]*.json")}
    assert [r.outcome for r in Store(records.parent).records()] == ["ok"] * 6
    assert bench.calls().count("build") == 1


def test_two_runs_do_not_share_a_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval_bench.records.store._LOCK_SECONDS", 0.1)
    store = Store(bench.folder / "out")
    with store.locked(), pytest.raises(DataError, match="another run is writing there"):
        bench.run(bench.card("good"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_refused_before_any_work(bench: Bench) -> None:
    (bench.folder / "out").mkdir(mode=0o500)
    with pytest.raises(DataError, match="no permission to write"):
        bench.run(bench.card("good"))
    assert bench.calls() == []


def test_results_of_a_run_without_a_measurement_say_why(hurried: rb.Run) -> None:
    assert sql(hurried.folder, "select count(*) from measurements where value > 0")[1] == [(0,)]
    assert "the build took" in sql(hurried.folder, "select reason from trials where system = 'naps'")[1][0][0]
    with pytest.raises(UsageError, match=r"naps has no result in .*: over_budget: the build took"):
        compare("naps", "naps", out=hurried.folder)


def test_a_card_whose_values_are_none_is_refused(bench: Bench) -> None:
    with pytest.raises(CardError, match="wrong: an empty list leaves no setting"):
        bench.run(bench.card("empty", search="[]"))


@pytest.mark.parametrize("wrong", [0.0, 95.0])
def test_a_recall_that_cannot_be_reached_is_refused(bench: Bench, wrong: float) -> None:
    with pytest.raises(UsageError, match="at most 1"):
        rb.run(str(bench.vectors), indexes=["flat"], recall_target=wrong, out=bench.folder / "out")


def test_results_answer_sql(everything: Everything) -> None:
    done = everything[2]
    good = tuple(r.trial_id for r in done.records if r.system == "good")
    columns, rows = sql(
        done.folder, "select system, count(*), avg(\"neighbor_recall@10\") from trials where outcome = 'ok' group by 1"
    )
    assert columns[0] == "system"
    assert ("good", 2, 1.0) in rows
    where = f"where split = 'test' and trial_id in {good}"
    _, rows = sql(done.folder, f'select count(*), avg("neighbor_recall@10") from queries {where}')  # noqa: S608
    assert rows == [(2 * done.summary.queries["test"], 1.0)]
    _, rows = sql(done.folder, f"select n from measurements where name = 'build_seconds' and trial_id in {good}")  # noqa: S608
    assert rows == [(1,), (1,)]
