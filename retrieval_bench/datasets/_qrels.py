"""Files of judgments, plain or gzipped: BEIR's, in three columns or JSON lines, and TREC's, in four."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval_bench.datasets._json_lines import json_lines
from retrieval_bench.datasets._judgments import JudgmentRows, Judgments
from retrieval_bench.datasets._lines import BLANK, blank_separated, numbered_lines
from retrieval_bench.errors import DataError

_KEYS = ("query-id", "corpus-id", "score")
# A header is told by its first name alone, or by its first and last where the first may be an id.
_SURE_HEADS, _HEADS = ("query-id", "qid"), ("query", "topic", "topic-id", "q", "id")
_GRADE_HEADS = ("score", "grade", "relevance", "rel", "label", "judgment", "judgement")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def qrels_files(folder: Path) -> dict[str, Path]:
    """Name of each split to its file, ``test.tsv`` or ``test.jsonl``; of two for one split the table is taken."""
    files = {}
    for suffix in (".jsonl", ".tsv"):
        for file in sorted([*folder.glob(f"*{suffix}"), *folder.glob(f"*{suffix}.gz")]):
            files[file.name.removesuffix(".gz").removesuffix(suffix)] = file
    return files


def read_beir_qrels(path: Path) -> Judgments:
    """Read rows ``query-id<TAB>corpus-id<TAB>score``, whose header may be left out, or JSON lines with these keys.

    Raises:
        DataError: a row lacks a column, a grade is not a whole number, or there is no row.
    """
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return _json_qrels(path)
    rows = JudgmentRows(str(path))
    for number, fields in _rows(path, "\t"):
        if len(fields) != 3:
            raise DataError(
                f"{path}:{number}: has {len(fields)} columns, not three separated by tabs ({', '.join(_KEYS)})"
            )
        rows.add(_unquoted(fields[0]), _unquoted(fields[1]), _unquoted(fields[2]), number)
    return rows.finish()


def read_qrels(path: Path) -> Judgments:
    """Read judgments: query id, a field without use, document id, grade, separated by blanks; or a BEIR file.

    Raises:
        DataError: a line does not have four fields, a grade is not a whole number, or there is no line.
    """
    first = next((line for _, line in numbered_lines(path) if line.strip(BLANK)), "")
    if len(blank_separated(first)) == 3 or first.startswith("{"):
        return read_beir_qrels(path)
    rows = JudgmentRows(str(path))
    for number, fields in _rows(path, None):
        if len(fields) != 4:
            raise DataError(f"{path}:{number}: has {len(fields)} fields, not the 4 of 'query-id 0 document-id grade'")
        rows.add(fields[0], fields[2], fields[3], number)
    return rows.finish()


def _rows(path: Path, separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each line that is neither blank nor a header."""
    first = True
    for number, line in numbered_lines(path):
        if not line.strip(BLANK):
            continue
        fields = blank_separated(line) if separator is None else [f.strip(BLANK) for f in line.split(separator)]
        if not (first and _is_header(fields)):
            yield number, fields
        first = False


def _is_header(fields: list[str]) -> bool:
    names = [_unquoted(field).lower().replace("_", "-") for field in fields]
    return names[0] in _SURE_HEADS or (names[0] in _HEADS and names[-1] in _GRADE_HEADS)


def _unquoted(field: str) -> str:
    """A field as CSV writers mean it: in quotes where it holds some, and those doubled, as in DBPedia's ids."""
    return field[1:-1].replace('""', '"') if _QUOTED.fullmatch(field) else field


def _json_qrels(path: Path) -> Judgments:
    rows = JudgmentRows(str(path))
    for number, row in json_lines(path):
        values: list[Any] = [row.get(key) for key in _KEYS] if isinstance(row, dict) else []
        if not values or not all(isinstance(value, str | int | float) for value in values):
            raise DataError(f"{path}:{number}: needs the keys {', '.join(map(repr, _KEYS))} with a value each")
        query_id, document_id, grade = values
        rows.add(str(query_id), str(document_id), grade, number)
    return rows.finish()
