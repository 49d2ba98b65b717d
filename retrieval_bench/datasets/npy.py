"""NumPy files: one ``.npy``; a folder with ``corpus.npy`` and ``queries.npy``; a ``.npz`` with those names as keys.

Other names of the two are ``base`` with ``query``, as TEXMEX has them, and ``train`` with ``test``, as ann-benchmarks.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.datasets._bounds import check_claim
from retrieval_bench.datasets._vectorset import Given, as_floats, vector_dataset
from retrieval_bench.errors import CardError, DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen

_CORPUS = ("corpus", "base", "train")
_QUERIES = ("queries", "query", "test")


class Options(Frozen):
    """The names are fixed; query sets besides ``queries`` are named by the card's ``splits``."""


@readers.register("npy")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read arrays ``corpus`` (n, d), ``queries`` (m, d) and ``neighbors`` (m, k). ``l2`` unless the card says.

    ``.npy`` files of float32 and float64 stay memory-mapped; other number types become float32 in memory. A single
    ``.npy`` is a corpus without queries.

    Raises:
        DataError: a file cannot be read as arrays (pickled objects are refused), or it is not clear which is the
            corpus or which are the queries.
    """
    validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None:
        raise DataError(f"{card.name}: needs a .npy or .npz file, or a folder with corpus.npy")
    arrays = _arrays(path)
    corpus = _one_of(_CORPUS, arrays, path)
    if corpus is None:
        raise DataError(f"{path}: has no 'corpus' array (found: {', '.join(sorted(arrays)) or 'none'})")
    if missing := set(card.splits.values()) - set(arrays):
        raise CardError(f"dataset card {card.name!r}: {path} has no array {min(missing)!r}")
    splits = {str(split): name for split, name in card.splits.items()}
    if not splits and (queries := _one_of(_QUERIES, arrays, path)):
        splits = {"test": queries}
    return vector_dataset(
        card,
        source=str(path),
        metric=card.metric or "l2",
        corpus=as_floats(arrays[corpus], source=str(path)),
        queries={split: as_floats(arrays[name], source=str(path)) for split, name in splits.items()},
        given={"test": Given(arrays["neighbors"])} if "neighbors" in arrays and "test" in splits else {},
    )


def _one_of(names: tuple[str, ...], arrays: Mapping[str, object], path: Path) -> str | None:
    """Which array is called by one of the names; the first name is ours and goes before the others."""
    found = [name for name in names if name in arrays]
    if len(found) > 1 and found[0] != names[0]:
        raise DataError(f"{path}: cannot tell which array to take of {', '.join(found)}; call it {names[0]!r}")
    return found[0] if found else None


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    if path.is_dir():
        return {file.stem: _load(file) for file in sorted(path.glob("*.npy"))}
    if path.suffix != ".npz":
        return {"corpus": _load(path)}
    try:
        _check_claims(path)
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, tokenize.TokenError) as error:
        raise _damaged(path, error) from error


def _check_claims(path: Path) -> None:
    """Refuse arrays whose headers claim other sizes than the archive unpacks to, for NumPy allocates what they say.

    Raises:
        DataError: of a member that would be far larger than its file, or is no array.
        ValueError, BadZipFile: damaged.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            where = f"{path}: {member.filename!r:.80}"
            check_claim(member.file_size, member.compress_size, source=where)
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
                shape, _, dtype = header(file)
                if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
                    raise DataError(f"{where}: is not as long as an array of {dtype} {shape} is; save it anew")


def _load(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, tokenize.TokenError) as error:
        raise _damaged(path, error) from error
    return array


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0]
    return DataError(f"{path}: cannot be read as NumPy arrays ({reason}); save it anew with np.save or np.savez")
