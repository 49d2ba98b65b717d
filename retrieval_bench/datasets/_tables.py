"""Tables: Parquet, read no larger than its file can be, and columns of numbers as the vectors of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retrieval_bench.datasets._asked import listed
from retrieval_bench.datasets._bounds import check_claim
from retrieval_bench.errors import DataError
from retrieval_bench.types import FloatArray

IDS = ("id", "_id", "doc_id", "docid", "document_id")
_INDEX = ("", "index", "Unnamed: 0", "__index_level_0__")  # what pandas calls the column of its row labels
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_BATCH = 1024  # rows decoded together: bounds what a value that repeats can unpack to


def read_parquet(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file, or those of some columns that it has.

    Raises:
        DataError: not Parquet, damaged, or it claims to hold far more than its bytes can.
    """
    try:
        with pq.ParquetFile(file, memory_map=True) as opened:
            stored = file.stat().st_size
            check_claim(_fixed_bytes(opened.metadata), stored, source=str(file))
            batches, held = [], 0
            for batch in opened.iter_batches(_BATCH, columns=columns):
                held += batch.nbytes
                check_claim(held, stored, source=str(file))
                batches.append(batch)
            schema = None if batches else opened.schema_arrow
            return pa.Table.from_batches(batches, schema).combine_chunks()
    except (pa.ArrowException, OSError, ValueError) as error:  # a damaged page is an OSError without a number
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).partition("\n")[0]
        raise DataError(f"{file}: cannot be read as Parquet ({reason}); the file is damaged, get it again") from error


def _fixed_bytes(metadata: pq.FileMetaData) -> int:
    """Bytes of all values whose size does not depend on their content, unpacked."""
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    columns = (group.column(j) for group in groups for j in range(group.num_columns))
    return sum(column.num_values * _WIDTHS.get(column.physical_type, 8) for column in columns)


def described(table: pa.Table) -> str:
    """The columns of a table, for an error."""
    return listed([f"{field.name} ({field.type})" for field in table.schema], most=12)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a dimension."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def number_columns(table: pa.Table) -> tuple[str | None, list[str]]:
    """The column of ids, if any, and those of numbers, where a table holds nothing else; else no columns."""
    names = table.column_names
    ids = [name for name in names if name in (*IDS, *_INDEX)] or [
        field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    rest = [name for name in names if name not in ids[:1]]
    whole = len(set(names)) == len(names) > 1 and len(rest) > 1
    if not whole or not all(is_number(table.schema.field(name).type) for name in rest):
        return None, []
    return next(iter(ids), None), rest


def stacked(table: pa.Table, names: Sequence[str], *, source: Path) -> FloatArray:
    """(n, len(names)) float32 of columns of numbers; float64 where one of them holds that.

    Raises:
        DataError: a value is missing; names its row and column.
    """
    wide = any(table.schema.field(name).type.bit_width > 32 for name in names)
    vectors = np.empty((len(table), len(names)), np.float64 if wide else np.float32)
    for place, name in enumerate(names):
        column = table[name]
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy()))
            raise DataError(f"{source}: row {row} has no value in the column {name!r}; mend or remove the row")
        if pa.types.is_decimal(column.type):
            column = pc.cast(column, pa.float64())
        vectors[:, place] = column.to_numpy()
    return vectors


def read_as(names: Sequence[str]) -> str:
    """A note on columns that were read as vectors."""
    return f"{len(names)} columns of numbers are read as the vectors: {listed(list(names))}"
