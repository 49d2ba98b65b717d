"""Topics of the CLEF eHealth task "Technologically Assisted Reviews" (Kanoulas et al. 2017 to 2019).

A folder with ``topics/``, one file per review with the parts ``Topic:``, ``Title:``, ``Query:`` and ``Pids:``; with
judgments, files with ``qrel`` and ``abs`` or ``content`` in their names, of lines ``topic 0 pid grade``; and with
``corpus.jsonl`` (or .gz), the PubMed records as ``{"_id": PID, "title": ..., "text": ABSTRACT}``, which CLEF does not
hand out. Topics and judgments may stand anywhere below, topics in folders whose names begin with ``topics``: CLEF has
``topics_train/`` in 2017, and ``DTA/topics/`` and ``Intervention/topics/`` in 2019.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from retrieval_bench.datasets._lines import numbered_lines, plain_or_gzipped
from retrieval_bench.datasets._reviews import OnError, RepresentationOption, Review, review_dataset, telling
from retrieval_bench.datasets.beir import jsonl_titles_and_texts
from retrieval_bench.datasets.trec import read_qrels
from retrieval_bench.errors import CardError, DataError, RetrievalBenchError, nearest
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset

Level = Literal["abs", "content"]
_PART = re.compile(r"(Topic|Title|Query|Pids):(.*)")


class Options(RepresentationOption):
    """Settings of the reader."""

    topic: str | None = None
    level: Level = "abs"


class Topic(NamedTuple):
    """One file of ``topics/``: its id, the review's title, and the ids of the records that its query found."""

    id: str
    title: str
    pids: list[str]


@readers.register("clef_tar")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read one topic as a data set of one query; the card's option ``topic`` names it where there are several.

    Raises:
        CardError: there is no such topic, or none is named.
        DataError: see ``read_reviews``.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_dir():
        raise DataError(f"{path or card.name}: a CLEF TAR data set is a folder with topics/, qrels and corpus.jsonl")
    bad: dict[str, RetrievalBenchError] = {}  # by name of the file, which is the topic's

    def tolerate(place: str, error: RetrievalBenchError) -> None:
        bad[Path(place).stem] = error

    reviews = read_reviews(path, level=options.level, on_error=tolerate if options.topic else None)
    name = options.topic or (next(iter(reviews)) if len(reviews) == 1 else "")
    if name in bad:
        raise bad[name]
    if name not in reviews:
        raise CardError(
            f"dataset card {card.name!r}: the option 'topic' names no topic of {path}, {nearest(name, reviews)}; "
            "for all of them use `retrieval-bench screening FOLDER`"
        )
    return review_dataset(card, reviews[name], options.representation)


def is_clef_tar(folder: Path) -> bool:
    """Whether a folder has topics in this layout, though another part may be lacking."""
    return bool(_topic_files(folder))


def read_reviews(folder: Path, *, level: Level = "abs", on_error: OnError | None = None) -> dict[str, Review]:
    """All judged topics of a folder, by id.

    Args:
        folder: see the module.
        level: decisions on the abstract, or on the full text (``content``).
        on_error: told of a topic that cannot be used, while the others go on; None raises instead.

    Raises:
        DataError: a file or part is missing, a line cannot be read, an id occurs twice, or a topic has no record or no
            relevant one; with ``on_error`` only what concerns all topics, or that none can be used.
    """
    documents = plain_or_gzipped(folder, "corpus.jsonl")
    files, judgments = _topic_files(folder), _judgment_files(folder, level)
    parts = {
        "files of topics in topics/": files,
        f"files of judgments with 'qrel' and {level!r} in their names": judgments,
        'corpus.jsonl with the PubMed records, {"_id": PID, "title": ..., "text": ABSTRACT}': documents,
    }
    lacking = [part for part, there in parts.items() if not there]
    if documents is None or lacking:
        raise DataError(f"{folder}: a CLEF TAR folder, but it lacks {' and '.join(lacking)}")
    records = jsonl_titles_and_texts(documents, what="record")
    decisions = _decisions(judgments)
    known: dict[str, Topic] = {}
    reviews: dict[str, Review] = {}
    for file in files:
        with telling(str(file), on_error):
            topic = read_topic(file)
            if known.setdefault(topic.id, topic) != topic:  # years repeat the topics of the years before
                raise DataError(f"{file}: the topic {topic.id!r} stands in another file too; keep one of them")
            if topic.id in decisions:
                reviews[topic.id] = _review(topic, records, decisions[topic.id], file)
    if not reviews:
        raise DataError(f"{folder}: none of its {len(files)} topics can be read and is judged")
    return reviews


def read_topic(path: Path) -> Topic:
    """Read one topic file.

    Raises:
        DataError: a part is missing, or a record is listed twice.
    """
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for _, line in numbered_lines(path, fallback="latin-1"):
        if found := _PART.match(line):
            current = parts.setdefault(found[1], [])
            line = found[2]
        if line.strip():
            current.append(line.strip())
    for part in ("Topic", "Title", "Pids"):
        if not parts.get(part):
            raise DataError(f"{path}: has no part '{part}:'; a topic has Topic, Title, Query and Pids")
    pids = parts["Pids"]
    if len(set(pids)) < len(pids):
        twice = next(pid for pid in pids if pids.count(pid) > 1)
        raise DataError(f"{path}: lists the record {twice!r} twice; keep one of the lines")
    return Topic(" ".join(parts["Topic"]), " ".join(parts["Title"]), pids)


def _topic_files(folder: Path) -> list[Path]:
    below = {f for topics in folder.rglob("topics*") if topics.is_dir() for f in topics.rglob("*")}
    return sorted(f for f in below if f.is_file() and not f.name.startswith("."))


def _judgment_files(folder: Path, level: Level) -> list[Path]:
    return [f for f in sorted(folder.rglob("*qrel*")) if f.is_file() and level in f.name]


def _decisions(files: Sequence[Path]) -> dict[str, dict[str, bool]]:
    decisions: dict[str, dict[str, bool]] = {}
    for file in files:
        for topic, pid, grade in zip(*read_qrels(file).columns, strict=True):
            included = bool(grade > 0)
            if decisions.setdefault(topic, {}).setdefault(pid, included) != included:
                raise DataError(f"{file}: judges the record {pid!r} of the topic {topic!r} otherwise a second time")
    return decisions


def _review(topic: Topic, records: Mapping[str, tuple[str, str]], decisions: Mapping[str, bool], file: Path) -> Review:
    pids = [pid for pid in topic.pids if any(part.strip() for part in records.get(pid, ()))]
    if not pids:
        raise DataError(f"{file}: corpus.jsonl has a text of none of its {len(topic.pids)} records; get them of PubMed")
    notes = []
    if lacking := sorted({*topic.pids} - {*pids}):
        included = sum(decisions.get(pid, False) for pid in lacking)
        notes.append(
            f"records left out: {len(lacking)} without a text in corpus.jsonl, such as {lacking[0]!r}; "
            f"{included} of them included"
        )
    return Review(
        name=topic.id,
        topic=topic.title,
        source=str(file),
        ids=pids,
        titles=[records[pid][0] for pid in pids],
        abstracts=[records[pid][1] for pid in pids],
        included=np.array([decisions.get(pid, False) for pid in pids], bool),
        notes=notes,
    )
