"""What is kept of documents for a scorer that keeps nothing itself: their texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from retrieval_bench.errors import ArtifactError
from retrieval_bench.files import write_text
from retrieval_bench.protocols import Scorer
from retrieval_bench.types import FloatArray, IntArray, MemoryReport

_NAME = "texts.json"


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
        """Write the texts as JSON; ASCII escapes keep lone surrogates."""
        write_text(folder / _NAME, json.dumps(self._documents))

    @classmethod
    def load(cls, folder: Path, scorer: Scorer) -> Self:
        """Read what ``save`` wrote.

        Raises:
            ArtifactError: the file is missing or is not a list of texts.
        """
        try:
            documents = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{folder / _NAME}: cannot be read: {error}") from error
        if not isinstance(documents, list) or not all(isinstance(text, str) for text in documents):
            raise ArtifactError(f"{folder / _NAME}: is not a list of texts; build again")
        return cls(scorer, documents)
