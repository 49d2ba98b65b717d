"""A ranker that calls a real scorer as often as it likes, past the meter, and tells nothing of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from retrieval_bench.hits import make_hits
from retrieval_bench.registry import rankers, scorers
from retrieval_bench.scorers import Calls, load_scorer
from retrieval_bench.types import Budget, Corpus, Examples, FloatArray, Hits, MemoryReport, Params, Queries


@scorers.register("lengths")
class Lengths:
    """Longer documents score higher."""

    name: ClassVar[str] = "lengths"
    Settings: ClassVar[type[Params]] = Params
    revision, nbytes = "1", 0

    def __init__(self) -> None:
        self._calls = Calls()

    @classmethod
    def open(cls, settings: Any) -> Self:
        return cls()

    @property
    def calls(self) -> int:
        return self._calls.total

    def score(self, query_texts: Sequence[str], document_texts: Sequence[str]) -> FloatArray:
        self._calls.add(len(query_texts))
        return np.array([len(text) for text in document_texts], np.float32)


@rankers.register("silent")
class Silent:
    name: ClassVar[str] = "silent"
    BuildParams: ClassVar[type[Params]] = Params
    params = Params()

    def build(
        self, corpus: Corpus, params: Params, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        self._texts = list(corpus.require_texts())
        load_scorer("lengths", {}, where="silent").score(self._texts, self._texts)

    def rank(self, queries: Queries, k: int) -> Hits:
        scorer = load_scorer("lengths", {}, where="silent")
        scores = np.array([scorer.score([text] * len(self._texts), self._texts) for text in queries.require_texts()])
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return make_hits(rows, np.take_along_axis(scores, rows, axis=1))

    def memory(self) -> MemoryReport:
        return MemoryReport(parts={"texts": sum(len(text) for text in self._texts)})

    def save(self, folder: Path) -> None:
        (folder / "texts.txt").write_text("\n".join(self._texts))

    @classmethod
    def load(cls, folder: Path) -> Self:
        ranker = cls()
        ranker._texts = (folder / "texts.txt").read_text().split("\n")
        return ranker
