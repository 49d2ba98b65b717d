"""Folders of vector files: which file is the base, which hold queries, and which the exact neighbors."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from retrieval_bench.errors import CardError, DataError
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Frozen

# big-ann-benchmarks keeps the first rows of a file as base.1B.u8bin.crop_nb_10000000.
_CROP = re.compile(r"\.crop_nb_\d+$")
_SIZE = re.compile(r"[-.]\d+[kmb]$", re.IGNORECASE)  # its neighbor files are called bigann-10M, with no suffix


class Options(Frozen):
    """File names in the folder, for folders whose names do not say which file is which."""

    base: str | None = Field(None, description="the vectors that are searched")
    groundtruth: str | None = Field(None, description="exact neighbors of the test queries")


class Files(NamedTuple):
    """The base file, query files by split, and the neighbors of the test queries where given."""

    base: Path
    queries: dict[str, Path]
    groundtruth: Path | None
    notes: tuple[str, ...] = ()


def type_suffix(file: Path) -> str:
    """The suffix that tells the type of a vector file; empty where the end of its name is but a size (GT.1B)."""
    name = _CROP.sub("", file.name)
    return "" if _SIZE.search(name) else Path(name).suffix


def find_files(card: DatasetCard, path: Path | None, *, vectors: Collection[str], neighbors: Collection[str]) -> Files:
    """Tell the files of a folder apart by their names, as TEXMEX, big-ann-benchmarks and RAFT write them.

    Names with ``groundtruth`` (or beginning with ``gt``, or ending in a size as ``bigann-10M``) hold neighbors, with
    ``learn`` training queries, with ``query`` test queries, with ``base`` the corpus. The card's options and ``splits``
    name files outright. A path to a single file is a corpus without queries.

    Args:
        card: its ``options`` are Options, its ``splits`` file names.
        path: file or folder.
        vectors: suffixes of vector files, such as ``.fvecs``.
        neighbors: suffixes of neighbor files, such as ``.ivecs``; the empty one lets files without a suffix pass.

    Returns:
        The files, and a note of one that looks like neighbors and has no name that says so.

    Raises:
        CardError: a file that the card names is not there.
        DataError: no base file, or two files for one role.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None:
        raise DataError(f"{card.name}: needs a file or folder of vectors ({', '.join(sorted(vectors))})")
    if path.is_file():
        return Files(path, {}, None)
    roles: dict[str, list[Path]] = {"base": [], "test": [], "train": [], "groundtruth": []}
    for file in sorted(path.iterdir()):
        role = _role(file, vectors, neighbors)
        if role:
            roles[role].append(file)
    queries = {str(split): _named(card, path, name) for split, name in card.splits.items()}
    if not queries:
        found = {split: _only(roles[split], path, f"[splits] {split}") for split in ("test", "train")}
        queries = {split: file for split, file in found.items() if file}
    base = _named(card, path, options.base) if options.base else _only(roles["base"], path, "[options] base")
    if base is None:
        raise DataError(f"{path}: no file there is named as the base vectors (such as base{min(vectors)})")
    if options.groundtruth:
        return Files(base, queries, _named(card, path, options.groundtruth))
    groundtruth = _only(roles["groundtruth"], path, "[options] groundtruth")
    unused = [] if groundtruth else [f.name for f in sorted(path.iterdir()) if _may_be_neighbors(f, neighbors)]
    notes = [f"{name} is not used: if it holds neighbors, call it groundtruth{Path(name).suffix}" for name in unused]
    return Files(base, queries, groundtruth, tuple(notes))


def _role(file: Path, vectors: Collection[str], neighbors: Collection[str]) -> str | None:
    name, suffix = file.name.lower(), type_suffix(file)
    if "distances" in name:  # RAFT keeps them in a file of their own; they are computed anew
        return None
    if "groundtruth" in name or name.startswith("gt") or (not suffix and _SIZE.search(name)):
        return "groundtruth" if suffix in neighbors else None
    if suffix not in vectors:
        return None
    return next((r for word, r in (("learn", "train"), ("quer", "test"), ("base", "base")) if word in name), None)


def _may_be_neighbors(file: Path, neighbors: Collection[str]) -> bool:
    return bool(file.suffix) and file.suffix in neighbors and "distances" not in file.name.lower()


def _only(files: list[Path], folder: Path, key: str) -> Path | None:
    if len(files) > 1:
        names = ", ".join(f.name for f in files)
        raise DataError(f"{folder}: cannot tell which file to take of {names}; name it in a dataset card: {key} = ...")
    return files[0] if files else None


def _named(card: DatasetCard, folder: Path, name: str) -> Path:
    file = folder / name
    if not file.is_file():
        raise CardError(f"dataset card {card.name!r}: there is no file {name!r} in {folder}")
    return file
