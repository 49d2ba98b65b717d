"""Parquet files with a column of vectors and maybe columns of ids and texts, as embedding sets are published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retrieval_bench.datasets._shards import part_of, tables
from retrieval_bench.datasets._tables import IDS, described, number_columns, read_as, read_parquet, stacked
from retrieval_bench.datasets._vectorset import Given, as_floats, vector_dataset
from retrieval_bench.errors import CardError, DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, FloatArray, Frozen

# Names that publishers give these columns; the vector column is also found by being the only one of its type.
_VECTORS = ("vector", "vectors", "embedding", "embeddings", "emb")
_TEXTS = ("text", "content", "body", "document", "passage")
_NEIGHBORS = ("neighbors_id", "neighbors")


class Options(Frozen):
    """Names of the columns; a name left out is looked for among the usual ones."""

    vector: str | None = None
    id: str | None = None
    text: str | None = None


@readers.register("parquet")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read a Parquet file, or a folder whose files are parts of one table, as a corpus. ``l2`` unless the card says.

    Vectors are a column of lists, or all columns where these are numbers, but for one of ids. Tables may be in parts
    that are called ``NAME-00000-of-00002.parquet``.

    A folder with ``corpus.parquet`` and ``queries.parquet`` has the queries of its own, as has one in the layout of
    VectorDBBench: ``train.parquet``, which is searched, ``test.parquet``, and ``neighbors.parquet`` with the ids of
    each query's neighbors, where it is there. The card's ``splits`` name other files of queries. float64 stays,
    vectors of any other number type become float32.

    Raises:
        DataError: not Parquet, parts with different columns, no or no clear vector column, a missing vector or value,
            vectors of different lengths, or neighbors that are not in the corpus; names the row.
        CardError: a column or file that the card names is not there.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None:
        raise DataError(f"{card.name}: needs a Parquet file or a folder of them")
    corpus, queries, neighbors = _files(card, path)
    table = _table(corpus, path)
    text = _column(card, table, options.text, _TEXTS)
    ids = _column(card, table, options.id, IDS)
    notes = [part_of(path)] if path.is_file() else []
    if options.vector is None and not _lists(table):  # a column for each dimension
        named, numbers = number_columns(table)
        ids = ids or named
        notes += [read_as(numbers)] if numbers else []
    return vector_dataset(
        card,
        source=str(path),
        metric=card.metric or "l2",
        corpus=_vectors(card, table, options, path),
        queries={split: _vectors(card, _table(files, files[0]), options, files[0]) for split, files in queries.items()},
        given={} if neighbors is None else {"test": Given(_neighbors(neighbors, table, ids))},
        ids=None if ids is None else _strings(table, ids, path),
        texts=None if text is None else _strings(table, text, path),
        notes=[note for note in notes if note],
    )


class _Files(NamedTuple):
    corpus: list[Path]
    queries: dict[str, list[Path]]
    neighbors: list[Path] | None = None


def _files(card: DatasetCard, path: Path) -> _Files:
    if not path.is_dir():
        return _Files([path], {})
    found = tables(sorted(path.glob("*.parquet")))
    splits = {str(split): name for split, name in card.splits.items()}
    if not splits and {"train.parquet", "test.parquet"} <= found.keys():
        return _Files(found["train.parquet"], {"test": found["test.parquet"]}, found.get("neighbors.parquet"))
    if not splits and {"corpus.parquet", "queries.parquet"} <= found.keys():
        splits = {"test": "queries.parquet"}
    if missing := set(splits.values()) - found.keys():
        raise CardError(f"dataset card {card.name!r}: there is no file {min(missing)!r} in {path}")
    corpus = [file for name, files in found.items() if name not in splits.values() for file in files]
    if not corpus:
        raise DataError(f"{path}: holds no Parquet file of documents")
    return _Files(corpus, {split: found[name] for split, name in splits.items()})


def _table(files: list[Path], source: Path) -> pa.Table:
    parts = [read_parquet(file) for file in files]
    for file, table in zip(files, parts, strict=True):
        if not table.schema.equals(parts[0].schema):
            raise DataError(
                f"{file}: has other columns than {files[0].name} ({described(table)}; {described(parts[0])}); "
                "parts of one table have the same; call the documents corpus.parquet and the queries queries.parquet"
            )
    table = pa.concat_tables(parts)
    if len(set(table.column_names)) != len(table.column_names):
        raise DataError(f"{source}: two of its columns have one name ({described(table)}); rename one")
    return table


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


def _lists(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if _is_vectors(field.type)]


def _vectors(card: DatasetCard, table: pa.Table, options: Options, source: Path) -> FloatArray:
    candidates = _lists(table)
    if options.vector is not None:
        name = _column(card, table, options.vector, ())
    else:
        usual = [candidate for candidate in candidates if candidate.lower() in _VECTORS]
        name = next(iter(usual or candidates), None) if len(usual) == 1 or len(candidates) == 1 else None
        _, numbers = number_columns(table)
        if not candidates and numbers:
            return stacked(table, numbers, source=source)
    if name not in candidates:
        raise DataError(
            f"{source}: no clear column of vectors, which are lists of numbers (found: {described(table)}); name it in "
            "a dataset card: [options] vector = ...; or leave but one column of ids and a column for each dimension"
        )
    return as_floats(_rectangle(table[name], source, what="vector"), source=str(source))


def _rectangle(column: pa.ChunkedArray, source: Path, *, what: str) -> npt.NDArray[np.generic]:
    """(n, d) values of a column of n lists, all of them of one length."""
    if column.null_count:
        raise DataError(f"{source}: row {int(np.argmax(column.is_null().to_numpy()))} has no {what}")
    lengths = pc.list_value_length(column).to_numpy()
    if len(lengths) == 0:
        raise DataError(f"{source}: holds no rows")
    if (lengths != lengths[0]).any():
        row = int(np.argmax(lengths != lengths[0]))
        raise DataError(f"{source}: row {row} has {lengths[row]} dimensions, row 0 has {lengths[0]}")
    values = pc.list_flatten(column)
    if values.null_count:
        row = int(np.argmax(values.is_null().to_numpy())) // int(lengths[0])
        raise DataError(f"{source}: the {what} in row {row} lacks a value; mend or remove the row")
    flat: npt.NDArray[np.generic] = values.to_numpy()
    return flat.reshape(len(lengths), int(lengths[0]))


def _neighbors(files: list[Path], corpus: pa.Table, ids: str | None) -> npt.NDArray[np.generic]:
    """(m, k) corpus rows of the neighbors that a file names by their ids, or by their rows where there are no ids."""
    file = files[0]
    table = _table(files, file)
    name = next((name for name in _NEIGHBORS if name in table.column_names), None)
    if name is None or not _is_vectors(table.schema.field(name).type):
        raise DataError(
            f"{file}: has no column {_NEIGHBORS[0]!r} with lists of ids (found: {described(table)}); "
            "mend it, or remove it to have the neighbors computed"
        )
    named = _rectangle(table[name], file, what="list of neighbors")
    if ids is None:
        return named
    rows = pc.index_in(pc.cast(pa.array(named.ravel()), corpus[ids].type), value_set=corpus[ids])
    if rows.null_count:
        at = int(np.argmax(rows.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(
            f"{file}: row {at // named.shape[1]} names {named.ravel()[at]!s}, which is no id of the corpus; "
            "they belong to other data"
        )
    found: npt.NDArray[np.generic] = rows.to_numpy()
    return found.reshape(named.shape)
