"""CSV files of vectors: a row for each, its columns the dimensions, with or without a header and a column of ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from retrieval_bench.datasets._lines import first_bytes
from retrieval_bench.datasets._tables import IDS, described, number_columns, read_as, stacked
from retrieval_bench.datasets._vectorset import vector_dataset
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen

_SEPARATORS = ",;\t"
_BEGIN = 1 << 18  # bytes looked at to tell what a file holds: a header of 10,000 columns and a row


class Options(Frozen):
    """There are none: the columns say what they are."""


def holds_vectors(path: Path) -> bool:
    """Whether a CSV file's second line is numbers, one field aside: no text that could be a review's record."""
    lines = [line for line in _beginning(path) if line.strip()]
    fields = lines[1].split(_separator(lines[1])) if len(lines) > 1 else []
    numbers = sum(_is_number(field) for field in fields)
    return numbers > 1 and numbers >= len(fields) - 1


@readers.register("table")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read a CSV file as a corpus of vectors, separated by commas, semicolons or tabs. ``l2`` unless the card says.

    A first line that is not numbers, or that counts the columns from 0, names them. A column called ``id``, one that
    has no name, or the only one of texts holds the ids; all others must be numbers, which become float32.

    Raises:
        DataError: not such a table, or a value is missing; names the row.
    """
    validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_file():
        raise DataError(f"{path or card.name}: a table of vectors is one CSV file")
    table = _table(path)
    ids, names = number_columns(table)
    if not names:
        raise DataError(
            f"{path}: no table of vectors, whose columns are numbers, but for one of ids (found: {described(table)}); "
            "name the columns, each by a name of its own, and leave out the others"
        )
    named = None if ids is None else [str(value) for value in table[ids].to_pylist()]
    if ids is not None and table[ids].null_count:
        row = int(np.argmax(table[ids].is_null().to_numpy()))
        raise DataError(f"{path}: row {row} has nothing in the column {ids!r}")
    return vector_dataset(
        card,
        source=str(path),
        metric=card.metric or "l2",
        corpus=stacked(table, names, source=path),
        queries={},
        ids=named,
        notes=[read_as(names)],
    )


def _table(path: Path) -> pa.Table:
    begin = next((line for line in _beginning(path) if line.strip()), "")
    separator = _separator(begin)
    fields = [field.strip().strip('"') for field in begin.split(separator)]
    header = sum(map(_is_number, fields)) < max(1, len(fields) - 1) or fields[0] in IDS or _counted(fields)
    try:
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(autogenerate_column_names=not header, use_threads=False),
            parse_options=csv.ParseOptions(delimiter=separator),
        )
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read as a table ({reason:.200}); mend the row") from error


def _counted(fields: list[str]) -> bool:
    """Whether fields count the columns from 0, all or those after the first, as pandas writes them."""
    return any(rest == [str(place) for place in range(len(rest))] for rest in (fields, fields[1:]))


def _beginning(path: Path) -> list[str]:
    text = first_bytes(path, _BEGIN).decode("utf-8-sig", "replace")
    return text.splitlines()


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _is_number(field: str) -> bool:
    try:
        float(field.strip().strip('"'))
    except ValueError:
        return False
    return True
