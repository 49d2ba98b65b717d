"""Where things live on disk, and writing so that nothing half-written is ever seen."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from retrieval_bench.errors import ArtifactError, DataError

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
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise _explain(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; on success rename it to ``path``, replacing what was there.

    Raises:
        DataError: the disk is full or the folder cannot be written to.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        raise _explain(error, path) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


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
        raise ArtifactError(f"{path}: {reason}; build or export the index again") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ArtifactError(f"{path}: is no regular file; build or export the index again")
    return os.fdopen(number, "rb")


def read_small(path: Path, most: int = 1 << 20) -> bytes:
    """The bytes of a small regular file of an artifact.

    Raises:
        ArtifactError: as ``open_regular``, or longer than ``most`` bytes.
    """
    with open_regular(path) as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise ArtifactError(f"{path}: is longer than {most:,} bytes; build or export the index again")
    return text


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
