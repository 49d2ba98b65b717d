"""Relevance judgments: from the rows of a file to Queries and Qrels that are aligned with a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.types import IntArray, Qrels, Queries

# Published pools judge some documents that their corpus lacks (CACM: 55 of 796), and sets that were cut down judge
# more; where most judgments name what is not there, the files do not belong together.
_MOST_UNKNOWN = 0.5
_HIGHEST_GRADE = 2**31 - 1  # so that sums of grades stay exact


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

    def graded_once(self) -> Judgments:
        """The same.

        Raises:
            DataError: a document has two grades for one query; names the second line.
        """
        first: dict[tuple[str, str], int] = {}
        for number, pair in enumerate(zip(self.query_ids, self.document_ids, strict=True)):
            if first.setdefault(pair, number) != number:
                raise DataError(
                    f"{self.place(number)}: judges the query {pair[0]!r} and the document {pair[1]!r} a second time, "
                    "with another grade; keep one of the lines"
                )
        return self

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
        self._seen: set[tuple[str, str, int]] = set()

    def add(self, query_id: str, document_id: str, grade: str | float, line: int) -> None:
        """Append one row, unless an earlier one says the same.

        Raises:
            DataError: the grade is not a whole number, or far too large.
        """
        value = _whole(grade)
        if value is None or abs(value) > _HIGHEST_GRADE:
            what = "is not a whole number" if value is None else "is too large"
            raise DataError(f"{self._source}:{line}: the grade {grade!r:.40} {what}; grades are 0, 1, 2, ...")
        if (query_id, document_id, value) in self._seen:
            return
        self._seen.add((query_id, document_id, value))
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


def _whole(grade: str | float) -> int | None:
    """The whole number that a grade is, also where it is written ``1.0``; None where it is none."""
    try:
        return int(grade) if isinstance(grade, str | int) else _whole(str(grade))
    except ValueError:
        pass
    try:
        return int(float(grade)) if float(grade).is_integer() else None
    except ValueError:
        return None


class Judged(NamedTuple):
    """Queries and judgments of a split, aligned; ``note`` says what is lacking, for the report."""

    queries: Queries
    qrels: Qrels
    note: str


def judged_split(
    judgments: Judgments, *, document_rows: Mapping[str, int], query_texts: Mapping[str, str], split: str
) -> Judged:
    """The queries of a split, which are those with judgments, and their judgments.

    Published collections judge a few documents that they do not hold. As trec_eval does, these count as judged and can
    never be found: they get rows past the end of the corpus. Judgments of queries that are not there say nothing.

    Args:
        judgments: rows of the split.
        document_rows: document id to corpus row.
        query_texts: query id to text, of any split; its order is kept.
        split: name of the split.

    Raises:
        DataError: two rows grade one document of a query differently, more than half of the rows name queries or
            documents that are not there, or no query of the test split has a relevant document.
    """
    _same_files(judgments, document_rows, query_texts)
    graded: dict[str, dict[int, int]] = {}
    lacking: dict[str, int] = {}
    unasked: list[str] = []
    columns = zip(judgments.query_ids, judgments.document_ids, judgments.grades.tolist(), strict=True)
    for number, (query_id, document_id, grade) in enumerate(columns):
        if query_id not in query_texts:
            unasked.append(query_id)
            continue
        row = document_rows.get(document_id)
        if row is None:
            row = lacking.setdefault(document_id, len(document_rows) + len(lacking))
        of_query = graded.setdefault(query_id, {})
        if of_query.get(row, grade) != grade:
            raise DataError(
                f"{judgments.place(number)}: judges the query {query_id!r} and the document {document_id!r} "
                "a second time, with another grade; keep one of the lines"
            )
        of_query[row] = grade
    n = len(document_rows)
    barren = sum(not any(row < n and grade > 0 for row, grade in of_query.items()) for of_query in graded.values())
    if barren == len(graded) and split == "test":
        raise DataError(
            f"{judgments.source}: no query has a relevant document in the corpus (a grade above 0), "
            "so every system would score 0; mend the grades"
        )
    absent = sum(row >= n for of_query in graded.values() for row in of_query)
    every = f"{len(judgments)} {split} judgments are of"
    notes = []
    if absent:
        notes.append(
            f"{absent} of {every} documents that the corpus lacks, "
            f"such as {min(lacking)!r}: they count and are never found"
        )
    if unasked:
        notes.append(
            f"{len(unasked)} of {every} queries that are not there, such as {min(unasked)!r}: they are left out"
        )
    if barren:
        notes.append(f"{barren} of {len(graded)} {split} queries have no relevant document: they score 0")
    ids = [query_id for query_id in query_texts if query_id in graded]
    queries = Queries(ids=ids, texts=[query_texts[query_id] for query_id in ids], split=split)
    qrels = Qrels(
        offsets=np.cumsum([0, *(len(graded[query_id]) for query_id in ids)], dtype=np.int64),
        rows=np.array([row for query_id in ids for row in graded[query_id]], np.int64),
        grades=np.array([grade for query_id in ids for grade in graded[query_id].values()], np.int64),
    )
    return Judged(queries, qrels, "; ".join(notes))


def _same_files(judgments: Judgments, document_rows: Mapping[str, int], query_texts: Mapping[str, str]) -> None:
    """Refuse judgments most of which are of queries or documents that are not there."""
    for what, ids, known, place in (
        ("query", judgments.query_ids, query_texts, "among the queries"),
        ("document", judgments.document_ids, document_rows, "in the corpus"),
    ):
        unknown = [number for number, key in enumerate(ids) if key not in known]
        if len(unknown) > _MOST_UNKNOWN * len(judgments):
            raise DataError(
                f"{judgments.place(unknown[0])}: judges the {what} {ids[unknown[0]]!r}, which is not {place}, "
                f"as do {len(unknown)} of {len(judgments)} lines; add what is judged or give the judgments of this data"
            )
