"""BEIR folders (Thakur et al. 2021): ``corpus.jsonl``, ``queries.jsonl``, ``qrels/<split>.tsv``, plain or gzipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from retrieval_bench.datasets._asked import first_texts
from retrieval_bench.datasets._html import read_pages
from retrieval_bench.datasets._json_lines import json_lines
from retrieval_bench.datasets._lines import plain_or_gzipped
from retrieval_bench.datasets._qrels import qrels_files, read_beir_qrels
from retrieval_bench.datasets._splits import choose_splits
from retrieval_bench.datasets._textset import text_dataset, title_and_text, unique_texts
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen

_LAYOUT = "a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv"


class Options(Frozen):
    """Where the documents are."""

    pages: str | None = Field(None, description="archive of HTML pages in the folder, to be read for corpus.jsonl")


@readers.register("beir")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read a BEIR folder.

    A document is its title, a blank and its text, or the whole text of an HTML page. The queries of a split are those
    that its file judges:
    ``dev``, ``valid`` or ``validation`` serve as ``tune``; without them ``train`` serves as both. Of two queries of one
    id the first is kept.

    Raises:
        DataError: a file is missing, a line cannot be read, a document's id occurs twice, or a judgment names something
            unknown; names the file and line.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_dir():
        raise DataError(f"{card.name}: a BEIR data set is a folder with corpus.jsonl, queries.jsonl and qrels/")
    titles = None
    if options.pages is None:
        documents, titles = jsonl_documents(_required(path, "corpus.jsonl"))
    else:
        documents = unique_texts(read_pages(_required(path, options.pages)), what="document")
    query_texts, notes = jsonl_queries(_required(path, "queries.jsonl"))
    files = qrels_files(path / "qrels")
    if not files:
        raise DataError(f"{path}: qrels/test.tsv is missing; {_LAYOUT}")
    splits = choose_splits(card, files, source=str(path / "qrels"))
    judgments = {split: read_beir_qrels(files[name]) for split, name in splits.items()}
    return text_dataset(
        card, documents=documents, query_texts=query_texts, judgments=judgments, titles=titles, notes=notes
    )


def _required(folder: Path, name: str) -> Path:
    found = plain_or_gzipped(folder, name)
    if found is None:
        raise DataError(f"{folder}: has no {name}; {_LAYOUT}")
    return found


def jsonl_queries(path: Path) -> tuple[dict[str, str], list[str]]:
    """Id to title and text, in the order of a JSON-lines file with the keys ``_id``, ``text`` and maybe ``title``.

    Returns:
        The texts, and a note where a query was left out because its id occurred before.

    Raises:
        DataError: a line is not a JSON object or lacks a key, or there is no line; names the file and line.
    """
    texts, notes = first_texts((place, key, title_and_text(*parts)) for place, key, parts in _rows(path))
    if not texts:
        raise DataError(f"{path}: holds no query")
    return texts, notes


def jsonl_documents(path: Path) -> tuple[dict[str, str], list[str] | None]:
    """Id to title and text, as ``jsonl_queries``, and the titles in the same order; None where no document has one."""
    parts = jsonl_titles_and_texts(path, what="document")
    titles = [title.strip() for title, _ in parts.values()]
    texts = {key: title_and_text(title, text) for key, (title, text) in parts.items()}
    return texts, titles if any(titles) else None


def jsonl_titles_and_texts(path: Path, *, what: str) -> dict[str, tuple[str, str]]:
    """Id to title and text, apart.

    Args:
        path: as for ``jsonl_queries``.
        what: ``document`` or ``record``, for errors.

    Raises:
        DataError: as ``jsonl_queries``, or an id occurs twice.
    """
    texts = unique_texts(_rows(path), what=what)
    if not texts:
        raise DataError(f"{path}: holds no {what}")
    return texts


def _rows(path: Path) -> Iterator[tuple[str, str, tuple[str, str]]]:
    for number, row in json_lines(path):
        where = f"{path}:{number}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: holds a {type(row).__name__}, not an object with the keys '_id' and 'text'")
        yield where, _id(row, where), (_text(row, "title", where), _text(row, "text", where))


def _id(row: dict[str, Any], where: str) -> str:
    value = row.get("_id")
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}: needs the key '_id' with a text or a whole number (got {value!r:.40})")
    return str(value)


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if value is None and key == "title":  # the title may be left out, or null
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where}: needs the key {key!r} with a text (got {value!r:.40})")
    return value
