"""Putting a new file or folder in the place of an old one, at once: killed anywhere, one of the two stands there.

What is being written stands beside its place under a name that tells whose it is, and is locked by its writer. The
lock ends with the process, so that the next writer can tell what a kill left from what another is writing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

_NEW, _OLD = "new-", "old-"
_LEFT = re.compile(r"\.(.+)\.(new-|old-)[a-z0-9_]{8}(?:\..*)?")
_HERE, _EXCHANGE = -100, 2  # of Linux: paths are relative to the working directory; swap two names
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.ENOTSUP, errno.EPERM}


@contextlib.contextmanager
def beside(path: Path, *, folder: bool) -> Iterator[Path]:
    """Yield a new, empty, locked file or folder beside ``path``; what has its name at the end is removed."""
    made, number = _made(path, folder=folder)
    try:
        yield made
    finally:
        remove(made)
        os.close(number)


def _made(path: Path, *, folder: bool) -> tuple[Path, int]:
    prefix = _prefix(path, _NEW)
    while True:
        if folder:
            made = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix))
        else:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
            os.close(handle)
            made = Path(name)
        with contextlib.suppress(FileNotFoundError):
            number = os.open(made, os.O_RDONLY)
            if lock(number) is not False:
                return made, number
            os.close(number)  # another writer took it for what a kill left, and is removing it


def lock(number: int, *, wait: bool = False) -> bool | None:
    """Lock an open file; False where another has it, None where the file system has no locks."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def replace(new: Path, path: Path) -> None:
    """Put the folder ``new`` in the place of the folder ``path``, if there is one; that stands nowhere afterwards.

    Raises:
        OSError: ``path`` is no folder, or cannot be replaced.
    """
    while not _renamed(new, path):
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        if _exchanged(new, path):
            break
        aside = new.with_name(new.name.replace(f".{_NEW}", f".{_OLD}", 1))
        path.rename(aside)  # killed after this, ``restore`` brings it back
        if _renamed(new, path):
            remove(aside)
            break
    sync(path.parent)


def _renamed(new: Path, path: Path) -> bool:
    """Rename, unless something stands there."""
    if os.path.lexists(path):
        return False
    try:
        new.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False  # another writer was quicker
        raise
    return True


@cache
def _renameat2() -> Any:
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None


def _exchanged(new: Path, path: Path) -> bool:
    """Swap two names in one step; False where the system cannot."""
    call = _renameat2()
    if call is None:
        return False
    sys.audit("os.rename", new, path, -1, -1)
    if call(_HERE, os.fsencode(new), _HERE, os.fsencode(path), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(path))


def restore(path: Path) -> None:
    """Bring back what a kill left beside ``path`` between two renames, where nothing stands in its place."""
    if not os.path.lexists(path):
        for left in _left(path.parent):
            if left.name.startswith(_prefix(path, _OLD)):
                with contextlib.suppress(OSError):
                    left.rename(path)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder, or bring it back; what a live one writes there stays."""
    for left in _left(folder):
        name, state = _LEFT.fullmatch(left.name).groups()  # type: ignore[union-attr]  # else it were not listed
        if state == _OLD:
            restore(folder / name)
        with contextlib.suppress(OSError):
            number = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            if lock(number):
                remove(left)
            os.close(number)


def _prefix(path: Path, state: str) -> str:
    return f".{path.name}.{state}"


def _left(folder: Path) -> list[Path]:
    try:
        return [folder / entry.name for entry in os.scandir(folder) if _LEFT.fullmatch(entry.name)]
    except OSError:
        return []


def remove(path: Path) -> None:
    """Remove a file or folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that cannot sync a folder need not
            raise
    finally:
        os.close(number)
