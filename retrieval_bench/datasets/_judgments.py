"""Relevance judgments: from the rows of a file to Queries and Qrels that are aligned with a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.types import IntArray, Qrels, Queries

# Large published pools judge some documents that their corpus lacks (CACM: 55 of 796); elsewhere it is a mistake.
_MOST_LACKING, _LARGE_POOL = 0.1, 100


@dataclass(frozen=True, kw_only=True)
class Judgments:
    """Judgments as a file holds them, one row each, in the order of the file.

    Attributes:
        source: file or data set to name in errors.
        query_ids: j ids.
        document_ids: j ids.
        grades: (j,) int64 relevance.
        lines: (j,) int64 line numbers in the source.
    """

    source: str
    query_ids: list[str]
    document_ids: list[str]
    grades: IntArray
    lines: IntArray

    def __len__(self) -> int:
        return len(self.query_ids)

    @property
    def columns(self) -> tuple[list[str], list[str], IntArray]:
        """Query ids, document ids and grades."""
        return self.query_ids, self.document_ids, self.grades

    def place(self, number: int) -> str:
        """Source and line of a judgment, for an error."""
        return f"{self.source}:{self.lines[number]}"


@dataclass(frozen=True, kw_only=True)
class _Joined(Judgments):
    parts: Sequence[Judgments]

    def place(self, number: int) -> str:
        for part in self.parts:
            if number < len(part):
                return part.place(number)
            number -= len(part)
        raise IndexError(number)


def joined(parts: Sequence[Judgments]) -> Judgments:
    """The judgments of several files as one; an error still names the file."""
    if len(parts) == 1:
        return parts[0]
    return _Joined(
        source=", ".join(part.source for part in parts),
        query_ids=[key for part in parts for key in part.query_ids],
        document_ids=[key for part in parts for key in part.document_ids],
        grades=np.concatenate([part.grades for part in parts]),
        lines=np.concatenate([part.lines for part in parts]),
        parts=parts,
    )


class JudgmentRows:
    """Collects the rows of one source; made into Judgments when the source is read.

    Args:
        source: file or data set to name in errors.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._queries: list[str] = []
        self._documents: list[str] = []
        self._grades: list[int] = []
        self._lines: list[int] = []

    def add(self, query_id: str, document_id: str, grade: str | int, line: int) -> None:
        """Append one row.

        Raises:
            DataError: the grade is not a whole number.
        """
        try:
            value = int(grade)
        except ValueError as error:
            raise DataError(
                f"{self._source}:{line}: the grade {grade!r} is not a whole number; grades are 0, 1, 2, ..."
            ) from error
        self._queries.append(query_id)
        self._documents.append(document_id)
        self._grades.append(value)
        self._lines.append(line)

    def finish(self) -> Judgments:
        """The judgments read.

        Raises:
            DataError: there is none.
        """
        if not self._queries:
            raise DataError(f"{self._source}: holds no judgments")
        return Judgments(
            source=self._source,
            query_ids=self._queries,
            document_ids=self._documents,
            grades=np.array(self._grades, np.int64),
            lines=np.array(self._lines, np.int64),
        )


class Judged(NamedTuple):
    """Queries and judgments of a split, aligned; ``note`` says what the corpus lacks, for the report."""

    queries: Queries
    qrels: Qrels
    note: str


def judged_split(
    judgments: Judgments, *, document_rows: Mapping[str, int], query_texts: Mapping[str, str], split: str
) -> Judged:
    """The queries of a split, which are those with judgments, and their judgments.

    Published collections judge a few documents that they do not hold. As trec_eval does, these count as judged and can
    never be found: they get rows past the end of the corpus. Many of them mean that the files do not belong together.

    Args:
        judgments: rows of the split.
        document_rows: document id to corpus row.
        query_texts: query id to text, of any split; its order is kept.
        split: name of the split.

    Raises:
        DataError: a judgment names an unknown query or repeats an earlier one, or some of them name documents that
            the corpus lacks: more than a tenth of them, or any when there are fewer than a hundred judgments.
    """
    graded: dict[str, dict[int, int]] = {}
    lacking: dict[str, int] = {}
    lacking_at: list[int] = []
    columns = zip(judgments.query_ids, judgments.document_ids, judgments.grades.tolist(), strict=True)
    for number, (query_id, document_id, grade) in enumerate(columns):
        if query_id not in query_texts:
            raise DataError(
                f"{judgments.place(number)}: judges the query {query_id!r}, which is not among the queries; "
                "add the query or remove the line"
            )
        row = document_rows.get(document_id)
        if row is None:
            lacking_at.append(number)
            row = lacking.setdefault(document_id, len(document_rows) + len(lacking))
        of_query = graded.setdefault(query_id, {})
        if row in of_query:
            raise DataError(
                f"{judgments.place(number)}: judges the query {query_id!r} and the document {document_id!r} "
                "a second time; keep one of the lines"
            )
        of_query[row] = grade
    if lacking_at and (len(judgments) < _LARGE_POOL or len(lacking_at) > _MOST_LACKING * len(judgments)):
        first = lacking_at[0]
        raise DataError(
            f"{judgments.place(first)}: judges the document {judgments.document_ids[first]!r}, which is not in the "
            f"corpus, as do {len(lacking_at)} of {len(judgments)} lines; add the documents or remove the lines"
        )
    note = ""
    if lacking_at:
        note = (
            f"{len(lacking_at)} of {len(judgments)} {split} judgments are of documents that the corpus lacks, "
            f"such as {min(lacking)!r}: they count and are never found"
        )
    ids = [query_id for query_id in query_texts if query_id in graded]
    queries = Queries(ids=ids, texts=[query_texts[query_id] for query_id in ids], split=split)
    qrels = Qrels(
        offsets=np.cumsum([0, *(len(graded[query_id]) for query_id in ids)], dtype=np.int64),
        rows=np.array([row for query_id in ids for row in graded[query_id]], np.int64),
        grades=np.array([grade for query_id in ids for grade in graded[query_id].values()], np.int64),
    )
    return Judged(queries, qrels, note)
