"""The graphs of hnswlib and usearch in their files, walked before the libraries see them.

Both trust their files: they allocate what a header says, and follow a link wherever it leads. Here every size is
compared with what the index was built with, and every link leads to a vector that is there, on a layer that it is on.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from retrieval_bench.arrays import unfit
from retrieval_bench.files import open_regular
from retrieval_bench.types import Metric

Bytes = npt.NDArray[np.uint8]
_BLOCK = 1 << 22  # bytes looked at together
_HNSWLIB_HEAD = struct.Struct("<6QiI3QdQ")
_USEARCH_HEAD, _USEARCH_GRAPH = struct.Struct("<7s6s4B3QB22s"), struct.Struct("<5Q")
_MOST_LAYERS = 64


class _File:
    """The bytes of a file, taken in order."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        with open_regular(path) as file:
            self._content = np.memmap(file, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)

    def need(self, fits: Any, what: str) -> None:
        if not fits:
            raise unfit(self._path, f"has {what} that cannot be")

    def take(self, count: int) -> Bytes:
        if count > len(self._content) - self._at:
            raise unfit(self._path, "is cut short")
        taken, self._at = self._content[self._at : self._at + count], self._at + count
        return taken

    def head(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self.take(form.size).tobytes())

    def rest(self) -> Bytes:
        return self.take(len(self._content) - self._at)

    def links(self, found: Bytes, most: int, levels: npt.NDArray[Any], at_least: npt.NDArray[Any] | int) -> None:
        """Check blocks (b, 4 * (most + 1)) of a number of links and the links; each on a layer at least so high."""
        words = np.ascontiguousarray(found).view("<u4")
        used = np.arange(most) < words[:, :1]
        linked = np.where(used, words[:, 1:], 0)
        self.need((words[:, 0] <= most).all() and (linked < len(levels)).all(), "a link")
        if not isinstance(at_least, int):
            self.need((~used | (levels[linked] >= at_least[:, None])).all(), "a link to a layer")

    def finite(self, values: npt.NDArray[Any]) -> None:
        self.need(np.isfinite(values).all(), "a NaN or infinite value")


def check_hnswlib(path: Path, n: int, d: int, m: int) -> None:
    """Walk a file of hnswlib: n vectors of d dimensions with m links each and twice as many on the lowest layer.

    Raises:
        ArtifactError: it is not that.
    """
    file = _File(path)
    links, vector = 4 * (2 * m + 1), 4 * d
    size = links + vector + 8
    *sizes, top, entry, most, lowest, own, _, _ = file.head(_HNSWLIB_HEAD)
    file.need(sizes == [0, n, n, size, size - 8, links] and (most, lowest, own) == (m, 2 * m, m), "a size")
    ground = file.take(n * size).reshape(n, size)
    levels, starts, words = _upper_layers(file, n, m)
    step = max(1, _BLOCK // size)
    for start in range(0, n, step):
        block = np.ascontiguousarray(ground[start : start + step])
        file.links(block[:, :links], 2 * m, levels, 0)
        file.finite(np.ascontiguousarray(block[:, links : links + vector]).view("<f4"))
        labels = np.ascontiguousarray(block[:, -8:]).view("<u8")
        file.need((labels < n).all(), "a label")
    file.need(entry < n and top == levels.max() == levels[entry], "an entry")
    high = np.flatnonzero(levels)
    for layer in range(1, top + 1):
        high = high[levels[high] >= layer]
        places = starts[high] + (layer - 1) * (m + 1)
        found = words[places[:, None] + np.arange(m + 1)]
        file.links(found.view(np.uint8), m, levels, np.full(len(found), layer))


def _upper_layers(file: _File, n: int, m: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Of each vector its highest layer and where its links above the lowest begin in the words, which come third."""
    rest = file.rest()
    file.need(len(rest) % 4 == 0, "a length")
    words = rest.view("<u4")
    levels, starts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    filled = np.flatnonzero(words)
    at = vector = 0  # a word that is 0 is a vector on the lowest layer only
    while (place := int(np.searchsorted(filled, at))) < len(filled):
        vector, at = vector + int(filled[place]) - at, int(filled[place])
        count, odd = divmod(int(words[at]), 4 * (m + 1))
        file.need(vector < n and odd == 0 and count <= _MOST_LAYERS, "links above the lowest layer")
        levels[vector], starts[vector] = count, at + 1
        vector, at = vector + 1, at + 1 + count * (m + 1)
    file.need(at + n - vector == len(words), "a length")
    return levels, starts, words


def check_usearch(path: Path, n: int, d: int, m: int, *, precision: Literal["f32", "f16"], metric: Metric) -> None:
    """Walk a file of usearch, likewise.

    Raises:
        ArtifactError: it is not that.
    """
    file = _File(path)
    width = {"f32": 4, "f16": 2}[precision]
    rows, row_bytes = file.head(struct.Struct("<2I"))
    file.need((rows, row_bytes) == (n, d * width), "a size")
    vectors = file.take(n * d * width).view({"f32": "<f4", "f16": "<f2"}[precision])
    for start in range(0, len(vectors), _BLOCK):
        file.finite(vectors[start : start + _BLOCK])
    magic, _, *kinds, present, deleted, dims, multi, unused = file.head(_USEARCH_HEAD)
    numbers = [ord({"ip": "i", "l2": "e"}[metric]), {"f32": 11, "f16": 12}[precision], 14, 15]
    file.need(magic == b"usearch" and kinds == numbers and not any(unused), "a kind")
    file.need((present, deleted, dims, multi) == (n, 0, d, 0), "a size")
    count, links, lowest, top, entry = file.head(_USEARCH_GRAPH)
    file.need((count, links, lowest) == (n, m, 2 * m) and top <= _MOST_LAYERS, "a size")
    levels = file.take(2 * n).view("<i2").astype(np.int64)
    file.need(levels.min() >= 0 and entry < n and levels.max() == top == levels[entry], "an entry")
    ground, upper = 10 + 4 * (2 * m + 1), 4 * (m + 1)
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(ground + upper * levels, out=starts[1:])
    nodes = file.take(int(starts[-1]))
    file.need(not len(file.rest()), "a length")
    step = max(1, _BLOCK // ground)
    for start in range(0, n, step):
        block = nodes[starts[start : min(start + step, n), None] + np.arange(ground)]
        file.need((np.ascontiguousarray(block[:, :8]).view("<u8") < n).all(), "a label")
        own = np.ascontiguousarray(block[:, 8:10]).view("<i2")[:, 0]
        file.need((own == levels[start : start + len(own)]).all(), "a layer")
        file.links(block[:, 10:], 2 * m, levels, 0)
    high = np.flatnonzero(levels)
    for layer in range(1, int(top) + 1):
        high = high[levels[high] >= layer]
        places = starts[high] + ground + (layer - 1) * upper
        file.links(nodes[places[:, None] + np.arange(upper)], m, levels, np.full(len(high), layer))
