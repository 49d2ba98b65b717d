"""Records of a systematic review with the decision on each: a CSV file, the topics of its folder in ``topics.jsonl``.

The columns are ``id``, ``title``, ``abstract`` and ``included`` (1 or 0, the decision on the full text), as ASReview
and its SYNERGY data have them. Further columns are not read, but for ``included_abstract``, the decision on title and
abstract, when a card's options ask for it. A line of ``topics.jsonl`` is ``{"name": ..., "topic": ...}``.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from retrieval_bench.datasets._json_lines import json_lines
from retrieval_bench.datasets._lines import numbered_lines
from retrieval_bench.datasets._reviews import RepresentationOption, Review, review_dataset
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset

Decision = Literal["included", "included_abstract"]
TOPICS = "topics.jsonl"
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})


class Options(RepresentationOption):
    """Settings of the reader."""

    decision: Decision = "included"


@readers.register("screening")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read the CSV file of one review as a data set of one query, the review's title.

    Raises:
        DataError: see ``read_review``.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_file():
        raise DataError(
            f"{path or card.name}: a review is one CSV file; for a whole folder use `retrieval-bench screening FOLDER`"
        )
    return review_dataset(card, read_review(path, decision=options.decision), options.representation)


def read_review(path: Path, *, decision: Decision = "included") -> Review:
    """Read one review.

    Args:
        path: the CSV file; its topic stands in ``topics.jsonl`` beside it.
        decision: the column that says what had to be found.

    Raises:
        DataError: a column or the topic is missing, an id is missing or occurs twice, a decision is neither 1 nor 0, a
            record has neither title nor abstract, the file is not a CSV file, or no record is included; names the line.
    """
    ids: dict[str, int] = {}
    titles, abstracts, included = [], [], []
    for line, row in _rows(path, ("id", "title", "abstract", decision)):
        where, key = f"{path}:{line}", row["id"].strip()
        if not key:
            raise DataError(f"{where}: the record has no id")
        if key in ids:
            raise DataError(f"{where}: the id {key!r} occurs a second time (first in line {ids[key]}); ids are unique")
        ids[key] = line
        titles.append(row["title"].strip())
        abstracts.append(row["abstract"].strip())
        if not (titles[-1] or abstracts[-1]):
            raise DataError(f"{where}: the record {key!r} has neither title nor abstract; remove it or fill it in")
        said = row[decision].strip().lower()
        if said not in _YES | _NO:
            raise DataError(f"{where}: the decision {row[decision]!r} in the column {decision!r} is not 1 or 0")
        included.append(said in _YES)
    topics = read_topics(path.parent)
    if path.stem not in topics:
        raise DataError(f"{path.parent / TOPICS}: has no line for {path.stem!r}; add {{'name': ..., 'topic': ...}}")
    return Review(
        name=path.stem,
        topic=topics[path.stem],
        source=str(path),
        ids=list(ids),
        titles=titles,
        abstracts=abstracts,
        included=np.array(included, bool),
    )


def read_topics(folder: Path) -> dict[str, str]:
    """Review names and their titles, in the order of ``topics.jsonl``.

    Raises:
        DataError: the file is missing, or a line is not ``{"name": TEXT, "topic": TEXT}`` or repeats a name.
    """
    path = folder / TOPICS
    if not path.is_file():
        raise DataError(f"{folder}: has no {TOPICS}; it gives each review's title, which is what is asked")
    topics: dict[str, str] = {}
    for number, row in json_lines(path):
        name, topic = (row.get(key) if isinstance(row, dict) else None for key in ("name", "topic"))
        if not isinstance(name, str) or not isinstance(topic, str) or not topic.strip():
            raise DataError(f"{path}:{number}: needs the keys 'name' and 'topic' with a text each")
        if name in topics:
            raise DataError(f"{path}:{number}: the review {name!r} occurs a second time; keep one of the lines")
        topics[name] = topic.strip()
    return topics


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the line that a row ends on, row) of a CSV file with these columns."""
    text = "\n".join(line for _, line in numbered_lines(path))
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # abstracts may be longer than the default of 128 KiB
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = [column for column in columns if column not in (rows.fieldnames or ())]
        if missing:
            raise DataError(f"{path}: has no column {missing[0]!r}; a review has the columns {', '.join(columns)}")
        for row in rows:
            if None in row or None in row.values():
                raise DataError(f"{path}:{rows.line_num}: has not as many fields as the header has columns")
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{path}:{rows.reader.line_num}: not valid CSV ({error}); mend the quotes of that record"
        ) from error
