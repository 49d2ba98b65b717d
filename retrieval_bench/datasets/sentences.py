"""Sentences of other data sets: many short real texts, for vector indexes that need more vectors than documents give.

Held-out sentences ask for those most like them, as queries of the documents' own distribution; or the data sets' own
questions ask, which are worded otherwise. Both stand before the same corpus. There are no judgments: what counts are
the nearest neighbors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from retrieval_bench.datasets._holdout import hold_out, taken_out
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Corpus, Dataset, Frozen

# After the end of a sentence, where another begins; and at blank lines, which part the blocks of program code.
_ENDS = re.compile(r"(?<=[.!?])\s+(?=[A-Z(])|\n\s*\n")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SPLITS = ("train", "tune", "test")


class Options(Frozen):
    """Which texts, and how they are cut."""

    collections: list[str] = Field(min_length=1, description="data sets, by name, whose documents are cut")
    queries: Literal["sentences", "questions"] = Field("sentences", description="what asks")
    fewest_words: int = Field(4, ge=1, description="shorter pieces are left out")
    most_words: int = Field(48, ge=1, description="longer pieces are cut again")
    seed: int = Field(0, ge=0, description="of the choice of queries")


@readers.register("sentences")
def read(card: DatasetCard, path: Path | None) -> Dataset:  # noqa: ARG001 - made of other data sets
    """Cut the documents of several data sets into sentences, each text kept once.

    A thousand sentences each are held out as train, tune and test queries, whichever kind of query asks, so that the
    corpus is the same for both.

    Raises:
        UnavailableError, DataError: as the data sets themselves.
    """
    from retrieval_bench.datasets._load import load_dataset  # which imports the readers that a card names

    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    texts: dict[str, str] = {}  # by text, in order
    questions: dict[str, str] = {}
    for name in options.collections:
        dataset = load_dataset(name)
        pieces = (piece for document in dataset.corpus.require_texts() for piece in cut(document, options))
        _add(texts, name, pieces)
        for part in dataset.queries.values():
            _add(questions, f"{name}:question", part.require_texts())
    sentences = Corpus(ids=list(texts.values()), texts=list(texts))
    _, *parts = hold_out(len(sentences), 3, seed=options.seed)
    corpus, queries, taken = taken_out(sentences, dict(zip(_SPLITS, parts, strict=True)))
    if options.queries == "questions":
        asking = Corpus(ids=list(questions.values()), texts=list(questions))
        parts = hold_out(len(asking), 2, seed=options.seed)
        _, queries, _ = taken_out(asking, dict(zip(_SPLITS, parts, strict=True)))
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=corpus,
        queries=queries,
        metric=card.metric or "cos",
        held_out=taken,
    )


def cut(text: str, options: Options) -> Iterator[str]:
    """The sentences of a text, white space evened out; those with too few words are left out."""
    for piece in _ENDS.split(text):
        words = piece.split()
        for start in range(0, len(words), options.most_words):
            part = " ".join(words[start : start + options.most_words])
            if len(_WORD.findall(part)) >= options.fewest_words:
                yield part


def _add(found: dict[str, str], collection: str, texts: Iterable[str]) -> None:
    for text in texts:
        found.setdefault(text, f"{collection}:{len(found)}")
