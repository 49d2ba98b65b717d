"""Where things live on disk, and writing so that nothing half-written is ever seen."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retrieval_bench.errors import DataError


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


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
