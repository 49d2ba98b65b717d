"""Text files line by line, plain or gzipped, with errors that name the file and the line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from retrieval_bench.errors import DataError


def plain_or_gzipped(folder: Path, name: str) -> Path | None:
    """``folder/name`` or ``folder/name.gz``, whichever is there."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def numbered_lines(path: Path, *, fallback: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of a UTF-8 file; a leading byte-order mark is dropped.

    Args:
        path: read through gzip when its name ends in ``.gz``.
        fallback: encoding of lines that are not UTF-8; None refuses them.

    Raises:
        DataError: there is no such file, a line is not UTF-8, or the compressed file is damaged or cut short.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_dir():
        raise DataError(f"{path}: cannot be read (Is a directory)")
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.rstrip(b"\r\n")
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                try:
                    yield number, line.decode()
                except UnicodeDecodeError as error:
                    if fallback is None:
                        raise DataError(
                            f"{path}:{number}: is not UTF-8 text ({error.reason}); convert the file"
                        ) from error
                    yield number, line.decode(fallback)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged or cut short after line {number} ({error}); get the file again") from error
