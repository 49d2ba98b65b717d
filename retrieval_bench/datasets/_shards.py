"""Tables in several files, whose names say which part of how many each is: ``train-00000-of-00002.parquet``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from retrieval_bench.errors import DataError

_PART = re.compile(r"(?P<name>.+?)[-_.](?P<part>\d+)[-_]of[-_](?P<count>\d+)")


def tables(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The files of each table, in order; by the name that a table in one file would have.

    Raises:
        DataError: a part is missing; names it.
    """
    found: dict[str, dict[int, Path]] = {}
    counts: dict[str, set[int]] = {}
    for file in files:
        part = _PART.fullmatch(file.stem)
        name = f"{part['name']}{file.suffix}" if part else file.name
        found.setdefault(name, {})[int(part["part"]) if part else -1] = file
        counts.setdefault(name, set()).add(int(part["count"]) if part else 0)
    for name, parts in found.items():
        first = parts[min(parts)]
        count, *others = counts[name]
        if others:
            raise DataError(f"{first}: the parts of {name} do not agree on how many they are; get them again")
        if count and sorted(parts) not in (list(range(count)), list(range(1, count + 1))):
            raise DataError(f"{first.parent}: has {len(parts)} of the {count} parts of {name}; get the others too")
    return {name: [parts[number] for number in sorted(parts)] for name, parts in found.items()}


def part_of(file: Path) -> str:
    """A note where a file is one of several parts of a table; else empty."""
    part = _PART.fullmatch(file.stem)
    if part is None or int(part["count"]) < 2:
        return ""
    return f"{file.name} is one of {int(part['count'])} parts of a table; give its folder to read them all"
