import errno
import os
from pathlib import Path

import pytest

from retrieval_bench.errors import DataError
from retrieval_bench.files import atomic_file, atomic_folder, home, write_text


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as temporary:
        temporary.write_text(str(1 / len(temporary.read_text())))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Is a directory"), atomic_folder(tmp_path / "index") as temporary:
        temporary.write_text("a folder is not a file")
    assert [p.name for p in tmp_path.iterdir()] == []


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with atomic_folder(tmp_path / "index") as temporary:
            (temporary / content).write_text(content)
    assert [p.name for p in (tmp_path / "index").iterdir()] == ["two"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "no permission to write"),
        (errno.EROFS, "no permission"),
        (errno.ENOENT, r"cannot be written \(No such file or directory\); choose another folder \(--out"),
    ],
)
def test_the_systems_errors_become_one_clear_line(tmp_path: Path, code: int, expected: str) -> None:
    for make in (atomic_file, atomic_folder):
        with pytest.raises(DataError, match=expected) as error, make(tmp_path / "out"):
            raise OSError(code, os.strerror(code))
        assert str(tmp_path / "out") in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_really_full_device(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the disk is full"), atomic_file(tmp_path / "out"):
        Path("/dev/full").write_text("x" * 100_000)
    assert [p.name for p in tmp_path.iterdir()] == []


def test_home_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path / "here"))
    assert home() == tmp_path / "here"
    monkeypatch.delenv("RETRIEVAL_BENCH_HOME")
    assert home().name == "retrieval-bench"
