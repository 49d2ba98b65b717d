"""TREC files: judgments ("qrels") and runs, and folders of topics, judgments and documents.

``read_qrels``, ``read_run`` and ``write_run`` serve other data too: they are how judgments and results are exchanged
with trec_eval and its kin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.datasets._asked import first_texts
from retrieval_bench.datasets._judgments import joined
from retrieval_bench.datasets._lines import BLANK, blank_separated, numbered_lines, plain_or_gzipped
from retrieval_bench.datasets._qrels import read_qrels as read_qrels
from retrieval_bench.datasets._splits import SPLIT_NAMES, choose_splits
from retrieval_bench.datasets._textset import text_dataset, unique_texts
from retrieval_bench.datasets._trec_documents import document_files, read_documents
from retrieval_bench.datasets._trec_topics import TopicField, Topics, read_topics
from retrieval_bench.datasets.beir import jsonl_documents
from retrieval_bench.errors import DataError
from retrieval_bench.files import atomic_file
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen, IntArray

_RANK = re.compile(r"[+-]?[0-9]{1,18}")
_SCORE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?|[+-]?nan", re.IGNORECASE)
_FORMS = ("txt", "tsv", "qrels")  # parts of a qrels file's name that tell nothing of its split


class Options(Frozen):
    """Which part of a topic is the query."""

    field: TopicField = Field("title", description="title, desc (a sentence) or narr (a paragraph)")


@dataclass(frozen=True, kw_only=True)
class Run:
    """Results of many queries, one row per query and document, in the order of the file.

    Attributes:
        query_ids: j ids.
        document_ids: j ids.
        ranks: (j,) int64, as stated.
        scores: (j,) float64; trec_eval orders by these and not by the ranks.
        tag: name of the system.
    """

    query_ids: Sequence[str]
    document_ids: Sequence[str]
    ranks: IntArray
    scores: npt.NDArray[np.float64]
    tag: str

    @property
    def columns(self) -> tuple[Sequence[str], Sequence[str], npt.NDArray[np.float64]]:
        """Query ids, document ids and scores."""
        return self.query_ids, self.document_ids, self.scores


@readers.register("trec")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read a folder with ``topics*`` and ``qrels*`` files and documents, plain or gzipped.

    Documents are ``corpus.jsonl`` or, anywhere below the folder and whatever their names, files of ``<DOC>`` blocks.
    Several judgment files are told apart by a split's name between dots, as in ``qrels.dev.txt``; the card's
    ``splits`` are such names. Without any they are parts of one query set.

    Raises:
        DataError: a file is missing or cannot be read; names the file and line.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_dir():
        raise DataError(f"{card.name}: a TREC data set is a folder with topics*, qrels* and documents")
    topics = {str(file): read_topics(file, field=options.field) for file in _files(path, "topics")}
    query_texts, repeated = first_texts((file, *pair) for file, part in topics.items() for pair in _pairs(part))
    notes = [*(note for part in topics.values() for note in part.notes), *repeated]
    named = _judgment_files(card, path)
    chosen = choose_splits(card, named, source=str(path))
    judgments = {split: joined([read_qrels(file) for file in named[name]]) for split, name in chosen.items()}
    corpus = plain_or_gzipped(path, "corpus.jsonl")
    titles = None
    if corpus:
        documents, titles = jsonl_documents(corpus)
    else:
        documents = unique_texts(
            (row for file in document_files(path) for row in read_documents(file)), what="document"
        )
    if not documents:
        raise DataError(f"{path}: holds no documents; put corpus.jsonl or files of <DOC> blocks there")
    return text_dataset(
        card, documents=documents, query_texts=query_texts, judgments=judgments, titles=titles, notes=notes
    )


def _pairs(topics: Topics) -> zip[tuple[str, str]]:
    return zip(topics.ids, topics.texts, strict=True)


def _files(folder: Path, beginning: str) -> list[Path]:
    files = [file for file in sorted(folder.glob(f"{beginning}*")) if file.is_file()]
    if not files:
        raise DataError(f"{folder}: has no {beginning}* file")
    return files


def _judgment_files(card: DatasetCard, folder: Path) -> dict[str, list[Path]]:
    """The qrels files by split; where no name tells a split they are parts of one, as of TREC's years."""
    files = _files(folder, "qrels")
    parts = {file: _name_parts(file) for file in files}
    if not card.splits and SPLIT_NAMES.isdisjoint(name for names in parts.values() for name in names):
        return {"test": files}
    named = {names[-1] if names else "test": [file] for file, names in parts.items()}
    if len(named) < len(files):
        raise DataError(f"{folder}: several qrels files for one split; name them qrels.test.txt, qrels.dev.txt, ...")
    return named


def _name_parts(file: Path) -> list[str]:
    return [part for part in re.split(r"[._-]", file.name.removesuffix(".gz"))[1:] if part not in _FORMS]


def read_run(path: Path) -> Run:
    """Read results: query id, Q0, document id, rank, score, tag, separated by blanks.

    Raises:
        DataError: a line does not have six fields, a rank or score is not a number, a query names a document twice, or
            there is no line.
    """
    query_ids, document_ids, ranks, scores = list[str](), list[str](), list[int](), list[float]()
    seen = set[tuple[str, str]]()
    rows = _fields(path, 6, "query-id Q0 document-id rank score tag")
    if not rows:
        raise DataError(f"{path}: holds no results")
    for number, (query_id, _, document_id, rank, score, _tag) in rows:
        if not (_RANK.fullmatch(rank) and _SCORE.fullmatch(score)):
            raise DataError(f"{path}:{number}: the rank {rank!r:.40} or the score {score!r:.40} is not a number")
        ranks.append(int(rank))
        scores.append(float(score))
        if math.isnan(scores[-1]):
            raise DataError(f"{path}:{number}: the score is not a number, so the document has no place in the order")
        if (query_id, document_id) in seen:
            raise DataError(f"{path}:{number}: the query {query_id!r} has the document {document_id!r} a second time")
        seen.add((query_id, document_id))
        query_ids.append(query_id)
        document_ids.append(document_id)
    return Run(
        query_ids=query_ids,
        document_ids=document_ids,
        ranks=np.array(ranks, np.int64),
        scores=np.array(scores, np.float64),
        tag=rows[0][1][5],
    )


def _fields(path: Path, count: int, form: str) -> list[tuple[int, list[str]]]:
    rows = []
    for number, line in numbered_lines(path):
        fields = blank_separated(line)
        if fields and len(fields) != count:
            raise DataError(f"{path}:{number}: has {len(fields)} fields, not the {count} of {form!r}")
        if fields:
            rows.append((number, fields))
    return rows


def write_run(path: Path, run: Run) -> None:
    """Write results as trec_eval reads them; scores keep every digit.

    Raises:
        DataError: an id or the tag holds white space, which the format cannot carry, or the file cannot be written.
    """
    for name in {*run.query_ids, *run.document_ids, run.tag}:
        if not name or set(name) & set(BLANK):
            raise DataError(f"{path}: {name!r} is empty or holds white space, which a TREC run cannot carry")
    columns = zip(run.query_ids, run.document_ids, run.ranks.tolist(), run.scores.tolist(), strict=True)
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for query_id, document_id, rank, score in columns:
            file.write(f"{query_id} Q0 {document_id} {rank} {score!r} {run.tag}\n")
