"""LitSearch (Ajith et al. 2024, arXiv 2407.18940): questions that researchers ask, against abstracts of papers.

The folder as on the Hugging Face hub: ``query/*.parquet`` (``query``, ``query_set``, ``specificity``, ``quality``,
``corpusids``) and ``corpus_clean/*.parquet`` (``corpusid``, ``title``, ``abstract``); or both as files side by side,
``query.parquet`` and ``corpus_clean.parquet``. A query's id says which kind it is, ``inline_acl/specific/12``, so that
every record of a run can be split by kind: ``specificity`` 1 is specific, 0 is broad.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from retrieval_bench.datasets._asked import listed
from retrieval_bench.datasets._judgments import JudgmentRows
from retrieval_bench.datasets._tables import read_parquet
from retrieval_bench.datasets._textset import text_dataset, title_and_text, unique_texts
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen

KINDS = ("broad", "specific")  # by the value of ``specificity``


class Options(Frozen):
    """Settings of the reader."""

    least_quality: int = 0


@readers.register("litsearch")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read the questions and papers; a document is title, blank, abstract. Questions that name no paper are left out.

    Raises:
        DataError: a file or column is missing, a file is not Parquet, an id occurs twice, a specificity is neither 0
            nor 1, a quality is no number, or a question names papers that there are not; names file and row.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_dir():
        raise DataError(f"{path or card.name}: LitSearch is a folder with query/ and corpus_clean/ of Parquet files")
    papers, papers_at = _table(path, "corpus_clean", ("corpusid", "title", "abstract"))
    documents = unique_texts(
        (
            (
                f"{papers_at}, row {row}",
                str(paper["corpusid"]),
                title_and_text(paper["title"] or "", paper["abstract"] or ""),
            )
            for row, paper in enumerate(papers)
        ),
        what="document",
    )
    asked, asked_at = _table(path, "query", ("query_set", "query", "specificity", "quality", "corpusids"))
    texts: dict[str, str] = {}
    unanswered: list[str] = []
    judged = JudgmentRows(str(asked_at))
    for row, question in enumerate(asked):
        where = f"{asked_at}, row {row}"
        kind = _kind(question["specificity"], where)
        if _quality(question["quality"], where) < options.least_quality:
            continue
        key = f"{question['query_set']}/{kind}/{row}"
        if not question["corpusids"]:
            unanswered.append(repr(key))
            continue
        texts[key] = str(question["query"])
        for paper in dict.fromkeys(question["corpusids"]):
            judged.add(key, str(paper), 1, row)
    notes = [f"questions that name no paper are left out: {listed(unanswered)}"] if unanswered else []
    return text_dataset(card, documents=documents, query_texts=texts, judgments={"test": judged.finish()}, notes=notes)


def _kind(specificity: object, where: str) -> str:
    """Which of KINDS; pandas writes the whole numbers of a column with gaps as 0.0 and 1.0."""
    if specificity not in (0, 1):
        raise DataError(f"{where}: the specificity {specificity!r} is neither 0 (broad) nor 1 (specific)")
    return KINDS[int(specificity == 1)]


def _quality(quality: Any, where: str) -> float:
    if quality is None:
        return 0
    try:
        value = float(quality)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: the quality {quality!r:.40} is not a number") from error
    return 0 if math.isnan(value) else value


def _table(root: Path, part: str, columns: tuple[str, ...]) -> tuple[list[dict[str, Any]], Path]:
    files = _files(root, part)
    if not files:
        raise DataError(
            f"{root}: holds no {part}/*.parquet and no {part}.parquet; LitSearch has query and corpus_clean"
        )
    rows: list[dict[str, Any]] = []
    for file in files:
        table = read_parquet(file, columns)
        if missing := [column for column in columns if column not in table.column_names]:
            raise DataError(f"{file}: has no column {missing[0]!r}; LitSearch has {', '.join(columns)}")
        rows += table.select(list(columns)).to_pylist()
    return rows, root / part


def _files(root: Path, part: str) -> list[Path]:
    """Parquet files of a part of LitSearch: those in a folder of its name, or the file of its name."""
    return sorted([*root.glob(f"{part}/*.parquet"), *root.glob(f"{part}.parquet")])
