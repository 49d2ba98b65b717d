"""Device memory: its peak, its limit, and how a lack of it ends a build or a trial; torch and the driver are fakes."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from retrieval_bench.errors import DataError, DeviceMemoryError
from retrieval_bench.measure import device_memory
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.device_memory import DevicePeak, breach_of_device, device_bytes, ending, limit, unread
from retrieval_bench.runner import child, serve
from retrieval_bench.runner import measurements as made
from retrieval_bench.runner.job import BuildFacts, BuildPlan, Job, TrialPlan
from retrieval_bench.runner.serve import Server
from retrieval_bench.runner.worker import Line
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Budget, MemoryReport

MIB = 1 << 20
FACTS = BuildFacts(
    params={}, memory=MemoryReport(parts={"codes": 1000}), build_seconds=1, peak_bytes=1, saved_bytes=1001
)


class OutOfMemoryError(RuntimeError):
    """As torch has it."""


class Cuda(SimpleNamespace):
    """A GPU of 1,000 MiB, whose allocator reserved so many bytes at most."""

    peak = 0
    fraction = None

    def __init__(self, *, used: bool) -> None:
        super().__init__()
        self.used = used
        self.queued: list[Any] = []

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return self.used

    def device_count(self) -> int:
        return 1

    def mem_get_info(self) -> tuple[int, int]:
        return 900 * MIB, 1000 * MIB

    def max_memory_reserved(self, device: int) -> int:
        return self.peak

    def reset_peak_memory_stats(self, device: int) -> None:
        self.peak = 0

    def empty_cache(self) -> None:
        pass

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        self.fraction = fraction

    def _lazy_call(self, call: Any) -> None:
        self.queued.append(call)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    torch: Any = ModuleType("torch")
    torch.__spec__ = ModuleSpec("torch", None)
    torch.cuda, torch.OutOfMemoryError = Cuda(used=True), OutOfMemoryError
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch.cuda  # type: ignore[no-any-return]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the MiB that a made-up nvidia-smi says this process has; another process has 7."""
    program, held = tmp_path / "nvidia-smi", tmp_path / "held"
    program.write_text(f'#!/bin/sh\necho "1, 7"\necho "$PPID, $(cat {held})"\necho "$PPID, [N/A]"\n')
    program.chmod(0o755)
    held.write_text("0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return held


@pytest.fixture
def no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_driver_is_asked_about_this_process(driver: Path) -> None:
    driver.write_text("12")
    assert device_bytes() == 12 * MIB


def opened(folder: Path, *files: str) -> Path:
    """A made-up /proc/self/fd with these files open."""
    folder.mkdir()
    for number, file in enumerate(files):
        (folder / str(number)).symlink_to(file)
    return folder


def test_in_a_container_what_is_held_on_a_device_is_unknown_rather_than_nothing(
    driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.with_name("nvidia-smi").write_text('#!/bin/sh\necho "1, 7"\n')  # the host's numbers of processes
    assert device_bytes() == 0, "no device is open here"
    assert device_memory._has_a_device_open(opened(tmp_path / "a", "/dev/null", "/dev/nvidia0", "/dev/nvidiactl"))
    assert not device_memory._has_a_device_open(opened(tmp_path / "b", "/dev/null", "/dev/nvidiactl"))
    assert device_memory._has_a_device_open(tmp_path / "nothing")
    monkeypatch.setattr(device_memory, "_has_a_device_open", lambda: True)
    assert device_bytes() is None
    (line,) = unread(None, Budget(device_bytes=1))
    assert "could not be checked" in line
    assert not unread(0, Budget(device_bytes=1))
    assert not unread(None, Budget())


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 9\n", "not a program"])
def test_a_driver_that_says_nothing_is_none(driver: Path, script: str) -> None:
    driver.with_name("nvidia-smi").write_text(script)
    assert device_bytes() is None


def test_without_a_driver_and_torch_there_is_no_peak(no_driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert DevicePeak().look() is None
    assert "torch" not in sys.modules


def test_the_peak_is_the_larger_of_the_allocators_and_the_drivers(driver: Path, cuda: Cuda) -> None:
    cuda.peak = 999 * MIB  # of something earlier
    peak = DevicePeak()
    cuda.peak = 40 * MIB
    assert peak.look() == 40 * MIB
    driver.write_text("50")
    assert peak.look() == 50 * MIB
    driver.write_text("5")
    assert peak.look() == 50 * MIB
    cuda.used = False
    assert DevicePeak().look() == 5 * MIB


def test_the_limit_waits_for_the_gpus_first_use_and_leaves_out_cudas_own_memory(driver: Path, cuda: Cuda) -> None:
    limit(Budget())
    assert not cuda.queued
    limit(Budget(device_bytes=600 * MIB))
    assert cuda.fraction is None
    driver.write_text("100")
    cuda.queued[0]()
    assert cuda.fraction == pytest.approx(0.5)
    limit(Budget(device_bytes=50 * MIB))
    cuda.queued[1]()
    assert cuda.fraction == 0


def test_no_gpu_no_limit(no_driver: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    limit(Budget(device_bytes=1))
    assert "torch" not in sys.modules


def raised(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried\nmore"), "CUDA out of memory. Tried"),
        (DeviceMemoryError("one row alone"), "one row alone"),
        (RuntimeError("Faiss: alloc fail (cudaMalloc error out of memory [2])"), "Faiss: alloc fail"),
        (raised(DataError("cannot be loaded"), OutOfMemoryError("CUDA")), "cannot be loaded"),
    ],
)
def test_a_lack_of_device_memory_breaks_the_budget_or_crashes(cuda: Cuda, error: Exception, said: str) -> None:
    outcome, reason = ending(error, Budget()) or ("", "")
    assert (outcome, reason.startswith(f"out of device memory: {said}")) == ("crashed", True)
    outcome, reason = ending(error, Budget(device_bytes=5000)) or ("", "")
    assert (outcome, reason.startswith(said)) == ("over_budget", True)
    assert reason.endswith("(5,000 bytes are allowed: device_bytes)")
    assert "\n" not in reason


def test_other_errors_are_not_of_device_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert ending(RuntimeError("CUDA error: an illegal access"), Budget()) is None
    assert ending(MemoryError("out of memory"), Budget(device_bytes=1)) is None


def test_a_peak_over_the_budget_names_it() -> None:
    assert breach_of_device(None, Budget(device_bytes=5), "at the build") is None
    assert breach_of_device(9, Budget(), "at the build") is None
    assert breach_of_device(5, Budget(device_bytes=5), "at the build") is None
    found = breach_of_device(6000, Budget(device_bytes=5), "at the build")
    assert found == "6,000 bytes on the device at the build, 5 are allowed (device_bytes)"


def test_both_peaks_are_in_the_record() -> None:
    facts = FACTS.model_copy(update={"device_peak_bytes": 7})
    found = {m.name: (m.value, m.unit) for m in made.memory(facts, 1, 0.1, 5)}
    assert found["build_device_bytes"] == (7, "byte")
    assert found["device_bytes"] == (5, "byte")
    assert "build_device_bytes" not in {m.name for m in made.memory(FACTS, 1, 0.1, None)}


def plan(**budget: int) -> BuildPlan:
    card = SystemCard(name="flat", summary="", kind="index", backend="flat")
    return BuildPlan(
        build_id="b", card=card, build={}, trials=(TrialPlan(trial_id="t", search={}),), dataset_folder=Path(),
        out=Path(), budget=Budget.model_validate({"threads": 1, **budget}), threads=1, seed=0, depth=1,
        effort=Effort(), plugin="json", splits=("test",),
    )  # fmt: skip


def sent(job: Job) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    line: Any = SimpleNamespace(send=lambda **event: events.append(event))
    child.main(job.model_dump_json(), line, 0)
    return events


@pytest.mark.parametrize(("budget", "outcome"), [({}, "crashed"), ({"device_bytes": 9}, "over_budget")])
def test_a_build_that_lacks_device_memory_ends_as_the_budget_says(
    cuda: Cuda, budget: dict[str, int], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(plan: BuildPlan, line: Line) -> None:
        raise OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(child, "build", build)
    (event,) = sent(Job(stage="build", plan=plan(**budget)))
    assert event["outcome"] == outcome
    assert "CUDA out of memory" in event["reason"]
    assert len(cuda.queued) == len(budget)  # the limit stands before the build begins


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "build", lambda plan, line: [].pop())
    with pytest.raises(IndexError):
        sent(Job(stage="build", plan=plan()))


def test_a_trial_says_its_peak_its_end_and_each_note_once(
    cuda: Cuda, no_driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(serve, "trial_record", lambda *args, **said: written.append(said))
    monkeypatch.setattr(serve, "Store", lambda out: SimpleNamespace(write=lambda *args: None))
    monkeypatch.setattr(serve, "private_bytes", lambda: 0)
    monkeypatch.setattr(serve, "breach_of_threads", lambda threads, used: None)  # other tests' threads may be at work
    silent: Any = SimpleNamespace(phase=lambda name: nullcontext())
    server = Server.__new__(Server)
    server.plan, server.facts = plan(device_bytes=100), FACTS.model_copy(update={"notes": ("a", "b")})
    server.dataset = SimpleNamespace(queries={}, corpus=[])  # type: ignore[assignment]
    server.system = SimpleNamespace(notes=["b", "c", "c"])  # type: ignore[assignment]
    server.private = server._before = server._held = 0
    server.load_seconds, server._loading = 0.1, 80

    def search(trial: TrialPlan, found: Any, notes: list[str]) -> dict[str, Any]:
        notes.append("c")
        cuda.peak = peaks.pop(0)
        if not peaks:
            raise OutOfMemoryError("CUDA out of memory.")
        return {}

    monkeypatch.setattr(server, "_search", search)
    peaks = [20, 101, 0]
    for _ in range(3):
        server.measure(server.plan.trials[0], silent)
    assert [said["reason"][:4] for said in written] == ["", "101 ", "CUDA"]
    assert [said["outcome"] for said in written] == ["ok", "over_budget", "over_budget"]
    figures = [{m.name: m.value for m in said["found"]} for said in written]
    assert [f.get("device_bytes") for f in figures] == [80, 101, None]  # loading counts
    assert written[1]["reason"] == "101 bytes on the device while serving, 100 are allowed (device_bytes)"
    assert "CUDA out of memory" in written[2]["reason"]
    assert all(said["notes"][0] == "c" and sorted(said["notes"]) == ["a", "b", "c"] for said in written)


def test_the_helper_imports_no_torch() -> None:
    assert not hasattr(device_memory, "torch")
