"""Each check of the contract fails for a backend that breaks its promise."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval_bench.contract import ContractError, IndexSubject, RankerSubject, check_index, checks
from retrieval_bench.contract.__main__ import main
from retrieval_bench.contract._awkward import cases
from retrieval_bench.errors import BudgetError, RetrievalBenchError, UnknownNameError
from retrieval_bench.indexes.flat import Flat
from retrieval_bench.types import Budget, Corpus, FloatArray, Hits, MemoryReport, Queries

_serial = itertools.count()


class Unsorted(Flat):
    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        hits = super().search(queries, k, params)
        return Hits(rows=hits.rows[:, ::-1], scores=hits.scores[:, ::-1])


class AnswersAnything(Flat):
    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        return super().search(queries, min(k, self._index.ntotal), params)


class Unseeded(Flat):
    def _fill(self, index: Any, vectors: FloatArray, training: FloatArray | None = None) -> None:
        super()._fill(index, vectors + next(_serial), training)


class Forgetful(Flat):
    def save(self, folder: Path) -> None:
        self._index.reset()
        self._index.add(np.zeros((2000, 32), np.float32))
        super().save(folder)


class Thrifty(Flat):
    def memory(self) -> MemoryReport:
        return MemoryReport(parts={"codes": super().memory().total // 2})


class Scribbling(Flat):
    def build(self, corpus: Corpus, params: Any, budget: Budget, **rest: Any) -> None:
        vectors = corpus.require_vectors()
        vectors.setflags(write=True)
        vectors[0] += 1
        vectors.setflags(write=False)
        super().build(corpus, params, budget, **rest)


class Positive(Flat):
    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        hits = super().search(queries, k, params)
        return Hits(rows=hits.rows, scores=hits.scores * 3)


class BatchBound(Flat):
    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        hits = super().search(queries, k, params)
        return Hits(rows=hits.rows, scores=hits.scores + np.float32(len(queries)))


class Racing(Flat):
    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        hits = super().search(queries, k, params)
        return Hits(rows=hits.rows, scores=hits.scores + np.float32(next(_serial)))


class Spendthrift(Flat):
    def build(self, corpus: Corpus, params: Any, budget: Budget, **rest: Any) -> None:
        if budget.bytes_per_vector == 1:
            raise BudgetError("not that little")
        super().build(corpus, params, Budget(), **rest)


class Boundless(Flat):
    def build(self, corpus: Corpus, params: Any, budget: Budget, **rest: Any) -> None:
        super().build(corpus, params, Budget(), **rest)


class Untyped(Flat):
    def build(self, corpus: Corpus, params: Any, budget: Budget, **rest: Any) -> None:
        super().build(corpus, params, budget, **rest)
        self.params = Budget()


class Blind(Flat):
    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        hits = super().search(queries, k, params)
        return Hits(rows=(hits.rows + 1) % 2000, scores=hits.scores)


class OneStep(Flat):
    """One step for all values: fine, unless one row is far longer than the others."""

    def _fill(self, index: Any, vectors: FloatArray, training: FloatArray | None = None) -> None:
        step = np.float32(np.abs(vectors).max() / 2000)
        super()._fill(index, np.rint(vectors / step) * step, training)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Unsorted, "hits_keep_their_promises"),
        (AnswersAnything, "bad_questions_are_refused"),
        (Unseeded, "one_seed_one_index"),
        (Forgetful, "saving_keeps_everything"),
        (Thrifty, "memory_is_what_is_held"),
        (Scribbling, "inputs_stay_as_they_were"),
        (Positive, "scores_follow_the_metric"),
        (BatchBound, "one_query_is_a_batch_of_one"),
        (Racing, "searches_run_side_by_side"),
        (Spendthrift, "budgets_are_kept"),
        (Boundless, "budgets_are_kept"),
        (Untyped, "parameters_travel_as_json"),
        (Blind, "easy_neighbors_are_found"),
        (OneStep, "awkward_data_is_met_or_refused"),
    ],
)
def test_a_broken_backend_is_found_out(broken: type[Flat], check: str) -> None:
    named = {function.__name__: function for function in checks("index")}
    named[check](IndexSubject(Flat))
    with pytest.raises(ContractError):
        named[check](IndexSubject(broken))


def test_every_check_of_an_index_has_a_backend_that_breaks_it() -> None:
    (marker,) = test_a_broken_backend_is_found_out.pytestmark  # type: ignore[attr-defined]
    assert {check for _, check in marker.args[1]} == {function.__name__ for function in checks("index")}


def test_a_whole_backend_is_checked_by_name() -> None:
    check_index("flat")
    with pytest.raises(UnknownNameError, match="'flat'"):
        check_index("flatt")


class LastFirst:
    """A ranker that knows nothing: it puts the last documents first, as the queries come."""

    name = "last_first"
    BuildParams = Flat.BuildParams
    n = 0

    def build(self, corpus: Corpus, params: Any, budget: Budget, **_: Any) -> None:
        self.n, self.params = len(corpus), params

    def rank(self, queries: Queries, k: int) -> Hits:
        rows = np.tile(np.arange(self.n - 1, self.n - 1 - k, -1), (len(queries), 1))
        return Hits(rows=rows, scores=(rows + 0.1 * next(_serial)).astype(np.float32))

    def memory(self) -> MemoryReport:
        return MemoryReport(parts={})

    def save(self, folder: Path) -> None:
        (folder / "params.json").write_text(self.params.model_dump_json())

    @classmethod
    def load(cls, folder: Path) -> LastFirst:
        return cls()


def test_a_ranker_that_knows_nothing_is_found_out() -> None:
    failed = set()
    for check in checks("ranker"):
        try:
            check(RankerSubject(LastFirst))  # type: ignore[arg-type]
        except (RetrievalBenchError, AttributeError):
            failed.add(check.__name__)
    assert failed == {check.__name__ for check in checks("ranker")} - {
        "hits_keep_their_promises",
        "odd_queries_are_answered",
    }


def test_the_command_tells_every_case_and_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--awkward", "--rows", "60", "flat"]) == 0
    out = capsys.readouterr().out
    assert all(case.name in out for case in cases(60, 32, 2))
    assert out.endswith("70 combinations, 0 refused, 0 wrong\n")
    subjects = [("one_step", IndexSubject(OneStep))]
    monkeypatch.setattr("retrieval_bench.contract.__main__._subjects", lambda _: subjects)
    assert main(["--awkward", "--rows", "60"]) == 1
    assert "WRONG: recall 0." in capsys.readouterr().out
