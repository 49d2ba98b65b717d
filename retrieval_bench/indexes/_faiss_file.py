"""A faiss file, read through before faiss sees it: only what the backends write, and every length and row in range.

faiss trusts its files: a list that names a file elsewhere is mapped for writing, and a link of a graph is followed
wherever it leads. So the file is walked here field by field (the order is that of faiss' ``index_write.cpp``), what
is not on the list below is refused, and the walk must end where the file does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_bench.arrays import unfit
from retrieval_bench.files import open_regular
from retrieval_bench.indexes._faiss_graph import Graph

_BLOCK = 1 << 20  # values looked at together
_MOST = 1 << 40
_SCALARS = {faiss.ScalarQuantizer.QT_fp16: 2, faiss.ScalarQuantizer.QT_8bit: 1}  # bytes for each dimension
_PER_BLOCK = 32  # vectors that a fast scan handles together
_NO_SIZE = (1 << 64) - 1  # of a code: it has none of its own in a block
_FACTOR_BYTES = 8  # of RaBitQ, two numbers beside each code


class Found(NamedTuple):
    """An index within a file: its form, such as ``refine(turn(ivfpq),scalar)``, and what all forms have."""

    form: str
    d: int
    n: int
    metric: int


def check_file(path: Path) -> tuple[Found, int]:
    """Walk a faiss file; returns what it holds, and the number of its inverted lists, 0 where it has none.

    Raises:
        ArtifactError: another kind of index than the backends write, or a length, size, row or link that cannot be.
    """
    with open_regular(path) as file:
        content = np.memmap(file, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    walk = _Walk(path, content)
    found = walk.index()
    if walk.at != len(content):
        walk.refuse(f"goes on for {len(content) - walk.at} bytes after its index")
    return found, walk.lists


class _Walk:
    def __init__(self, path: Path, content: npt.NDArray[np.uint8]) -> None:
        self._path, self._content, self.at, self.lists = path, content, 0, 0

    def refuse(self, reason: str) -> NoReturn:
        raise unfit(self._path, reason)

    def need(self, fits: Any, what: str) -> None:
        if not fits:
            self.refuse(f"has {what} that cannot be")

    def _take(self, kind: str, count: int) -> npt.NDArray[Any]:
        dtype = np.dtype(kind)
        end = self.at + count * dtype.itemsize
        if count > _MOST or end > len(self._content):
            self.refuse("is cut short")
        taken, self.at = self._content[self.at : end].view(dtype), end
        return taken

    def _one(self, kind: str) -> Any:
        return self._take(kind, 1)[0].item()

    def _flag(self) -> bool:
        value = self._one("u1")
        self.need(value in (0, 1), "a flag")
        return bool(value)

    def _vector(self, kind: str, length: int | None = None, *, unit: int = 1) -> npt.NDArray[Any]:
        """A vector and the length before it, which counts ``unit`` values as one."""
        count = self._one("<u8")
        self.need(count <= _MOST and length in (None, count * unit), "an array of a length")
        return self._take(kind, count * unit)

    def _floats(self, length: int, kind: str = "<f4") -> None:
        self._finite(self._vector(kind, length))

    def _finite(self, values: npt.NDArray[Any]) -> None:
        for start in range(0, len(values), _BLOCK):
            self.need(np.isfinite(values[start : start + _BLOCK]).all(), "a NaN or infinite value")

    def index(self) -> Found:
        code = self._take("u1", 4).tobytes()
        if code not in _KINDS:
            self.refuse(f"holds an index of the kind {code!r:.20}, which no backend writes")
        d, n, _, _, trained = (self._one(kind) for kind in ("<i4", "<i8", "<i8", "<i8", "u1"))
        metric = self._one("<i4")
        self.need(d > 0 and 0 <= n < _MOST and trained == 1, "a number of dimensions or vectors")
        self.need(metric in (faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2), "a metric")
        return Found(_KINDS[code](self, d, n, metric), d, n, metric)

    def _inner(self, d: int, n: int, metric: int, forms: str = "") -> str:
        """The form of an index within another, of which all is known."""
        found = self.index()
        self.need(found[1:] == (d, n, metric) and found.form in (forms.split() or [found.form]), "an inner index")
        return found.form

    def flat(self, d: int, n: int, metric: int) -> str:  # noqa: ARG002 - nothing more depends on it
        self._floats_of_bytes(n * d)
        return "flat"

    def _floats_of_bytes(self, length: int) -> None:
        """float32 values that faiss keeps as bytes, and counts by four of them."""
        self._finite(self._vector("u1", 4 * length, unit=4).view("<f4"))

    def scalar(self, d: int, n: int, metric: int) -> str:  # noqa: ARG002
        kind, _, argument = self._one("<i4"), self._one("<i4"), self._one("<f4")
        self.need(kind in _SCALARS and np.isfinite(argument), "a scalar quantizer")
        width = _SCALARS[kind]
        self.need((self._one("<u8"), self._one("<u8")) == (d, d * width), "a code size")
        self._floats(2 * d if width == 1 else 0)
        codes = self._vector("u1", n * d * width)
        if width == 2:
            self._finite(codes.view("<f2"))
        return "scalar"

    def _product(self, d: int) -> tuple[int, int]:
        """Sub-quantizers and bits."""
        dim, parts, bits = self._one("<u8"), self._one("<u8"), self._one("<u8")
        self.need(dim == d and 0 < parts <= d and d % parts == 0 and 0 < bits <= 16, "a product quantizer")
        self._floats(d << bits)
        return parts, bits

    def product(self, d: int, n: int, metric: int) -> str:  # noqa: ARG002
        parts, bits = self._product(d)
        self._vector("u1", n * (-(-parts * bits // 8)))
        self.need(self._one("<i4") == 0 and not self._flag(), "a way to search")
        self._one("<i4")
        return "product"

    def turn(self, d: int, n: int, metric: int) -> str:
        self.need(self._one("<i4") == 1, "a chain of transforms")
        self.need(self._take("u1", 4).tobytes() in (b"LTra", b"rrot"), "a transform")
        bias, start = self._flag(), self.at
        count = self._one("<u8")
        out = count // d
        self.at = start
        self._floats(d * out)
        self._floats(out if bias else 0)
        self.need((self._one("<i4"), self._one("<i4"), self._flag()) == (d, out, True), "a transform")
        return f"turn({self._inner(out, n, metric)})"

    def refine(self, d: int, n: int, metric: int) -> str:
        forms = self._inner(d, n, metric), self._inner(d, n, metric, "flat scalar")
        self.need(0 < self._one("<f4") < _MOST, "a refine factor")
        return f"refine({','.join(forms)})"

    def _lists_before(self, d: int, metric: int) -> int:
        """What all inverted files have; the number of lists."""
        lists, nprobe = self._one("<u8"), self._one("<u8")
        self.need(0 < lists < _MOST and 0 < nprobe < _MOST, "a number of lists")
        self._inner(d, lists, metric, "flat")
        self.need(self._one("u1") == 0 and not len(self._vector("<i8")), "a map of its rows")
        self.lists = int(lists)
        return self.lists

    def _rows(self, ids: npt.NDArray[Any], n: int) -> None:
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            self.need(block.min() >= 0 and block.max() < n, "a row")

    def _entries(self, lists: int, width: int, n: int, finite: str | None = None) -> None:
        """Inverted lists in memory."""
        self.need(self._take("u1", 4).tobytes() == b"ilar", "inverted lists of another kind, or in another file,")
        self.need((self._one("<u8"), self._one("<u8")) == (lists, width), "a code size")
        listed = self._take("u1", 4).tobytes()
        self.need(listed in (b"full", b"sprs"), "inverted lists of another kind")
        sizes = self._vector("<u8", lists if listed == b"full" else None)
        if listed == b"sprs":
            self.need(len(sizes) % 2 == 0, "sizes of lists")
            numbers, sizes = sizes[::2], sizes[1::2]
            self.need(len(numbers) <= lists and (np.diff(numbers.astype(np.int64)) > 0).all(), "an order of lists")
            self.need(not len(numbers) or numbers[-1] < lists, "a list")
        self.need((sizes <= n).all() and int(sizes.sum()) == n, "sizes of lists")
        for size in sizes[sizes > 0].tolist():
            codes = self._take("u1", size * width)
            if finite:
                self._finite(codes.view(finite))
            self._rows(self._take("<i8", size), n)

    def _blocks(self, lists: int, n: int, block: int) -> None:
        """Inverted lists of a fast scan."""
        self.need(self._take("u1", 4).tobytes() == b"ilbl", "inverted lists of another kind, or in another file,")
        head = tuple(self._one("<u8") for _ in range(4))
        self.need(head == (lists, _NO_SIZE, _PER_BLOCK, block), "a code size")
        left = n
        for _ in range(lists):
            ids = self._vector("<i8")
            self._rows(ids, n)
            self._vector("u1", -(-len(ids) // _PER_BLOCK) * block)
            left -= len(ids)
        self.need(left == 0, "sizes of lists")

    def ivf(self, d: int, n: int, metric: int) -> str:
        self._entries(self._lists_before(d, metric), 4 * d, n, "<f4")
        return "ivf"

    def ivfpq(self, d: int, n: int, metric: int) -> str:
        lists = self._lists_before(d, metric)
        self._flag()
        width = self._one("<u8")
        parts, bits = self._product(d)
        self.need(width == -(-parts * bits // 8), "a code size")
        self._entries(lists, width, n)
        return "ivfpq"

    def ivfpq4(self, d: int, n: int, metric: int) -> str:
        lists = self._lists_before(d, metric)
        self._flag()
        width, size = self._one("<u8"), self._one("<i4")
        padded, way, batch = self._one("<u8"), self._one("<i4"), self._one("<u8")
        self.need((size, way, batch) == (_PER_BLOCK, 0, 0), "a way to search")
        parts, bits = self._product(d)
        self.need(bits == 4 and width == -(-parts // 2) and padded == parts + parts % 2, "a code size")
        self._blocks(lists, n, _PER_BLOCK * padded // 2)
        return "ivfpq4"

    def rabitq(self, d: int, n: int, metric: int) -> str:
        lists, width = self._lists_before(d, metric), -(-d // 8) + _FACTOR_BYTES
        quantizer = tuple(self._one(kind) for kind in ("<u8", "<u8", "<i4", "<u8"))
        self.need(quantizer == (d, width, metric, 1), "a quantizer")
        self.need(self._flag() and self._one("<u8") == width, "a code size")
        size, batch, padded, way = (self._one(kind) for kind in ("<i4", "<u8", "<u8", "<i4"))
        quarters = -(-d // 4)
        self.need((size, batch, way) == (_PER_BLOCK, 0, 0) and 0 < self._one("u1") <= 8, "a way to search")
        self.need(padded == quarters + quarters % 2, "a code size")
        self._flag()
        self._blocks(lists, n, _PER_BLOCK * (padded // 2 + _FACTOR_BYTES))
        return "rabitq"

    def hnsw(self, d: int, n: int, metric: int) -> str:
        self._vector("<f8")
        links, levels, offsets, neighbors = (self._vector(kind) for kind in ("<i4", "<i4", "<u8", "<i4"))
        entry, top, *_ = (self._one("<i4") for _ in range(5))
        if reason := Graph(links, levels, offsets, neighbors, entry, top).fault(n):
            self.refuse(f"has a graph whose {reason}")
        self._inner(d, n, metric, "flat")
        return "hnsw"

    def cagra(self, d: int, n: int, metric: int) -> str:
        self._flag()
        self._flag()
        self.need(self._one("<i4") > 0 and 0 <= self._one("<i4") < 8, "a setting")
        self.hnsw(d, n, metric)
        return "cagra"


_KINDS: dict[bytes, Callable[[_Walk, int, int, int], str]] = {
    b"IxFI": _Walk.flat, b"IxF2": _Walk.flat, b"IxSQ": _Walk.scalar, b"IxPq": _Walk.product, b"IxPT": _Walk.turn,
    b"IxRF": _Walk.refine, b"IwFl": _Walk.ivf, b"IwPQ": _Walk.ivfpq, b"IwPf": _Walk.ivfpq4, b"Iwrn": _Walk.rabitq,
    b"IHNf": _Walk.hnsw, b"IHc2": _Walk.cagra,
}  # fmt: skip
