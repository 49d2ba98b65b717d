"""HDF5 files of ann-benchmarks and of VIBE (arXiv 2505.17810).

Both hold ``train`` (the corpus), ``test`` (the queries), ``neighbors`` and ``distances``, and say in attributes how
vectors compare. VIBE adds ``learn`` and ``learn_neighbors``, a sample of the query distribution where it is not the
corpus's, and stores int8, uint8 and binary vectors; binary ones are packed, eight dimensions to a byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.datasets._asked import listed
from retrieval_bench.datasets._vectorset import Given, as_floats, vector_dataset
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, FloatArray, Frozen, Metric, RowIds

_METRICS: dict[str, Metric] = {
    "euclidean": "l2",
    "angular": "cos",
    "cosine": "cos",
    "normalized": "cos",
    "dot": "ip",
    "ip": "ip",
    "hamming": "l2",
}
_PADDING = -1  # stands where a query has fewer neighbors than others
_BLOCK_VALUES = 1 << 24  # values looked at together: bounds the temporary memory of a pass


class Options(Frozen):
    """Where the corpus is, in files that do not call it ``train``."""

    corpus: str = Field("train", description="HDF5 data set with the vectors that are searched")


@readers.register("hdf5")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read an ann-benchmarks or VIBE file.

    ``test`` are the test queries and ``learn`` the training queries. float64 stays, all other number types become
    float32; data that lies in one piece in the file stays memory-mapped. Hamming distance is served as ``l2`` on 0/1
    values, where the squared distance is the number of bits that differ; packed bits are unpacked. ``neighbors`` are
    kept unless the card asks for another metric than the file's, or some are padded with -1. Zero vectors, of which
    some public sets hold a few, are left out under ``cos``, as are the neighbors then.

    Raises:
        DataError: not an HDF5 file, cut short, data sets missing or of shapes that do not fit, attributes that do not
            describe the data, sets instead of vectors (``jaccard``), or neighbors that are wrong.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None:
        raise DataError(f"{card.name}: needs an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            return _read(_File(file, path), card, options)
    except (OSError, RuntimeError, KeyError) as error:  # h5py reports damage as any of these
        if isinstance(error, PermissionError | FileNotFoundError):
            raise
        raise DataError(f"{path}: cannot be read as HDF5 ({error}); the file is damaged, get it again") from error


def _read(file: _File, card: DatasetCard, options: Options) -> Dataset:
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
    if metric == stated and not notes:  # neighbors of other rows would be of no use
        given, notes = _given(file, splits, corpus.shape[1])
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


def _given(file: _File, splits: Mapping[str, str], d: int) -> tuple[dict[str, Given], list[str]]:
    """Neighbors by split, and a note of those that are left out since they are padded."""
    given, notes = {}, []
    for split, name in splits.items():
        prefix = "" if name == "test" else f"{name}_"
        if f"{prefix}neighbors" not in file.names():
            continue
        rows = file.values(f"{prefix}neighbors")
        if (rows == _PADDING).any():
            notes.append(f"{f'{prefix}neighbors'!r} are padded with {_PADDING}, so they are computed anew")
        else:
            given[split] = Given(rows, file.scores(f"{prefix}distances", d))
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


class _File:
    """An open file and what its attributes say."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self.path = file, path
        self._distance = self._text("distance").lower()
        self._packed = self._text("point_type").lower() == "binary"
        if self._text("type") == "sparse" or self._distance == "jaccard":
            raise DataError(f"{path}: holds sets (jaccard), which vector indexes do not serve")
        if self._distance and self._distance not in _METRICS:
            raise DataError(f"{path}: unknown distance {self._distance!r}; known: {', '.join(_METRICS)}")

    def _text(self, key: str) -> str:
        value = self._file.attrs.get(key, "")
        return value.decode() if isinstance(value, bytes) else str(value)

    def names(self) -> list[str]:
        """Names of the data sets."""
        return [name for name, item in self._file.items() if isinstance(item, h5py.Dataset)]

    def metric(self) -> Metric | None:
        """Our metric for the file's distance; None when it has none."""
        return _METRICS.get(self._distance)

    def values(self, name: str) -> npt.NDArray[Any]:
        """All values of a data set, memory-mapped where they lie in one piece."""
        if name not in self.names():
            raise DataError(f"{self.path}: has no data set {name!r} (found: {', '.join(self.names()) or 'none'})")
        data = self._file[name]
        offset = data.id.get_offset()  # None where the data is chunked, compressed, empty or in another file
        if offset is not None and offset % 4 == 0 and data.dtype == np.dtype("<f4"):
            return np.memmap(self.path, dtype="<f4", mode="r", offset=offset, shape=data.shape)
        array: npt.NDArray[Any] = data[...]
        return array

    def vectors(self, name: str) -> FloatArray:
        """(n, d) float32 of a data set, unpacked where it holds bits."""
        values = self.values(name)
        stated = self._file.attrs.get("dimension")
        if self._packed and values.ndim == 2:
            if values.dtype != np.uint8:
                raise DataError(f"{self.path}: {name!r} holds {values.dtype}, packed bits are uint8")
            bits = 8 * values.shape[1]
            d = bits if stated is None else int(stated)
            if not bits - 8 < d <= bits:
                raise DataError(f"{self.path}: says {d} dimensions, but {name!r} holds {bits} bits in a row")
            return np.unpackbits(values, axis=1, count=d).astype(np.float32)
        vectors = as_floats(values, source=f"{self.path}: {name!r}")
        if stated is not None and vectors.shape[1] != int(stated):
            raise DataError(
                f"{self.path}: says {int(stated)} dimensions, but {name!r} has rows of {vectors.shape[1]} values"
            )
        return vectors

    def scores(self, name: str, d: int) -> npt.NDArray[np.floating] | None:
        """Distances of the file, between vectors of d values, as scores by our convention; None when it has none."""
        if name not in self.names():
            return None
        distances = np.asarray(self.values(name), np.float64)
        if self._distance == "hamming":  # bits that differ (VIBE), or their share (older ann-benchmarks files)
            return -distances * d if (distances % 1).any() else -distances
        if self._distance == "euclidean":
            return -(distances**2)
        return -distances if self.metric() == "ip" else 1 - distances
