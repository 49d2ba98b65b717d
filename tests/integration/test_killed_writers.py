"""Killed at any step, a writer leaves the old or the new, and nothing that the next one does not clear away."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import retrieval_bench as rb
from retrieval_bench import replacing
from retrieval_bench.errors import DataError
from retrieval_bench.files import atomic_file, atomic_folder, locked

KILLED = 77


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that ends at its ``step``-th call of the file system; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = [step]

        def count(event: str, _: object) -> None:
            if event == "open" or event.startswith(("os.", "shutil.", "tempfile.")):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(KILLED)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["exchange", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two renames":
        monkeypatch.setattr(replacing, "_renameat2", lambda: None)
    return str(request.param)


def test_a_folder_killed_at_any_step_is_the_old_or_the_new_one(tmp_path: Path, way: str) -> None:
    def write(content: str) -> None:
        with atomic_folder(tmp_path / "index") as folder:
            for name in ("a", "b"):
                (folder / name).write_text(content)

    write("old")
    step, seen = 0, set()
    while killed_at(step, lambda: write("new")):
        replacing.restore(tmp_path / "index")  # as ``load`` does
        seen.add(tuple((tmp_path / "index" / name).read_text() for name in ("a", "b")))
        write("old")
        assert names(tmp_path) == ["index"], f"{way}, step {step}"
        step += 1
    assert seen == {("old", "old"), ("new", "new")}
    assert step > 15  # it was killed indeed
    assert names(tmp_path) == ["index"]


def test_an_export_that_was_killed_still_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "_renameat2", lambda: None)
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    old, new = (rb.build("flat", part, metric="l2") for part in (vectors[:20], vectors))
    folder = old.save(tmp_path / "index")
    monkeypatch.setattr(replacing, "remove", lambda _: os._exit(KILLED))
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(replacing, "_renamed", lambda *_: os._exit(KILLED) if not folder.exists() else False)
        new.save(folder)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
    monkeypatch.undo()
    assert names(tmp_path)[0].startswith(".index.new-")
    assert len(names(tmp_path)) == 2  # the old one was moved away
    assert len(rb.load(folder)) == 20
    assert len(rb.load(new.save(folder))) == 30
    assert names(tmp_path) == ["index"]


def test_a_file_killed_at_any_step_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    def write(text: str) -> None:
        with atomic_file(tmp_path / "a.txt") as new:
            new.write_text(text)

    write("old")
    step = 0
    while killed_at(step, lambda: write("new")):
        assert (tmp_path / "a.txt").read_text() in ("old", "new")
        step += 1
    replacing.sweep(tmp_path)
    assert step > 3
    assert names(tmp_path) == ["a.txt"]


def test_what_a_live_writer_has_begun_is_not_swept(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "index") as mine:
        (mine / "a").write_text("mine")
        child = os.fork()
        if child == 0:
            with atomic_folder(tmp_path / "index") as theirs:
                (theirs / "a").write_text("theirs")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert (tmp_path / "index" / "a").read_text() == "theirs"
        assert (mine / "a").read_text() == "mine"
    assert (tmp_path / "index" / "a").read_text() == "mine"
    assert names(tmp_path) == ["index"]


def test_a_file_is_not_put_in_the_place_of_a_folder_nor_a_folder_in_that_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").write_text("work")
    (tmp_path / "file").write_text("work")
    with pytest.raises(DataError), atomic_file(tmp_path / "folder"):
        pass
    with pytest.raises(DataError), atomic_folder(tmp_path / "file"):
        pass
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "folder" / "thesis").read_text() == (tmp_path / "file").read_text() == "work"


def test_two_runs_prepare_one_data_set_one_after_the_other(tmp_path: Path) -> None:
    """The second of two processes waits for the first, and finds done what it wanted to do."""
    reader, writer = os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            with locked(tmp_path / "data"):
                if not (tmp_path / "data").exists():
                    os.write(writer, b"x")
                    (tmp_path / "data").touch()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    os.close(writer)
    assert os.read(reader, 10) == b"x"


def test_workers_forked_after_a_load_search_with_two_threads(tmp_path: Path) -> None:
    """A pool of OpenMP that was started before a fork is waited for in the child for ever."""
    vectors = np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32)
    wanted = [
        name for name, engine in (("ivf", "faiss"), ("leanvec", "faiss"), ("torch_flat", "torch")) if find_spec(engine)
    ]
    for backend in wanted:
        rb.build(backend, vectors, metric="l2").save(tmp_path / backend)
    program = f"""
    import os, signal, sys
    import numpy as np
    import retrieval_bench as rb
    loaded = [rb.load({str(tmp_path)!r} + "/" + name) for name in {wanted}]
    asked = np.random.default_rng(1).normal(size=(256, 64)).astype(np.float32)
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            signal.alarm(60)
            for each in loaded:
                each.search(asked, k=5)
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitpid(child, 0)[1] for child in children))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=False, timeout=180, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, f"ended by signal {done.returncode & 127} {done.stderr}"
