"""Any collection of the ``ir_datasets`` package that has documents, queries and judgments (MacAvaney et al. 2021)."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ir_datasets
from pydantic import Field

from retrieval_bench.datasets._judgments import JudgmentRows, Judgments
from retrieval_bench.datasets._textset import text_dataset, title_and_text, unique_texts
from retrieval_bench.errors import DataError, UnavailableError, UnknownNameError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen

_TUNE = ("dev", "valid", "validation")


class Options(Frozen):
    """Which collection."""

    name: str = Field(description="name in ir_datasets, such as beir/scifact or msmarco-passage/dev/small")


def knows(name: str) -> bool:
    """Whether ir_datasets has a collection of this name; reads no data."""
    try:
        ir_datasets.load(name)
    except KeyError:
        return False
    return True


@readers.register("ir_datasets")
def read(card: DatasetCard, path: Path | None) -> Dataset:  # noqa: ARG001 - the package finds its own files
    """Read a collection; the package downloads what it does not have.

    The collection asked for is ``test``, or its own ``test`` or development part when it has no judgments itself. Its
    sisters ``dev`` (or ``valid``) and ``train`` are ``tune`` and ``train``, unless the card's ``splits`` name others.
    A document is its title, a blank and its text or body, where it has these fields.

    Raises:
        DataError: the collection has no judgments, or they do not fit its documents.
        UnavailableError: the data cannot be had; says where to put it.
        UnknownNameError: ir_datasets has no collection of this name.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    splits = {str(split): name for split, name in card.splits.items()} or _splits(options.name)
    try:
        with _quiet():
            return _read(card, splits)
    except (RuntimeError, OSError, EOFError) as error:  # how the package reports a failed download
        raise UnavailableError(_how_to_get(options.name, error)) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package's log, and its bars where there is no terminal, from burying the one line that matters."""
    ir_datasets.log.easy().logger().setLevel(logging.ERROR)
    with contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO()):
        yield


def _read(card: DatasetCard, splits: Mapping[str, str]) -> Dataset:
    parts = {split: _load(name) for split, name in splits.items()}
    split, part = next(iter(parts.items()))  # parts of one collection share its documents
    found = unique_texts(_documents(part, splits[split]), what="document")
    documents = {key: whole for key, (_, whole) in found.items()}
    titles = [title for title, _ in found.values()]
    query_texts: dict[str, str] = {}
    for part in parts.values():
        query_texts.update(_queries(part))
    judgments = {split: _judgments(part, splits[split]) for split, part in parts.items()}
    return text_dataset(
        card, documents=documents, query_texts=query_texts, judgments=judgments, titles=titles if any(titles) else None
    )


def _load(name: str) -> Any:
    try:
        return ir_datasets.load(name)
    except KeyError as error:
        raise UnknownNameError("ir_datasets collection", name, ir_datasets.registry) from error


def _judged(name: str) -> bool:
    return knows(name) and bool(ir_datasets.load(name).has_qrels())


def _splits(name: str) -> dict[str, str]:
    asked = _load(name)
    test = name
    if not asked.has_qrels():
        test = next((f"{name}/{part}" for part in ("test", *_TUNE) if _judged(f"{name}/{part}")), "")
    if not test:
        raise DataError(f"{name}: has no relevance judgments, so nothing can be measured on it; choose a judged part")
    base = test.rpartition("/")[0]
    splits = {"test": test}
    tune = next((f"{base}/{part}" for part in _TUNE if _judged(f"{base}/{part}")), test)
    train = f"{base}/train"
    if base and tune != test:
        splits["tune"] = tune
    if base and train != test and _judged(train):
        splits["train"] = train
    return splits


def _documents(part: Any, name: str) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Place and id of each document, and its title, where it has one apart, with the whole text."""
    for number, document in enumerate(part.docs_iter(), start=1):
        title, text = getattr(document, "title", None), getattr(document, "text", getattr(document, "body", None))
        parts = ("", document.default_text().strip())
        if text is not None:
            parts = ((title or "").strip(), title_and_text(title or "", text))
        yield f"{name}: document {number}", document.doc_id, parts


def _queries(part: Any) -> Iterator[tuple[str, str]]:
    for query in part.queries_iter():
        yield query.query_id, getattr(query, "text", None) or query.default_text()


def _judgments(part: Any, name: str) -> Judgments:
    rows = JudgmentRows(name)
    for number, judgment in enumerate(part.qrels_iter(), start=1):
        rows.add(judgment.query_id, judgment.doc_id, judgment.relevance, number)
    return rows.finish()


def _how_to_get(name: str, error: Exception) -> str:
    """One line: what failed, from where, and where the package looks for a copy."""
    attempts = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], list) else []
    urls = [attempt[0].url for attempt in attempts if hasattr(attempt[0], "url")]
    if request := getattr(error, "request", None):
        urls = [request.url]
    reason = f"from {urls[0]}" if urls else str(error).partition("\n")[0][:200]
    folder = ir_datasets.util.home_path() / name.partition("/")[0]
    return (
        f"{name}: ir_datasets cannot get the data ({reason}); connect to a network, "
        f"or copy {folder} from a machine that has it"
    )
