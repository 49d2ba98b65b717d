"""HDF5 files of ann-benchmarks and of VIBE (arXiv 2505.17810).

Both hold ``train`` (the corpus), ``test`` (the queries), ``neighbors`` and ``distances``, and say in attributes how
vectors compare. VIBE adds ``learn`` and ``learn_neighbors``, a sample of the query distribution where it is not the
corpus's, and stores int8, uint8 and binary vectors; binary ones are packed, eight dimensions to a byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
from pydantic import Field

from retrieval_bench.datasets._asked import listed
from retrieval_bench.datasets._hdf5_file import Hdf5File
from retrieval_bench.datasets._tried import tried
from retrieval_bench.datasets._vectorset import Given, vector_dataset
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, FloatArray, Frozen, Metric, RowIds

_PADDING = -1  # stands where a query has fewer neighbors than others
_BLOCK_VALUES = 1 << 24  # values looked at together: bounds the temporary memory of a pass


class Options(Frozen):
    """Where the corpus is, in files that do not call it ``train``."""

    corpus: str = Field("train", description="HDF5 data set with the vectors that are searched")


@readers.register("hdf5")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read an ann-benchmarks or VIBE file.

    ``test`` are the test queries and ``learn`` the training queries. float64 stays, all other number types become
    float32; float32 data that lies in one piece in the file stays memory-mapped. Hamming distance is served as ``l2``
    on 0/1 values, where the squared distance is the number of bits that differ; bits are unpacked where the attributes
    say that they are packed (``point_type`` binary, or as many dimensions as there are bits). ``neighbors`` are kept
    unless another metric is asked for than the file's, or some are padded with -1. Zero vectors, of which some public
    sets hold a few, are left out under ``cos``, as are the neighbors then. What is not as in the file is a note.

    Raises:
        DataError: not an HDF5 file, cut short, data sets missing or of shapes that do not fit, attributes that do not
            describe the data, sets instead of vectors (``jaccard``), neighbors that are wrong, or links and storage
            that lead out of the file.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None:
        raise DataError(f"{card.name}: needs an HDF5 file")
    if reason := tried(lambda: _look(path)):
        raise DataError(f"{path}: cannot be read as HDF5 ({reason}); the file is damaged, get it again")
    try:
        with h5py.File(path, "r") as file:
            return _read(Hdf5File(file, path), card, options)
    except (OSError, RuntimeError, KeyError) as error:  # h5py reports damage as any of these
        if isinstance(error, PermissionError | FileNotFoundError):
            raise
        raise DataError(f"{path}: cannot be read as HDF5 ({error}); the file is damaged, get it again") from error


def _look(path: Path) -> None:
    """Read what a damaged file makes the library loop or crash on: attributes, and the ends of each data set."""
    with h5py.File(path, "r") as opened:
        file = Hdf5File(opened, path)
        for name in file.names():
            with suppress(DataError):
                file.ends(name)


def _read(file: Hdf5File, card: DatasetCard, options: Options) -> Dataset:
    stated = file.metric()
    metric = card.metric or stated or "l2"
    splits = {str(split): name for split, name in card.splits.items()}
    if not splits and "test" in file.names():
        splits = {"test": "test"} | ({"train": "learn"} if "learn" in file.names() else {})
    corpus = file.vectors(options.corpus)
    queries = {split: file.vectors(name) for split, name in splits.items()}
    ids: RowIds | None = None
    query_ids: dict[str, RowIds] = {}
    notes: list[str] = []
    if metric == "cos":
        corpus, ids, notes = _with_direction(corpus, "corpus")
        for split, vectors in queries.items():
            queries[split], query_ids[split], more = _with_direction(vectors, f"{split} queries")
            notes += more
    given: dict[str, Given] = {}
    if metric == stated and not notes:
        given, notes = _given(file, splits, corpus.shape[1])
    elif any(_neighbors_of(name) in file.names() for name in splits.values()):
        notes.append(f"the neighbors in the file are computed anew: {_why_anew(file, metric)}")
    return vector_dataset(
        card,
        source=str(file.path),
        metric=metric,
        corpus=corpus,
        queries=queries,
        given=given,
        ids=ids,
        query_ids=query_ids,
        notes=notes,
    )


def _why_anew(file: Hdf5File, metric: Metric) -> str:
    if file.metric() is None:
        return "it does not say by which distance they were found"
    if file.metric() != metric:
        return f"they were found by {file.distance()}, and {metric} is asked for"
    return "they were found among other rows"


def _neighbors_of(name: str) -> str:
    """The data set of the neighbors of a set of queries."""
    return "neighbors" if name == "test" else f"{name}_neighbors"


def _given(file: Hdf5File, splits: Mapping[str, str], d: int) -> tuple[dict[str, Given], list[str]]:
    """Neighbors by split, and a note of those that are left out since they are padded."""
    given, notes = {}, []
    for split, name in splits.items():
        neighbors = _neighbors_of(name)
        if neighbors not in file.names():
            continue
        rows = file.values(neighbors)
        if (rows == _PADDING).any():
            notes.append(f"{neighbors!r} are padded with {_PADDING}, so they are computed anew")
        else:
            given[split] = Given(rows, file.scores(neighbors.removesuffix("neighbors") + "distances", d))
    return given, notes


def _with_direction(vectors: FloatArray, what: str) -> tuple[FloatArray, RowIds, list[str]]:
    """The vectors that are not zero, their rows as ids, and a note of those left out where there are any."""
    step = max(1, _BLOCK_VALUES // max(1, vectors.shape[1]))
    blocks = [vectors[start : start + step].any(axis=1) for start in range(0, len(vectors), step)]
    kept = np.concatenate(blocks) if blocks else np.ones(0, bool)
    if kept.all():
        return vectors, RowIds(len(vectors)), []
    zero = [str(row) for row in np.flatnonzero(~kept)]
    note = f"zero vectors have no direction under 'cos' and are left out of the {what}: rows {listed(zero)}"
    rows = np.flatnonzero(kept)
    return vectors[rows], RowIds.of(rows), [note]
