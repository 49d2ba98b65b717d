"""Content hash of a data set: two data sets of one fingerprint give the same results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError
from retrieval_bench.types import Corpus, Dataset, Queries, RowIds

_BLOCK_VALUES = 1 << 22
_BLOCK_STRINGS = 1 << 16


def fingerprint(dataset: Dataset) -> str:
    """BLAKE2b (16 bytes, hex) over metric, ids, texts, vectors, queries, judgments and what is held out of a data set.

    Names, neighbors (which follow from the vectors), titles (which their texts hold) and facts for the report do not
    count.

    Raises:
        DataError: a text cannot be written as UTF-8 (it holds half of a surrogate pair).
    """
    content = _Content()
    content.label(dataset.metric)
    content.collection("corpus", dataset.corpus)
    for split in sorted(dataset.queries):
        queries = dataset.queries[split]
        content.collection(f"queries {split}", queries)
        if queries.own_rows is not None:
            content.array("own rows", queries.own_rows)
        if split in dataset.qrels:
            qrels = dataset.qrels[split]
            for what, values in (("offsets", qrels.offsets), ("rows", qrels.rows), ("grades", qrels.grades)):
                content.array(what, values)
    if dataset.held_out is not None:
        content.array("places held out", dataset.held_out.places)
        content.collection("held out", dataset.held_out.documents)
    return content.hexdigest()


class _Content:
    """A hash fed with labelled columns; lengths go in first, so that no two contents run together."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.hexdigest = self._hash.hexdigest

    def label(self, text: str) -> None:
        self._hash.update(f"\0{text}\0".encode())

    def collection(self, name: str, part: Corpus | Queries) -> None:
        if isinstance(part.ids, RowIds):
            self.label(f"{name}: {len(part.ids)} rows")
            if part.ids != RowIds(len(part.ids)):
                self.array(f"{name} ids", part.ids.rows())
        else:
            self._strings(f"{name} ids", part.ids)
        if part.texts is not None:
            self._strings(f"{name} texts", part.texts)
        if part.vectors is not None:
            self.array(f"{name} vectors", part.vectors)

    def array(self, name: str, values: npt.NDArray[np.generic]) -> None:
        self.label(f"{name} {values.dtype.str} {values.shape}")
        step = max(1, _BLOCK_VALUES // max(1, values[:1].size))
        for start in range(0, len(values), step):
            self._hash.update(np.ascontiguousarray(values[start : start + step]).data)

    def _strings(self, name: str, strings: Sequence[str]) -> None:
        self.label(f"{name} {len(strings)}")
        for start in range(0, len(strings), _BLOCK_STRINGS):
            block = strings[start : start + _BLOCK_STRINGS]
            self._hash.update(np.fromiter(map(len, block), np.int64, len(block)).data)
            try:
                self._hash.update("".join(block).encode())
            except UnicodeEncodeError as error:
                row = start + next(i for i, s in enumerate(block) if any("\ud800" <= c <= "\udfff" for c in s))
                raise DataError(
                    f"{name}: number {row} holds half of a surrogate pair, which is not text; mend its \\u escape"
                ) from error
