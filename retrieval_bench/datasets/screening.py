"""Records of a systematic review with the decision on each: a CSV file, the topics of its folder in ``topics.jsonl``.

The columns are ``id``, ``title``, ``abstract`` and ``included`` (1 or 0, the decision on the full text), or what
ASReview and its SYNERGY data call them (see ``_review_table``). Further columns are not read, but for
``included_abstract``, the decision on title and abstract, when a card's options ask for it. A line of ``topics.jsonl``
is ``{"name": ..., "topic": ...}``; a review without one can be read by active learning, and not be ranked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np

from retrieval_bench.datasets._json_lines import json_lines
from retrieval_bench.datasets._review_table import review_rows
from retrieval_bench.datasets._reviews import RepresentationOption, Review, review_dataset
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset

Decision = Literal["included", "included_abstract"]
TOPICS = "topics.jsonl"
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})
_OPEN = frozenset({"", "-1", "-1.0"})  # ASReview marks a record without a decision so


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

    Records without a decision or without title and abstract are left out, with a note.

    Args:
        path: the CSV file; its topic stands in ``topics.jsonl`` beside it.
        decision: the column that says what had to be found.

    Raises:
        DataError: a column is missing, an id is missing or occurs twice, a decision is neither 1 nor 0, the file is not
            a CSV file, or no record is included; names the line.
    """
    ids: dict[str, int] = {}
    titles, abstracts, included = [], [], []
    left_out = {"without a decision": 0, "with neither title nor abstract": 0}
    for line, key, title, abstract, said in review_rows(path, decision):
        where = f"{path}:{line}"
        if not key:
            raise DataError(f"{where}: the record has no id")
        if key in ids:
            raise DataError(f"{where}: the id {key!r} occurs a second time (first in line {ids[key]}); ids are unique")
        ids[key] = line
        if said.lower() not in _YES | _NO | _OPEN:
            raise DataError(f"{where}: the decision {said!r} in the column {decision!r} is not 1 or 0")
        if said in _OPEN or not (title or abstract):
            left_out["without a decision" if said in _OPEN else "with neither title nor abstract"] += 1
            del ids[key]
            continue
        titles.append(title)
        abstracts.append(abstract)
        included.append(said.lower() in _YES)
    topic = read_topics(path.parent).get(path.stem, "")
    counts = ", ".join(f"{count} {which}" for which, count in left_out.items() if count)
    notes = [f"records left out: {counts}"] if counts else []
    if not topic:
        line_to_add = json.dumps({"name": path.stem, "topic": "..."})
        notes.append(f"has no topic to rank its records for; add {line_to_add} to {path.parent / TOPICS}")
    return Review(
        name=path.stem,
        topic=topic,
        source=str(path),
        ids=list(ids),
        titles=titles,
        abstracts=abstracts,
        included=np.array(included, bool),
        notes=notes,
    )


def read_topics(folder: Path) -> dict[str, str]:
    """Review names and their titles, in the order of ``topics.jsonl``; none where there is no such file.

    Raises:
        DataError: a line is not ``{"name": TEXT, "topic": TEXT}`` or repeats a name.
    """
    path = folder / TOPICS
    if not path.is_file():
        return {}
    topics: dict[str, str] = {}
    for number, row in json_lines(path):
        name, topic = (row.get(key) if isinstance(row, dict) else None for key in ("name", "topic"))
        if not isinstance(name, str) or not isinstance(topic, str) or not topic.strip():
            raise DataError(f"{path}:{number}: needs the keys 'name' and 'topic' with a text each")
        if name in topics:
            raise DataError(f"{path}:{number}: the review {name!r} occurs a second time; keep one of the lines")
        topics[name] = topic.strip()
    return topics
