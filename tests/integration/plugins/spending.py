"""A ranker that spends scorer calls, within its budget or, if asked to, without asking."""

from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from retrieval_bench.hits import make_hits
from retrieval_bench.registry import rankers
from retrieval_bench.types import Budget, Corpus, Examples, Hits, MemoryReport, Params, Queries


class SpendingParams(Params):
    build_calls: int = 0
    calls: int = 0


@rankers.register("spending")
class Spending:
    name: ClassVar[str] = "spending"
    BuildParams: ClassVar[type[Params]] = SpendingParams
    params: SpendingParams

    def build(
        self,
        corpus: Corpus,
        params: SpendingParams,
        budget: Budget,
        *,
        examples: Examples | None = None,
        seed: int = 0,
    ) -> None:
        self.params, self.scorer_calls, self.build_scorer_calls = params, 0, params.build_calls

    def rank(self, queries: Queries, k: int) -> Hits:
        self.scorer_calls += self.params.calls * len(queries)
        return make_hits(np.tile(np.arange(k), (len(queries), 1)), np.zeros((len(queries), k)))

    def memory(self) -> MemoryReport:
        return MemoryReport(parts={"nothing": 1})

    def save(self, folder: Path) -> None:
        (folder / "params.json").write_text(self.params.model_dump_json())

    @classmethod
    def load(cls, folder: Path) -> Self:
        ranker = cls()
        ranker.params = SpendingParams.model_validate_json((folder / "params.json").read_text())
        ranker.scorer_calls, ranker.build_scorer_calls = 0, ranker.params.build_calls
        return ranker
