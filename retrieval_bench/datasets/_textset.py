"""A judged text collection put together: what the readers of BEIR, TREC and ir_datasets have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from retrieval_bench.datasets._judgments import Judgments, judged_split
from retrieval_bench.datasets._splits import train_serves_as_tune
from retrieval_bench.errors import DataError
from retrieval_bench.specs import DatasetCard
from retrieval_bench.types import Corpus, Dataset

T = TypeVar("T")


def title_and_text(title: str, text: str) -> str:
    """The field that is searched: title, blank, text, as Anserini's flat BEIR indexes have it; no outer blanks."""
    return f"{title} {text}".strip()


def unique_texts(rows: Iterable[tuple[str, str, T]], *, what: str) -> dict[str, T]:
    """Collect rows of (place, id, text) as id to text, in order; the text may be several.

    Args:
        rows: ``place`` is the file and line to name in an error.
        what: ``document`` or ``query``, for the error.

    Raises:
        DataError: an id occurs twice; names the place of the second.
    """
    texts: dict[str, T] = {}
    for place, key, text in rows:
        if key in texts:
            raise DataError(f"{place}: the {what} id {key!r} occurs a second time; ids must be unique")
        texts[key] = text
    return texts


def text_dataset(
    card: DatasetCard,
    *,
    documents: Mapping[str, str],
    query_texts: Mapping[str, str],
    judgments: Mapping[str, Judgments],
    titles: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Align queries and judgments of every split with the documents.

    Args:
        card: names the data set; its metric is for encoded text, ``cos`` when it does not say.
        documents: id to text, in the order of the corpus.
        query_texts: id to text, of all splits.
        judgments: by split.
        titles: of the documents, in their order, where they are known.
        notes: on queries that were left out.

    Returns:
        The data set; ``meta`` holds the notes, and says which judged documents the corpus lacks.

    Raises:
        DataError: a judgment that does not fit (see ``judged_split``).
    """
    document_rows = {key: row for row, key in enumerate(documents)}
    judged = train_serves_as_tune(
        {
            split: judged_split(rows, document_rows=document_rows, query_texts=query_texts, split=split)
            for split, rows in judgments.items()
        }
    )
    lacking = dict.fromkeys(part.note for part in judged.values() if part.note)
    said = {"queries": "; ".join(notes), "judgments": "; ".join(lacking)}
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=Corpus(ids=list(documents), texts=list(documents.values()), titles=titles),
        queries={split: replace(part.queries, split=split) for split, part in judged.items()},
        qrels={split: part.qrels for split, part in judged.items()},
        metric=card.metric or "cos",
        meta={key: note for key, note in said.items() if note},
    )
