"""Where things live on disk, and writing so that nothing half-written is ever seen."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

from retrieval_bench.errors import ArtifactError, DataError
from retrieval_bench.replacing import beside, lock, replace, sweep, sync

_NO_LINK, _NO_WAIT = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)


def home() -> Path:
    """Folder of downloads, caches and results: ``$RETRIEVAL_BENCH_HOME``, or the user's cache folder."""
    if chosen := os.environ.get("RETRIEVAL_BENCH_HOME"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "retrieval-bench"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "retrieval-bench"


def _explain(error: OSError, path: Path) -> DataError:
    if error.errno == errno.ENOSPC:
        return DataError(f"{path}: the disk is full; free some space or choose another folder")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DataError(f"{path}: no permission to write there; choose another folder (--out, RETRIEVAL_BENCH_HOME)")
    return DataError(
        f"{path}: cannot be written ({error.strerror or error}); choose another folder (--out, RETRIEVAL_BENCH_HOME)"
    )


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success sync and rename it, on failure remove it.

    Raises:
        DataError: the disk is full or the folder cannot be written to.
    """
    path = Path(os.path.normpath(path.absolute()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        with beside(path, folder=False) as temporary:
            yield temporary
            sync(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        raise _explain(error, path) from error


@cache
def _sweep_once(folder: Path) -> None:
    """Not at every writing of a file: looking through a folder of many files takes longer than writing one."""
    sweep(folder)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; on success it takes the place of ``path``.

    At no moment is there neither the old folder nor the new one; what an earlier writer that was killed left beside
    it is removed.

    Raises:
        DataError: the disk is full or the folder cannot be written to.
    """
    path = Path(os.path.normpath(path.absolute()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        with beside(path, folder=True) as temporary:
            yield temporary
            for written in (*temporary.rglob("*"), temporary):
                sync(written)
            temporary.chmod(0o755)
            replace(temporary, path)
    except OSError as error:
        raise _explain(error, path) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make others that want the lock of ``path`` wait, in this process or another; ``path`` itself need not be there.

    Raises:
        DataError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = (path.parent / f".{path.name}.lock").open("w")
    except OSError as error:
        raise _explain(error, path) from error
    with file:
        lock(file.fileno(), wait=True)
        yield


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading that must be a regular one; never waits, as opening a pipe would, and follows no link.

    Raises:
        ArtifactError: it is missing, cannot be read, or is a link, folder, pipe, socket or device.
    """
    try:
        number = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be opened ({error.strerror})"
        raise ArtifactError(f"{path}: {reason}; build the index again") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ArtifactError(f"{path}: is no regular file; build the index again")
    return os.fdopen(number, "rb")


def read_small(path: Path, most: int = 1 << 18) -> bytes:
    """The bytes of a small regular file of an artifact.

    Raises:
        ArtifactError: as ``open_regular``, or longer than ``most`` bytes.
    """
    with open_regular(path) as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise ArtifactError(f"{path}: is longer than {most:,} bytes; build the index again")
    return text


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
