"""What is kept of documents for a scorer that keeps nothing itself: their texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from retrieval_bench.arrays import load_strings, save_strings
from retrieval_bench.protocols import Scorer
from retrieval_bench.types import FloatArray, IntArray, MemoryReport

_NAME = "texts"


class Texts:
    """Documents as texts, each call reading both texts of its pair anew."""

    def __init__(self, scorer: Scorer, documents: Sequence[str]) -> None:
        self._scorer, self._documents = scorer, list(documents)

    def ask(self, queries: Sequence[str]) -> list[Callable[[IntArray], FloatArray]]:
        """The functions that score each query with the documents of rows."""
        return [partial(self._score, query) for query in queries]

    def _score(self, query: str, rows: IntArray) -> FloatArray:
        return self._scorer.score([query] * len(rows), [self._documents[row] for row in rows])

    def memory(self) -> MemoryReport:
        """UTF-8 bytes of the texts."""
        return MemoryReport(parts={"texts": sum(len(text.encode("utf-8", "replace")) for text in self._documents)})

    def save(self, folder: Path) -> None:
        """Write the texts."""
        save_strings(folder, _NAME, self._documents)

    @classmethod
    def load(cls, folder: Path, scorer: Scorer) -> Self:
        """Read what ``save`` wrote.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        return cls(scorer, load_strings(folder, _NAME))
