"""Screening prioritisation: in which order to read the records of a systematic review, by both ways of the field.

*Ranked once*: the review's title is the query, a ranker puts all records in order, and nobody tells it anything.
Records that a ranker does not return (none of the title's words) come last, in an order drawn with the seed, for the
order of a file may tell the decisions. *Active learning*: see ``active_learning``; it knows two decisions at its start
and is told each one after.

A review has a corpus of its own, which ``run`` takes one at a time (``retrieval-bench run screening/ace``); this
protocol goes over all of them without its processes and timings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from retrieval_bench import registry
from retrieval_bench.datasets import Representation, Review
from retrieval_bench.errors import RetrievalBenchError, UnknownNameError
from retrieval_bench.quality import ranked
from retrieval_bench.quality.screening import curve_measures, list_measures, recall_curve, work_saved
from retrieval_bench.specs import SystemCard, params, system_card
from retrieval_bench.study.active_learning import Learner, simulate
from retrieval_bench.study.published import published_results, tuned_learners
from retrieval_bench.types import Budget, Corpus, IntArray, Queries

RANKERS = ("bm25", "dense", "hybrid")
REPRESENTATIONS: tuple[Representation, ...] = ("title", "abstract", "title+abstract")
LEARNERS = {
    "NB + TF-IDF": Learner(classifier="nb"),
    "LR + TF-IDF": Learner(classifier="lr", batch=10),
    "LR + dense": Learner(classifier="lr", features="dense", batch=10),
}
_RESAMPLES = 1_000
Way = Literal["ranked once", "active learning", "published"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far the starts of active learning lie apart, in WSS@95.

    Attributes:
        worst, best: of the starts.
        low, high: where the figure of the mean curve of as many other starts would lie, 95 %: the figure plus the
            difference of two bootstrap draws of the starts. A published figure is one of other starts.
    """

    worst: float
    best: float
    low: float
    high: float

    @classmethod
    def of(cls, found: Sequence[IntArray], n: int, seed: int) -> Spread:
        """From the ranks that ``simulate`` found in lists of n records; the seed is of the bootstrap."""
        curves = np.stack([recall_curve([ranks], n) for ranks in found])
        each = [work_saved(curve, 95) for curve in curves]
        share = np.full(len(found), 1 / len(found))
        draws = np.random.default_rng(seed).multinomial(len(found), share, 2 * _RESAMPLES)
        saved = np.array([work_saved(times @ curves / len(found), 95) for times in draws])
        low, high = np.percentile(saved[:_RESAMPLES] - saved[_RESAMPLES:], [2.5, 97.5])
        figure = work_saved(share @ curves, 95)
        return cls(worst=min(each), best=max(each), low=figure + float(low), high=figure + float(high))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The figures of one system on one review.

    Attributes:
        review: name.
        records, relevant: how many, the two that a start is given not counted.
        way: how the order came about.
        system: ranker, or classifier and features.
        text: what of a record was searched, or whose settings were used.
        measures: by name, see ``quality.screening``. Of several starts: WSS and RRF of their mean curve, as published;
            the others are means over the starts.
        starts: of active learning; 1 for a ranking.
        spread: over the starts of active learning.
        problem: why there are no measures; the others go on.
    """

    review: str
    records: int
    relevant: int
    way: Way
    system: str
    text: str
    measures: dict[str, float]
    starts: int = 1
    spread: Spread | None = None
    problem: str = ""


def rank_once(
    review: Review, card: SystemCard, representation: Representation, *, encoder: str | None = None, seed: int = 0
) -> Outcome:
    """Rank the records of a review for its title.

    Raises:
        RetrievalBenchError: what the ranker raises.
    """
    ranker = registry.rankers.get(card.backend)()
    wanted = dict(card.build)
    if encoder is not None and "encoder" in ranker.BuildParams.model_fields:
        wanted.setdefault("encoder", encoder)
    checked = params(ranker.BuildParams, wanted, where=f"card {card.name!r}, table 'build'")
    n = len(review)
    corpus = Corpus(ids=review.ids, texts=review.texts(representation))
    ranker.build(corpus, checked, Budget(), seed=seed)
    returned = ranked(ranker.rank(Queries(ids=["review"], texts=[review.topic]), n), corpus).rows[0]
    returned = returned[returned >= 0]
    rest = np.setdiff1d(np.arange(n), returned)
    order = np.concatenate([returned, np.random.default_rng(seed).permutation(rest)])
    ranks = 1 + np.flatnonzero(review.included[order])
    return Outcome(
        review=review.name, records=n, relevant=len(ranks), way="ranked once", system=card.name, text=representation,
        measures=list_measures(ranks, n),
    )  # fmt: skip


def learn(
    review: Review,
    name: str,
    learner: Learner,
    settings: str,
    *,
    starts: int = 15,
    encoder: str | None = None,
    seed: int = 0,
    jobs: int = 1,
) -> Outcome:
    """Read a review by active learning, and sum the starts up.

    Args:
        review: what to read.
        name: of the classifier and its features.
        learner: its settings.
        settings: where they come from.
        starts: how many.
        encoder: of dense features.
        seed: of every random choice.
        jobs: processes for the starts.
    """
    found = simulate(review, learner, starts=starts, seed=seed, encoder=encoder, jobs=jobs)
    n = len(review) - 2
    each = [list_measures(ranks, n) for ranks in found]
    measures = {measure: float(np.mean([values[measure] for values in each])) for measure in each[0]}
    measures |= curve_measures(recall_curve(found, n))
    return Outcome(
        review=review.name, records=n, relevant=len(found[0]), way="active learning", system=name, text=settings,
        measures=measures, starts=starts, spread=Spread.of(found, n, seed),
    )  # fmt: skip


def screen(
    reviews: Sequence[Review],
    *,
    rankers: Sequence[str] = RANKERS,
    representations: Sequence[str] | None = None,
    learners: Sequence[str] | None = None,
    starts: int = 15,
    encoder: str | None = None,
    seed: int = 0,
    jobs: int = 1,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Both ways on every review, and the figures of ``published_results.json`` beside the records.

    Args:
        reviews: what to read; one without a topic is not ranked.
        rankers: names of ranker cards.
        representations: among ``REPRESENTATIONS``: what of a record a ranker sees; None is each of them.
        learners: names among ``LEARNERS``, None is naive Bayes on TF-IDF; on reviews for which Ferdinands et al. 2023
            published tuned settings those are used, elsewhere ASReview's defaults.
        starts: of active learning; 0 leaves it out.
        encoder: of dense rankers and features.
        seed: of every random choice.
        jobs: processes for the starts.
        on_outcome: told of each result.

    Raises:
        UnknownNameError: a ranker, representation or learner that there is not.
        DataError: the published figures cannot be read.
    """
    cards = [system_card(name, "ranker") for name in rankers]
    texts = [
        _known("representation", name, {r: r for r in REPRESENTATIONS}) for name in representations or REPRESENTATIONS
    ]
    names = {name: _known("learner", name, LEARNERS) for name in learners or ("NB + TF-IDF",)} if starts else {}
    folders = dict.fromkeys(Path(review.source).parent for review in reviews)
    published = [given for folder in folders for given in published_results(folder)]
    outcomes: list[Outcome] = []

    def add(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    def attempt(review: Review, way: Way, system: str, text: str, work: Callable[[], Outcome]) -> None:
        try:
            add(work())
        except RetrievalBenchError as error:
            relevant = int(review.included.sum())
            add(
                Outcome(
                    review=review.name, records=len(review), relevant=relevant, way=way, system=system, text=text,
                    measures={}, problem=str(error),
                )
            )  # fmt: skip

    for review in reviews:
        for card in cards if review.topic else ():
            for text in texts:
                work = partial(rank_once, review, card, text, encoder=encoder, seed=seed)
                attempt(review, "ranked once", card.name, text, work)
        tuned = tuned_learners(review.name)
        for name, default in names.items():
            settings = "settings as published" if name in tuned else "ASReview's defaults"
            learner = tuned.get(name, default)
            work = partial(
                learn, review, name, learner, settings, starts=starts, encoder=encoder, seed=seed, jobs=jobs
            )  # fmt: skip
            attempt(review, "active learning", name, settings, work)
        for given in published:
            if given.review == review.name:
                relevant = int(review.included.sum()) - 1
                add(
                    Outcome(
                        review=review.name, records=len(review) - 2, relevant=relevant, way="published",
                        system=given.model, text="15 starts", measures=given.measures, starts=15,
                    )
                )  # fmt: skip
    return outcomes


def _known(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownNameError(kind, name, known)
    return known[name]
