"""The checks of a ranker."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from retrieval_bench.contract._hits import ContractError, check_hits
from retrieval_bench.contract._toy import examples, written
from retrieval_bench.protocols import Ranker
from retrieval_bench.registry import rankers
from retrieval_bench.types import Budget, Hits, Queries

_K = 10


@dataclass(frozen=True)
class RankerSubject:
    """A ranker under check.

    Attributes:
        factory: the ranker's class.
    """

    factory: type[Ranker]
    _built: list[Ranker] = field(default_factory=list, repr=False)

    def build(self) -> Ranker:
        """A fresh ranker of the toy corpus, with its default parameters, examples to learn from and seed 3."""
        ranker = self.factory()
        ranker.build(written()[0], self.factory.BuildParams(), Budget(), examples=examples(), seed=3)
        return ranker

    @property
    def built(self) -> Ranker:
        """A ranker of the toy corpus, built once for all checks."""
        if not self._built:
            self._built.append(self.build())
        return self._built[0]


@cache
def ranker_subject(name: str) -> RankerSubject:
    """The registered ranker of this name.

    Raises:
        UnknownNameError, UnavailableError: see Registry.get.
    """
    return RankerSubject(rankers.get(name))


def _alike(a: Hits, b: Hits, what: str) -> None:
    close = np.allclose(a.scores, b.scores, rtol=1e-4, atol=1e-5)
    if not close or not np.array_equal(a.rows[:, 0], b.rows[:, 0]):
        raise ContractError(f"{what} gives other hits")


def hits_keep_their_promises(subject: RankerSubject) -> None:
    """Shape, types, order, ties, padding and rows of the hits, for k = 1, 10 and n."""
    corpus, queries = written()
    for k in (1, _K, len(corpus)):
        check_hits(subject.built.rank(queries, k), len(queries), k, len(corpus))


def plain_words_find_their_document(subject: RankerSubject) -> None:
    """The document that holds the words of a query is among its first three hits, for most queries."""
    _, queries = written()
    rows = subject.built.rank(queries, 3).rows
    found = np.mean([int(name[1:]) in row for name, row in zip(queries.ids, rows, strict=True)])
    if found < 0.8:
        raise ContractError(f"only {found:.0%} of the queries found the document that their words were taken from")


def odd_queries_are_answered(subject: RankerSubject) -> None:
    """Unknown words, no words, one character and a very long text get hits or padding, never a crash."""
    odd = ["zzqxv blorptk", "", "   ", "?", "ü", "amber " * 3000]
    queries = Queries(ids=[f"odd{i}" for i in range(len(odd))], texts=odd)
    check_hits(subject.built.rank(queries, _K), len(odd), _K, len(written()[0]))


def one_seed_one_ranker(subject: RankerSubject) -> None:
    """Two builds with one seed rank alike."""
    _, queries = written()
    _alike(subject.built.rank(queries, _K), subject.build().rank(queries, _K), "a second build with the same seed")


def saving_keeps_everything(subject: RankerSubject) -> None:
    """A loaded ranker ranks as the saved one did, and has its parameters."""
    _, queries = written()
    with tempfile.TemporaryDirectory() as folder:
        subject.built.save(Path(folder))
        loaded = subject.factory.load(Path(folder))
        _alike(subject.built.rank(queries, _K), loaded.rank(queries, _K), "the loaded ranker")
    if loaded.params != subject.built.params:
        raise ContractError(f"loaded params {loaded.params!r} differ from {subject.built.params!r}")


def one_query_is_a_batch_of_one(subject: RankerSubject) -> None:
    """A query asked alone is ranked as it is in a batch, but for rounding."""
    _, queries = written()
    batch = subject.built.rank(queries, _K)
    for i in range(0, len(queries), 5):
        alone = subject.built.rank(queries.take(slice(i, i + 1)), _K)
        _alike(batch.take(slice(i, i + 1)), alone, f"query {i} asked alone")


def queries_run_side_by_side(subject: RankerSubject) -> None:
    """Four threads that ask one ranker at once get what one thread gets."""
    _, queries = written()
    alone = subject.built.rank(queries, _K)
    with ThreadPoolExecutor(4) as pool:
        for hits in pool.map(lambda _: subject.built.rank(queries, _K), range(8)):
            _alike(alone, hits, "ranking from four threads at once")


def memory_is_told(subject: RankerSubject) -> None:
    """The analytic bytes are there."""
    parts = subject.built.memory().parts
    if not parts or min(parts.values()) < 0 or subject.built.memory().total <= 0:
        raise ContractError(f"memory parts {parts} must be there, not negative, and more than 0 bytes in all")


CHECKS: tuple[Callable[[RankerSubject], None], ...] = (
    hits_keep_their_promises,
    plain_words_find_their_document,
    odd_queries_are_answered,
    one_seed_one_ranker,
    saving_keeps_everything,
    one_query_is_a_batch_of_one,
    queries_run_side_by_side,
    memory_is_told,
)
