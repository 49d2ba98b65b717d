"""Threads: one number for every engine, on processors of different cores."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval_bench import processors
from retrieval_bench.processors import one_per_core_first, usable_cores
from retrieval_bench.registry import indexes
from retrieval_bench.threads import limited, threads
from retrieval_bench.types import Budget, Corpus, Queries, RowIds


def machine(folder: Path, *siblings: str) -> Path:
    """A made-up /sys/devices/system/cpu whose processor i is of the core that this text describes."""
    for number, text in enumerate(siblings):
        place = folder / f"cpu{number}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(text + "\n")
    return folder


def test_processors_are_taken_from_different_cores_first(tmp_path: Path) -> None:
    beside = machine(tmp_path / "beside", "0-1", "0-1", "2-3", "2-3")  # siblings have neighboring numbers
    assert one_per_core_first(range(4), cpus=beside) == [0, 2, 1, 3]
    apart = machine(tmp_path / "apart", "0,2", "1,3", "0,2", "1,3")
    assert one_per_core_first(range(4), cpus=apart) == [0, 1, 2, 3]
    assert one_per_core_first([3, 2, 1], cpus=beside) == [1, 2, 3], "of those that we may use alone"
    assert one_per_core_first([5, 4], cpus=tmp_path / "nothing") == [4, 5]


def test_cores_are_counted_not_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "usable_processors", lambda: [0, 1, 2])
    beside = machine(tmp_path / "beside", "0-1", "0-1", "2-3", "2-3")
    assert usable_cores(cpus=beside, cgroup=tmp_path) == 2
    assert usable_cores(cpus=tmp_path, cgroup=tmp_path) == 3


@pytest.mark.parametrize(("text", "cores"), [("max 100000", 3), ("150000 100000", 2), ("1000 100000", 1), ("?", 3)])
def test_a_control_group_may_be_given_the_time_of_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cores: int
) -> None:
    monkeypatch.setattr(processors, "usable_processors", lambda: [0, 1, 2])
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(cpus=tmp_path, cgroup=tmp_path) == cores
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1" if cores == 3 else text.split()[0])
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert usable_cores(cpus=tmp_path, cgroup=tmp_path) == cores


def test_the_number_is_what_was_asked_for_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads() == usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "7,3")
    assert threads() == 7
    with limited(3):
        assert threads() == 3
        with limited(None):
            assert threads() == 3
        elsewhere: list[int] = []
        other = threading.Thread(target=lambda: elsewhere.append(threads()))
        other.start()
        other.join()
        assert elsewhere == [3], "it is one number for the process"
    assert threads() == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() == usable_cores()


def test_torch_follows_where_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torch:
        number = 5

        def get_num_threads(self) -> int:
            return self.number

        def set_num_threads(self, number: int) -> None:
            self.number = number

    torch = Torch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    with limited(1):
        assert torch.number == 1
    assert torch.number == 5


class Spy:
    """Stands before a library's index and keeps the numbers of threads that its calls are given."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.given: list[int] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)

        def call(*args: Any, **named: Any) -> Any:
            self.given += [value for key, value in named.items() if key in ("threads", "num_threads")]
            return found(*args, **named)

        return call if callable(found) else found


@pytest.mark.parametrize("name", ["hnswlib", "usearch"])
def test_a_peer_gets_the_threads_of_the_process(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip(name)
    vectors = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    index: Any = indexes.get(name)()
    place, maker = (module, "Index") if name == "hnswlib" else (sys.modules[type(index).__module__], "Graph")
    real, made = getattr(place, maker), []

    def make(*args: Any, **named: Any) -> Spy:
        made.append(Spy(real(*args, **named)))
        return made[-1]

    monkeypatch.setattr(place, maker, make)
    corpus = Corpus(ids=RowIds(60), vectors=vectors)
    with limited(3):
        index.build(corpus, index.BuildParams(), Budget(threads=2), metric="l2")
        index.search(Queries(ids=RowIds(5), vectors=vectors[:5]), 3, index.SearchParams(ef=20))
    assert made[-1].given == [2, 3], "the budget's for the build, the process's for answers"
