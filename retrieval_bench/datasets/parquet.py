"""Parquet files with a column of vectors and maybe columns of ids and texts, as embedding sets are published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retrieval_bench.datasets._vectorset import as_float32, vector_dataset
from retrieval_bench.errors import CardError, DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, FloatArray, Frozen

# Names that publishers give these columns; the vector column is also found by being the only one of its type.
_VECTORS = ("vector", "vectors", "embedding", "embeddings", "emb")
_IDS = ("id", "_id", "doc_id", "docid", "document_id")
_TEXTS = ("text", "content", "body", "document", "passage")


class Options(Frozen):
    """Names of the columns; a name left out is looked for among the usual ones."""

    vector: str | None = None
    id: str | None = None
    text: str | None = None


@readers.register("parquet")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read a Parquet file, or a folder whose files are parts of one table, as a corpus. ``l2`` unless the card says.

    A folder with ``corpus.parquet`` and ``queries.parquet`` has the queries of its own; the card's ``splits`` name
    other files of queries. Vectors of any number type become float32.

    Raises:
        DataError: not Parquet, no or no clear vector column, a missing vector, or vectors of different lengths; names
            the row.
        CardError: a column or file that the card names is not there.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None:
        raise DataError(f"{card.name}: needs a Parquet file or a folder of them")
    corpus, queries = _files(card, path)
    table = _table(corpus, path)
    text = _column(card, table, options.text, _TEXTS)
    ids = _column(card, table, options.id, _IDS)
    return vector_dataset(
        card,
        source=str(path),
        metric=card.metric or "l2",
        corpus=_vectors(card, table, options, path),
        queries={split: _vectors(card, _table([file], file), options, file) for split, file in queries.items()},
        ids=None if ids is None else _strings(table, ids, path),
        texts=None if text is None else _strings(table, text, path),
    )


def _files(card: DatasetCard, path: Path) -> tuple[list[Path], dict[str, Path]]:
    if not path.is_dir():
        return [path], {}
    files = {file.name: file for file in sorted(path.glob("*.parquet"))}
    splits = {str(split): name for split, name in card.splits.items()}
    if not splits and {"corpus.parquet", "queries.parquet"} <= files.keys():
        splits = {"test": "queries.parquet"}
    if missing := set(splits.values()) - files.keys():
        raise CardError(f"dataset card {card.name!r}: there is no file {min(missing)!r} in {path}")
    corpus = [f for name, f in files.items() if name not in splits.values()]
    if not corpus:
        raise DataError(f"{path}: holds no Parquet file of documents")
    return corpus, {split: files[name] for split, name in splits.items()}


def _table(files: list[Path], source: Path) -> pa.Table:
    try:
        return pa.concat_tables(pq.read_table(file) for file in files)
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{source}: cannot be read as Parquet ({reason}); the file is damaged, get it again") from error


def _column(card: DatasetCard, table: pa.Table, named: str | None, usual: Sequence[str]) -> str | None:
    if named is None:
        return next((name for name in usual if name in table.column_names), None)
    if named not in table.column_names:
        raise CardError(
            f"dataset card {card.name!r}: there is no column {named!r} (found: {', '.join(table.column_names)})"
        )
    return named


def _strings(table: pa.Table, name: str, source: Path) -> list[str]:
    column = table[name]
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise DataError(f"{source}: row {row} has nothing in the column {name!r}")
    try:
        values: list[str] = pc.cast(column, pa.string()).to_pylist()
    except pa.ArrowException as error:
        raise DataError(f"{source}: the column {name!r} holds {column.type}, not texts") from error
    return values


def _is_vectors(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _vectors(card: DatasetCard, table: pa.Table, options: Options, source: Path) -> FloatArray:
    candidates = [field.name for field in table.schema if _is_vectors(field.type)]
    if options.vector is not None:
        name = _column(card, table, options.vector, ())
    else:
        usual = [candidate for candidate in candidates if candidate.lower() in _VECTORS]
        name = next(iter(usual or candidates), None) if len(usual) == 1 or len(candidates) == 1 else None
    if name not in candidates:
        found = ", ".join(f"{field.name} ({field.type})" for field in table.schema)
        raise DataError(
            f"{source}: no clear column of vectors, which are lists of numbers (found: {found}); "
            "name it in a dataset card: [options] vector = ..."
        )
    column = table[name]
    if column.null_count:
        raise DataError(f"{source}: row {int(np.argmax(column.is_null().to_numpy()))} has no vector")
    lengths = pc.list_value_length(column).to_numpy()
    if len(lengths) == 0:
        raise DataError(f"{source}: holds no rows")
    if (lengths != lengths[0]).any():
        row = int(np.argmax(lengths != lengths[0]))
        raise DataError(f"{source}: row {row} has {lengths[row]} dimensions, row 0 has {lengths[0]}")
    flat: npt.NDArray[np.generic] = pc.list_flatten(column).to_numpy()
    return as_float32(flat.reshape(len(lengths), int(lengths[0])), source=str(source))
