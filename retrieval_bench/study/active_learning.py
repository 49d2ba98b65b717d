"""Continuous active learning on a review whose decisions are known: a model asks for a record and learns its decision.

The protocol of Ferdinands et al. 2023 (Systematic Reviews 12:100), as ASReview 0.9.3 ran it:

- a start knows one relevant record and one that is not, both drawn at random; they are left out of every figure;
- after every decision (``batch`` = 1) the classifier is fitted anew on a resampled set of all decided records (see
  ``balance``), and the record that it holds most likely relevant is read next ("maximum" or certainty sampling);
- features are computed once over all records: TF-IDF of words and word sequences over title and abstract together, in
  one block, or with title and abstract weighed apart in two;
- reading ends when everything relevant is found: what follows changes no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from retrieval_bench.datasets import Review
from retrieval_bench.encoders import cached_encode, load_encoder
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.quality.judged import BoolArray
from retrieval_bench.study.balance import Balance, resample
from retrieval_bench.study.classifiers import Classifier, Features, Logistic, NaiveBayes
from retrieval_bench.types import Frozen, IntArray


class Learner(Frozen):
    """How a review is read; the defaults are ASReview 0.9's, which Ferdinands et al. tuned for each review."""

    classifier: Literal["nb", "lr"] = Field(default="nb", description="multinomial naive Bayes, or logistic regression")
    features: Literal["tfidf", "dense"] = Field(default="tfidf", description="dense: vectors of the encoder")
    nb_alpha: float = Field(default=3.822, gt=0, description="smoothing of naive Bayes")
    lr_c: float = Field(default=1.0, gt=0, description="inverse regularisation of logistic regression")
    lr_weight: float = Field(default=1.0, gt=0, description="cost of an error on a relevant record there")
    ngram_max: int = Field(default=1, ge=1, le=5, description="longest word sequence of TF-IDF")
    split_fields: bool = Field(default=False, description="TF-IDF of title and abstract side by side, not together")
    balance: Balance = Balance()
    batch: int = Field(default=1, ge=1, description="records read between two fits")


class _Task(NamedTuple):
    """What one start needs besides its seed; it goes to another process as it is."""

    learner: Learner
    features: Features
    included: BoolArray


def simulate(
    review: Review,
    learner: Learner,
    *,
    starts: int,
    seed: int = 0,
    encoder: str | None = None,
    jobs: int = 1,
    on_start: Callable[[int], None] = lambda _: None,
) -> list[IntArray]:
    """Read a review from several starts.

    Args:
        review: at least two relevant records and two that are not.
        learner: how.
        starts: how many, each with records and random choices of its own; start i is the same whatever ``starts``.
        seed: of all of them.
        encoder: for dense features; None is the packaged one.
        jobs: processes to spread the starts over; the figures do not depend on it.
        on_start: told the number of each start that is done.

    Returns:
        For each start, the ranks (from 1) at which the other relevant records were found, in a list of the
        ``len(review) - 2`` records that were not given.

    Raises:
        DataError: too few records of a kind.
        UsageError: naive Bayes on dense features, or fewer than one start or job.
    """
    if starts < 1 or jobs < 1:
        raise UsageError(f"starts = {starts}, jobs = {jobs}: there must be at least 1 of each")
    if review.included.sum() < 2 or (~review.included).sum() < 2:
        raise DataError(f"{review.source}: active learning needs at least 2 records of each decision")
    task = _Task(learner=learner, features=features_of(review, learner, encoder), included=review.included)
    tasks, seeds = [task] * starts, [[seed, start] for start in range(starts)]
    found = []
    if jobs == 1:
        for start, ranks in enumerate(map(_read, tasks, seeds)):
            found.append(ranks)
            on_start(start)
        return found
    with ProcessPoolExecutor(min(jobs, starts), mp_context=get_context("spawn")) as pool:
        for start, ranks in enumerate(pool.map(_read, tasks, seeds)):
            found.append(ranks)
            on_start(start)
    return found


def features_of(review: Review, learner: Learner, encoder: str | None = None) -> Features:
    """(n, f) features of the records: sparse for ``tfidf``, unit vectors for ``dense``."""
    together = review.texts("title+abstract")
    if learner.features == "dense":
        vectors = cached_encode(load_encoder(encoder), together)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    words = TfidfVectorizer(ngram_range=(1, learner.ngram_max)).fit(together)
    if not learner.split_fields:
        return sparse.csr_matrix(words.transform(together))
    return sparse.csr_matrix(sparse.hstack([words.transform(review.titles), words.transform(review.abstracts)]))


def _read(task: _Task, seed: Sequence[int]) -> IntArray:
    rng = np.random.default_rng(seed)
    included, learner = task.included, task.learner
    n, wanted = len(included), int(included.sum()) - 1
    decided = np.zeros(n, bool)
    for decision in (included, ~included):
        decided[rng.choice(np.flatnonzero(decision))] = True
    classifier = _classifier(task, int(rng.integers(2**31)))
    ranks: list[int] = []
    read = 0
    while len(ranks) < wanted:
        relevant, others = np.flatnonzero(decided & included), np.flatnonzero(decided & ~included)
        times = resample(relevant, others, n, learner.balance, rng)
        scores = np.where(decided, -math.inf, classifier.scores(times, included))
        for row in np.argsort(-scores, kind="stable")[: min(learner.batch, n - len(relevant) - len(others))]:
            decided[row] = True
            read += 1
            if included[row]:
                ranks.append(read)
    return np.array(ranks, np.int64)


def _classifier(task: _Task, seed: int) -> Classifier:
    learner = task.learner
    if learner.classifier == "nb":
        return NaiveBayes(task.features, learner.nb_alpha)
    return Logistic(task.features, c=learner.lr_c, weight=learner.lr_weight, seed=seed)
