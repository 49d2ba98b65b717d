"""Text files line by line, plain or gzipped, with errors that name the file and the line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from retrieval_bench.errors import DataError

BLANK = " \t\n\v\f\r"
_BLANKS = re.compile(f"[{BLANK}]+")
_GZIP, _COMPRESS = b"\x1f\x8b", b"\x1f\x9d"  # how packed files begin


def plain_or_gzipped(folder: Path, name: str) -> Path | None:
    """``folder/name`` or ``folder/name.gz``, whichever is there."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def blank_separated(line: str) -> list[str]:
    """The fields of a line of a TREC file, which only ASCII blanks part, as in trec_eval: an id may hold any other."""
    return _BLANKS.split(line.strip(BLANK)) if line.strip(BLANK) else []


def numbered_lines(path: Path, *, fallback: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of a UTF-8 file; a leading byte-order mark is dropped.

    Args:
        path: plain or gzipped, whatever its name.
        fallback: encoding of lines that are not UTF-8; None refuses them.

    Raises:
        DataError: there is no such file, a line is not UTF-8, or the packed file is damaged, cut short or not gzipped.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_dir():
        raise DataError(f"{path}: cannot be read (Is a directory)")
    number = 0
    try:
        with _unpacked(path) as file:
            for number, raw in enumerate(file, start=1):
                line = raw.rstrip(b"\r\n")
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield number, _decoded(line, fallback, where=f"{path}:{number}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged or cut short after line {number} ({error}); get the file again") from error


def _decoded(line: bytes, fallback: str | None, *, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        with suppress(UnicodeDecodeError):
            if fallback is not None:
                return line.decode(fallback)
        others = f", and not {fallback} either" if fallback else ""
        raise DataError(f"{where}: is not UTF-8 text ({error.reason}){others}; convert the file") from error


def first_bytes(path: Path, count: int = 4096) -> bytes:
    """How a file begins, unpacked where it is gzipped.

    Raises:
        DataError: as ``numbered_lines``.
    """
    try:
        with _unpacked(path) as file:
            return file.read(count)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged or cut short ({error}); get the file again") from error


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("rb") as file:
        magic = file.peek(2)[:2]  # a pipe cannot be wound back
        if magic == _COMPRESS:
            raise DataError(f"{path}: is packed by `compress`; unpack it with `gzip -dc < FILE > NEW` and remove it")
        if magic == _GZIP or path.suffix == ".gz":
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file
