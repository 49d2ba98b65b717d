"""The process server against jobs that go wrong: every one has an end, and nothing of it is left.

The jobs are those of a package of a few lines that stands in for ours (``Process(tree=...)``), so that they start fast.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from retrieval_bench.runner import process as module
from retrieval_bench.runner.limits import Limits
from retrieval_bench.runner.process import End, Process

WRONG = """
import contextlib, json, os, signal, socket, sys, time

def main(job, line, engine_bytes):
    asked = json.loads(job)
    globals()[asked["wrong"]](line, asked)

def fine(line, asked):
    with line.phase("build"):
        line.send(doing="nothing", done=1, of=2)

def slow(line, asked):
    with line.phase("build"):
        time.sleep(60)

def crash(line, asked):
    os.kill(os.getpid(), signal.SIGSEGV)

def paint(line, asked):
    sys.exit("\\x1b[2J broken \\x1b]0;title\\x07" + 5_000 * "x")

def deaf(line, asked):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    time.sleep(60)

def stop(line, asked):
    os.kill(os.getpid(), signal.SIGSTOP)

def stop_group(line, asked):
    os.killpg(0, signal.SIGSTOP)

def stop_worker(line, asked):
    os.kill(os.getppid(), signal.SIGSTOP)
    family(line, asked)
    time.sleep(60)

def kill_worker(line, asked):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

def everyone(said):
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):
            os.write(descriptor, said)

def write_to_all(line, asked):
    everyone(b"no line of JSON\\n")
    time.sleep(60)

def write_bytes(line, asked):
    everyone(b"\\xff\\x00\\n")
    time.sleep(60)

def forge_end(line, asked):
    everyone(b'{"exit": 0}\\n')
    time.sleep(60)

def forge_ok(line, asked):
    line.send(outcome="ok", reason="")
    time.sleep(60)

def forge_phase(line, asked):
    line.send(phase="build", state="end", seconds=1e9)
    time.sleep(60)

def flood(line, asked):
    while True:
        line.send(doing="much", done=1, of=2)

def endless(line, asked):
    while True:
        everyone(b"x" * 65536)

def hang_up(line, asked):
    line._socket.shutdown(socket.SHUT_RDWR)
    time.sleep(60)

def close_all(line, asked):
    os.closerange(0, 256)
    line.send(doing="nothing", done=1, of=2)

def shout(line, asked):
    size = 0
    while os.fstat(1).st_size >= size:  # until it is cut
        size = os.fstat(1).st_size
        os.write(1, b"x" * 65536)
    sys.exit("x" * 9_999 + " that was loud")

def family(line, asked):
    for leave in (lambda: None, os.setsid):
        if os.fork() == 0:
            leave()
            if os.fork() == 0:
                signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
                with open(asked["pids"], "a") as file:
                    file.write(f"{os.getpid()}\\n")
                time.sleep(60)
            os._exit(0)
    while not os.path.exists(asked["pids"]) or open(asked["pids"]).read().count("\\n") < 2:
        time.sleep(0.01)

def family_at_work(line, asked):
    family(line, asked)
    time.sleep(60)

def child_eats(line, asked):
    if os.fork() == 0:
        held = bytearray(b"x" * (200 << 20))
        time.sleep(60)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    (tree / "retrieval_bench" / "runner").mkdir(parents=True)
    (tree / "retrieval_bench" / "__init__.py").touch()
    (tree / "retrieval_bench" / "runner" / "__init__.py").touch()
    (tree / "retrieval_bench" / "runner" / "child.py").write_text(WRONG)
    return tree


@pytest.fixture(scope="module")
def process(tree: Path) -> Iterator[Process]:
    with Process(1, tree=tree) as process:
        yield process


def do(process: Process, wrong: str, events: list[dict[str, Any]] | None = None, **limits: float) -> End:
    asked = Limits(**{"wall_seconds": 30, **limits})  # type: ignore[arg-type]
    job = json.dumps({"stage": "build", "wrong": wrong, "pids": str(process._pids)})  # type: ignore[attr-defined]
    return process.run(job, asked, (lambda _: None) if events is None else events.append)


@pytest.fixture(autouse=True)
def pids(process: Process, tmp_path: Path) -> Path:
    process._pids = tmp_path / "pids"  # type: ignore[attr-defined]
    return tmp_path / "pids"


def alive(pids: Path) -> list[int]:
    """Those of the processes that wrote their numbers that still run."""
    found = []
    for pid in map(int, pids.read_text().split()):
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_job_tells_of_its_phases(process: Process) -> None:
    events: list[dict[str, Any]] = []
    end = do(process, "fine", events)
    assert (end.outcome, end.reason) == ("ok", "")
    assert events == [
        {"phase": "build", "state": "start"}, {"doing": "nothing", "done": 1, "of": 2},
        {"phase": "build", "state": "end"},
    ]  # fmt: skip
    assert 0 < end.phases["build"] < end.seconds


@pytest.mark.parametrize(
    ("wrong", "outcome", "reason"),
    [
        ("slow", "timed_out", "not finished after 0.5 s"),
        ("deaf", "timed_out", "not finished"),
        ("stop", "timed_out", "not finished"),
        ("stop_group", "timed_out", "not finished"),
        ("stop_worker", "timed_out", "not finished"),
    ],
)
def test_a_job_that_does_not_end_is_ended(process: Process, wrong: str, outcome: str, reason: str) -> None:
    do(process, "fine")
    end = do(process, wrong, wall_seconds=0.5)
    assert end.outcome == outcome
    assert reason in end.reason
    assert end.seconds < 5
    assert do(process, "fine").outcome == "ok"


def test_a_build_has_a_limit_of_its_own(process: Process) -> None:
    end = do(process, "slow", build_seconds=0.1)
    assert (end.outcome, end.reason) == ("over_budget", "the build took more than 0.1 s (build_seconds)")


def test_memory_of_processes_that_a_job_starts_counts(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FAMILY_SECONDS", 0.05)
    end = do(process, "child_eats", peak_bytes=150 << 20)
    assert end.outcome == "over_budget"
    assert "private memory reached" in end.reason


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("crash", "killed by SIGSEGV"),
        ("kill_worker", "killed by SIGKILL"),
        ("write_to_all", "it wrote into the line to the run: b'no line of JSON'"),
        ("write_bytes", "it wrote into the line to the run"),
        ("forge_end", "it wrote into the line to the run"),
        ("forge_ok", "it wrote into the line to the run"),
        ("forge_phase", "it wrote into the line to the run"),
        ("flood", "it told the run more than 1,048,576 bytes"),
        ("endless", "it told the run more than 1,048,576 bytes"),
        ("hang_up", "it closed the line to the run"),
        ("close_all", "exit status 1"),
        ("nothing_of_this_name", "exit status 1: KeyError: 'nothing_of_this_name'"),
    ],
)
def test_a_job_that_goes_wrong_is_a_crash_and_the_next_is_done(
    process: Process, monkeypatch: pytest.MonkeyPatch, wrong: str, reason: str
) -> None:
    monkeypatch.setattr(module, "_MOST_HEARD", 1 << 20)
    end = do(process, wrong)
    assert end.outcome == "crashed"
    assert reason in end.reason
    assert do(process, "fine").outcome == "ok"


def test_of_endless_output_the_end_is_kept(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_LOGGED", 1 << 20)
    end = do(process, "shout")
    assert end.reason.startswith("exit status 1: x")
    assert len(end.reason) < 2_100


def test_a_reason_holds_nothing_that_a_terminal_obeys(process: Process) -> None:
    reason = do(process, "paint").reason
    assert "broken" in reason
    assert reason.isprintable()


@pytest.mark.parametrize(("wrong", "outcome"), [("family", "ok"), ("family_at_work", "timed_out")])
def test_what_a_job_leaves_ends_with_it(process: Process, pids: Path, wrong: str, outcome: str) -> None:
    assert do(process, wrong, wall_seconds=30 if outcome == "ok" else 2).outcome == outcome
    assert len(pids.read_text().split()) == 2
    assert alive(pids) == []


RUN = """
import json, sys
from pathlib import Path
from retrieval_bench.runner.limits import Limits
from retrieval_bench.runner.process import Process
with Process(1, tree=Path(sys.argv[1])) as process:
    process.run(sys.argv[2], Limits(wall_seconds=60), print)
"""


@pytest.mark.parametrize("wrong", ["family_at_work", "stop_worker"])
def test_a_killed_run_leaves_nothing(tree: Path, pids: Path, wrong: str) -> None:
    job = json.dumps({"stage": "build", "wrong": wrong, "pids": str(pids)})
    run = subprocess.Popen([sys.executable, "-c", RUN, str(tree), job])
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        time.sleep(0.01)
    family = psutil.Process(run.pid).children(recursive=True)
    with pids.open("a") as file:
        file.write("".join(f"{one.pid}\n" for one in family))
    assert len(alive(pids)) >= 4
    run.kill()
    run.wait()
    deadline = time.monotonic() + 5
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive(pids) == []


def test_a_lock_is_held_until_the_last_process_has_ended(tree: Path, tmp_path: Path) -> None:
    file = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    with Process(1, tree=tree, holding=[file]) as process:
        process._pids = tmp_path / "pids"  # type: ignore[attr-defined]
        do(process, "fine")
        assert process._worker is not None
        assert os.path.samestat(Path(f"/proc/{process._worker.pid}/fd/{file}").stat(), os.fstat(file))
    os.close(file)
