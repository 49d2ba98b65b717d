"""LitSearch (Ajith et al. 2024, arXiv 2407.18940): questions that researchers ask, against abstracts of papers.

The folder as on the Hugging Face hub: ``query/*.parquet`` (``query``, ``query_set``, ``specificity``, ``quality``,
``corpusids``) and ``corpus_clean/*.parquet`` (``corpusid``, ``title``, ``abstract``). A query's id says which kind it
is, ``inline_acl/specific/12``, so that every record of a run can be split by kind: ``specificity`` 1 is specific, 0 is
broad.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from retrieval_bench.datasets._judgments import JudgmentRows
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
    """Read the questions and papers; a document is title, blank, abstract.

    Raises:
        DataError: a folder or column is missing, a file is not Parquet, a paper has no text, an id occurs twice, a
            specificity is neither 0 nor 1, or a question names papers that there are not; names file and row.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_dir():
        raise DataError(f"{path or card.name}: LitSearch is a folder with query/ and corpus_clean/ of Parquet files")
    papers, papers_at = _table(path / "corpus_clean", ("corpusid", "title", "abstract"))
    documents = unique_texts(
        (
            (f"{papers_at}, row {row}", str(paper["corpusid"]), _text(paper, f"{papers_at}, row {row}"))
            for row, paper in enumerate(papers)
        ),
        what="document",
    )
    asked, asked_at = _table(path / "query", ("query_set", "query", "specificity", "quality", "corpusids"))
    texts: dict[str, str] = {}
    judged = JudgmentRows(str(asked_at))
    for row, question in enumerate(asked):
        where = f"{asked_at}, row {row}"
        if question["specificity"] not in (0, 1):
            raise DataError(
                f"{where}: the specificity {question['specificity']!r} is neither 0 (broad) nor 1 (specific)"
            )
        if int(question["quality"] or 0) < options.least_quality:
            continue
        key = f"{question['query_set']}/{KINDS[question['specificity']]}/{row}"
        texts[key] = str(question["query"])
        for paper in dict.fromkeys(question["corpusids"] or ()):
            judged.add(key, str(paper), 1, row)
    return text_dataset(card, documents=documents, query_texts=texts, judgments={"test": judged.finish()})


def _text(paper: dict[str, Any], where: str) -> str:
    text = title_and_text(paper["title"] or "", paper["abstract"] or "")
    if not text:
        raise DataError(f"{where}: the paper {paper['corpusid']} has neither title nor abstract")
    return text


def _table(folder: Path, columns: tuple[str, ...]) -> tuple[list[dict[str, Any]], Path]:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DataError(f"{folder}: holds no Parquet file; LitSearch has query/ and corpus_clean/")
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            with pq.ParquetFile(file) as part:
                missing = [column for column in columns if column not in part.schema_arrow.names]
                if missing:
                    raise DataError(f"{file}: has no column {missing[0]!r}; LitSearch has {', '.join(columns)}")
                rows += part.read(columns=list(columns)).to_pylist()
        except pa.ArrowInvalid as error:
            raise DataError(f"{file}: is not a Parquet file ({error}); get it again") from error
    return rows, folder
