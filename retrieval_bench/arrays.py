"""Arrays and texts in files: checked to be exactly what they must be before anything points into them.

A file is a plain ``.npy`` of version 1.0, as ``np.save`` writes it. Nothing is unpacked or unpickled, so reading takes
no more memory than the file has bytes, whatever the file says of itself.
"""

from __future__ import annotations

import codecs
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import ArtifactError
from retrieval_bench.files import atomic_file, open_regular

Shape = Sequence[int | str | None]
Sizes = dict[str, int]

_MAGIC, _LONGEST_HEADER = b"\x93NUMPY\x01\x00", 1024
_HEADER = re.compile(  # as numpy writes it, and ScaNN
    rb"\{'descr': ?'([<|][biuf][1248])', 'fortran_order': ?False, 'shape': ?\(((?:\d+, ?)*\d*)\)(?:, )?\} *\n?"
)
_BLOCK = 1 << 20  # values or bytes looked at together


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array of numbers as ``load_array`` reads it: row by row, little end first; atomically."""
    written = np.asarray(array, order="C")
    with atomic_file(path) as temporary:
        np.save(temporary, written.astype(written.dtype.newbyteorder("<"), copy=False), allow_pickle=False)


def load_array(
    path: Path,
    dtype: type[np.generic] | tuple[type[np.generic], ...] | None,
    shape: Shape | None,
    sizes: Sizes | None = None,
    *,
    low: int | None = None,
    high: int | None = None,
    mapped: bool = False,
) -> npt.NDArray[Any]:
    """Read an array that must be of one form; a pointer to it may then go to C.

    Args:
        path: a regular file; links, pipes and devices are refused.
        dtype: the type of its numbers, several to choose from, or None for any.
        shape: for each axis its size, None for any, or a name: axes of one name have one size. None: any shape.
        sizes: sizes by name; filled in with those that are met here for the first time.
        low: every value is at least this: for rows, slots and lists that C follows.
        high: every value is below this.
        mapped: map the file, read-only, rather than read it.

    Returns:
        A C-contiguous array in this machine's byte order, with no NaN and no infinite value.

    Raises:
        ArtifactError: the file is missing, or of another type, shape, order or length, or a value is out of range.
    """
    with open_regular(path) as file:
        found, there, start = _header(path, file)
        dtypes = [np.dtype(d) for d in (dtype if isinstance(dtype, tuple) else (dtype,)) if d is not None]
        if dtypes and found not in dtypes:
            raise unfit(path, f"holds {found}, not {' or '.join(map(str, dtypes))}")
        if shape is not None:
            _fit(path, there, shape, {} if sizes is None else sizes)
        count = math.prod(there)
        if os.fstat(file.fileno()).st_size != start + count * found.itemsize:
            raise unfit(path, f"is not as long as an array of {found} {there} is")
        if mapped and count:
            array: npt.NDArray[Any] = np.memmap(file, found, "r", start, there)
        else:
            array = np.fromfile(file, found, count).reshape(there)
    _check_values(path, array.reshape(-1), low, high)
    return array


def _header(path: Path, file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Type, shape and where the values begin."""
    began = file.read(len(_MAGIC) + 2)
    length = int.from_bytes(began[len(_MAGIC) :], "little")
    if not began.startswith(_MAGIC) or length > _LONGEST_HEADER:
        raise unfit(path, "is no .npy file of version 1.0")
    if not (said := _HEADER.fullmatch(file.read(length))):
        raise unfit(path, "is not an array of numbers, row by row")
    shape = tuple(int(size) for size in said[2].decode().replace(" ", "").split(",") if size)
    return np.dtype(said[1].decode()), shape, len(began) + length


def _fit(path: Path, found: tuple[int, ...], shape: Shape, sizes: Sizes) -> None:
    same = len(found) == len(shape)
    for have, want in zip(found, shape, strict=False):
        same = same and (want is None or have == (sizes.setdefault(want, have) if isinstance(want, str) else want))
    if not same:
        wanted = ", ".join("any" if s is None else f"{s} = {sizes[s]}" if s in sizes else str(s) for s in shape)
        raise unfit(path, f"has the shape {found}, not ({wanted})")


def _check_values(path: Path, values: npt.NDArray[Any], low: int | None, high: int | None) -> None:
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise unfit(path, "holds a NaN or infinite value")
        if (low is not None and block.min() < low) or (high is not None and block.max() >= high):
            raise unfit(path, f"holds {block.min()} to {block.max()}, beyond {low} to {high}")


def unfit(path: Path, reason: str) -> ArtifactError:
    """The error of a file that is not what it must be."""
    return ArtifactError(f"{path}: {reason}; build the index again")


class Strings(Sequence[str]):
    """Texts as they stand in memory and in files: their UTF-8 one after the other, and where each begins.

    Args:
        joined: (bytes,) uint8.
        starts: (n + 1,) int64, ascending from 0 to the number of bytes.
    """

    def __init__(self, joined: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> None:
        self._joined, self._starts = joined, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        chosen = range(len(self))[index]
        return self._text(chosen) if isinstance(chosen, int) else [self._text(i) for i in chosen]

    def __iter__(self) -> Iterator[str]:
        return map(self._text, range(len(self)))

    def _text(self, i: int) -> str:
        return self._joined[self._starts[i] : self._starts[i + 1]].tobytes().decode("utf-8", "surrogatepass")


def save_strings(folder: Path, name: str, texts: Sequence[str]) -> None:
    """Write texts as two arrays, ``name.npy`` and ``name-starts.npy``."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    starts = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=starts[1:])
    save_array(folder / f"{name}.npy", np.frombuffer(b"".join(encoded), np.uint8))
    save_array(folder / f"{name}-starts.npy", starts)


def load_strings(folder: Path, name: str, n: int | None = None) -> Strings:
    """Read what ``save_strings`` wrote.

    Args:
        folder: where.
        name: under which name.
        n: how many there must be; None for any number.

    Raises:
        ArtifactError: a file is damaged, or the bytes are no UTF-8.
    """
    path = folder / f"{name}.npy"
    joined = load_array(path, np.uint8, (None,))
    starts = load_array(
        folder / f"{name}-starts.npy", np.int64, (None if n is None else n + 1,), low=0, high=len(joined) + 1
    )
    if not len(starts) or starts[0] != 0 or starts[-1] != len(joined) or bool((np.diff(starts) < 0).any()):
        raise unfit(path, "does not fit the places where its texts begin")
    within = joined[starts[starts < len(joined)]]
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    try:
        for start in range(0, len(joined), _BLOCK):
            decoder.decode(joined[start : start + _BLOCK].tobytes())
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise unfit(path, "is not UTF-8") from error
    if bool(((within & 0xC0) == 0x80).any()):
        raise unfit(path, "has a text that begins within a character")
    return Strings(joined, starts)
