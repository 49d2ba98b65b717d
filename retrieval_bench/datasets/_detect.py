"""A dataset card for a file or folder that has none: its reader is told by names and suffixes."""

from __future__ import annotations

from pathlib import Path

from retrieval_bench.datasets._lines import plain_or_gzipped
from retrieval_bench.datasets._vector_folder import type_suffix
from retrieval_bench.datasets.clef_tar import is_clef_tar
from retrieval_bench.datasets.table import holds_vectors
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
    ".tsv": "table",
}
_FOLDER_SUFFIXES = {s: r for s, r in _READER_BY_SUFFIX.items() if r != "hdf5" and s not in (".npz", ".csv", ".tsv")}
_ACCEPTED = (
    "a BEIR folder (corpus.jsonl, queries.jsonl, qrels/), a TREC folder (topics*, qrels*, documents), "
    "MS MARCO (collection.tsv, queries.*.tsv, qrels.*.tsv), "
    "a CLEF TAR folder (topics/, qrels, corpus.jsonl), LitSearch (query/, corpus_clean/), "
    "a language of CodeSearchNet (final/jsonl/, or train/, valid/, test/), "
    "CoSQA (code_idx_map.txt, cosqa-retrieval-test-500.json), "
    f"a file {', '.join(_READER_BY_SUFFIX)}, or a folder of {', '.join(_FOLDER_SUFFIXES)} files"
)


def looks_like_path(name: str) -> bool:
    """Whether a name that is nothing else was meant as a path: its beginning, its suffix or a folder tells."""
    path = Path(name)
    into_folder = len(path.parts) > 1 and Path(path.parts[0]).is_dir()
    return into_folder or name.startswith(("/", "./", "../", "~")) or path.suffix in _READER_BY_SUFFIX


def card_for_path(path: Path) -> DatasetCard:
    """Describe a file or folder.

    Raises:
        DataError: no reader is known for it; lists what is accepted.
    """
    reader = _READER_BY_SUFFIX.get(type_suffix(path)) if path.is_file() else _folder_reader(path)
    if reader is None:
        raise DataError(f"{path}: not a data set that can be read; accepted: {_ACCEPTED}")
    if reader == "screening" and path.is_file() and holds_vectors(path):
        reader = "table"
    name = path.stem if path.is_file() else path.resolve().name
    return DatasetCard.model_validate(
        {"name": name, "summary": f"read from {path.name}", "reader": reader, "path": path}
    )


def holds_beir(folder: Path) -> bool:
    """Whether a folder holds the documents and queries of a BEIR set."""
    return all(plain_or_gzipped(folder, name) for name in ("corpus.jsonl", "queries.jsonl"))


def _folder_reader(folder: Path) -> str | None:
    if holds_beir(folder):
        return "beir"
    if _has_table(folder, "query") and _has_table(folder, "corpus_clean"):
        return "litsearch"
    if (folder / "final" / "jsonl").is_dir() or any(folder.glob("test/*.jsonl*")):
        return "codesearchnet"
    if plain_or_gzipped(folder, "collection.tsv"):
        return "msmarco"
    if _has_file(folder, "topics*") and _has_file(folder, "qrels*"):
        return "trec"
    if is_clef_tar(folder) and (plain_or_gzipped(folder, "corpus.jsonl") or any(folder.rglob("*qrel*"))):
        return "clef_tar"  # its reader says what is missing
    if (folder / "code_idx_map.txt").is_file():
        return "cosqa"
    if any(folder.glob("topics*")) and any(folder.glob("qrels*")):
        return "trec"  # likewise
    if plain_or_gzipped(folder, "corpus.jsonl"):  # the BEIR reader says what is missing
        return "beir"
    suffixes = {type_suffix(file) for file in folder.iterdir()}
    found = next((reader for suffix, reader in _FOLDER_SUFFIXES.items() if suffix in suffixes), None)
    return found or ("screening" if ".csv" in suffixes else None)  # that reader says which command takes a folder


def _has_file(folder: Path, pattern: str) -> bool:
    return any(file.is_file() for file in folder.glob(pattern))


def _has_table(folder: Path, part: str) -> bool:
    return (folder / f"{part}.parquet").is_file() or any(folder.glob(f"{part}/*.parquet"))
