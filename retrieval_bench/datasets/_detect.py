"""A dataset card for a file or folder that has none: its reader is told by names and suffixes."""

from __future__ import annotations

from pathlib import Path

from retrieval_bench.datasets._lines import plain_or_gzipped
from retrieval_bench.datasets._vector_folder import type_suffix
from retrieval_bench.errors import DataError
from retrieval_bench.specs import DatasetCard

_READER_BY_SUFFIX = {
    ".hdf5": "hdf5",
    ".h5": "hdf5",
    ".fvecs": "vecs",
    ".bvecs": "vecs",
    ".fbin": "bigann",
    ".f16bin": "bigann",
    ".u8bin": "bigann",
    ".i8bin": "bigann",
    ".npy": "npy",
    ".npz": "npy",
    ".parquet": "parquet",
    ".csv": "screening",
}
_FOLDER_SUFFIXES = {s: r for s, r in _READER_BY_SUFFIX.items() if r != "hdf5" and s not in (".npz", ".csv")}
_ACCEPTED = (
    "a BEIR folder (corpus.jsonl, queries.jsonl, qrels/), a TREC folder (topics*, qrels*, documents), "
    "a CLEF TAR folder (topics/, corpus.jsonl), LitSearch (query/, corpus_clean/), "
    "a language of CodeSearchNet (final/jsonl/, or train/, valid/, test/), "
    "CoSQA (code_idx_map.txt, cosqa-retrieval-test-500.json), "
    f"a file {', '.join(_READER_BY_SUFFIX)}, or a folder of {', '.join(_FOLDER_SUFFIXES)} files"
)


def looks_like_path(name: str) -> bool:
    """Whether a name that is nothing else was meant as a path."""
    return name.startswith(("/", "./", "../", "~")) or Path(name).suffix in _READER_BY_SUFFIX


def card_for_path(path: Path) -> DatasetCard:
    """Describe a file or folder.

    Raises:
        DataError: no reader is known for it; lists what is accepted.
    """
    reader = _READER_BY_SUFFIX.get(type_suffix(path)) if path.is_file() else _folder_reader(path)
    if reader is None:
        raise DataError(f"{path}: not a data set that can be read; accepted: {_ACCEPTED}")
    name = path.stem if path.is_file() else path.resolve().name
    return DatasetCard.model_validate(
        {"name": name, "summary": f"read from {path.name}", "reader": reader, "path": path}
    )


def _folder_reader(folder: Path) -> str | None:
    if plain_or_gzipped(folder, "queries.jsonl") and plain_or_gzipped(folder, "corpus.jsonl"):
        return "beir"
    if (folder / "topics").is_dir() and plain_or_gzipped(folder, "corpus.jsonl"):
        return "clef_tar"
    if _has_table(folder, "query") and _has_table(folder, "corpus_clean"):
        return "litsearch"
    if (folder / "final" / "jsonl").is_dir() or any(folder.glob("test/*.jsonl*")):
        return "codesearchnet"
    if (folder / "code_idx_map.txt").is_file():
        return "cosqa"
    if any(folder.glob("topics*")) and any(folder.glob("qrels*")):
        return "trec"
    if plain_or_gzipped(folder, "corpus.jsonl"):  # the BEIR reader says what is missing
        return "beir"
    suffixes = {type_suffix(file) for file in folder.iterdir()}
    return next((reader for suffix, reader in _FOLDER_SUFFIXES.items() if suffix in suffixes), None)


def _has_table(folder: Path, part: str) -> bool:
    return (folder / f"{part}.parquet").is_file() or any(folder.glob(f"{part}/*.parquet"))
