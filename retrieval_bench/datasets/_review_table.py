"""Tables of records with decisions, under the names that review tools and published data give their columns."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from retrieval_bench.datasets._lines import numbered_lines
from retrieval_bench.errors import DataError

_IDS = ("id", "record_id", "openalex_id")
_NEEDED = {
    "title": ("title", "primary_title"),
    "abstract": ("abstract", "notes_abstract"),
    "included": ("included", "label_included", "label", "included_label", "final_included"),
}
_SEPARATORS = ",;\t"


class Row(NamedTuple):
    """A record; ``line`` is the one it ends on, ``decision`` is as it stands there."""

    line: int
    id: str
    title: str
    abstract: str
    decision: str


def review_rows(path: Path, decision: str) -> Iterator[Row]:
    """The records of a file with a header line, separated by commas, semicolons or tabs.

    Args:
        path: UTF-8 text; where no column holds ids, the rows are numbered from 1.
        decision: the column that is asked for; ``included`` goes by the names of ASReview and SYNERGY too.

    Raises:
        DataError: a column is missing, a row has more or fewer fields than the header, or the quotes do not match.
    """
    text = "\n".join(line for _, line in numbered_lines(path))
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # abstracts may be longer than the default of 128 KiB
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        titles, abstracts, decisions = (
            _place(path, header, _NEEDED.get(column, (column,))) for column in ("title", "abstract", decision)
        )
        ids = next((header.index(name) for name in _IDS if name in header), None)
        for number, row in enumerate(filter(None, rows), start=1):
            if len(row) != len(header):
                raise DataError(f"{path}:{rows.line_num}: has not as many fields as the header has columns")
            key = str(number) if ids is None else row[ids].strip()
            yield Row(rows.line_num, key, row[titles].strip(), row[abstracts].strip(), row[decisions].strip())
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: not valid CSV ({error}); mend the quotes of that record") from error


def _separator(text: str) -> str:
    header = text.replace("\r", "\n", 1).partition("\n")[0]
    return max(_SEPARATORS, key=header.count)


def _place(path: Path, header: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    others = f" (or {', '.join(names[1:])})" if names[1:] else ""
    raise DataError(
        f"{path}: has no column {names[0]!r}{others}; a review has a header line with title, abstract and included, "
        "a table of vectors nothing but columns of numbers and one of ids"
    )
