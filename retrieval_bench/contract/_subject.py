"""A backend under check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import Field, create_model

from retrieval_bench.codecs import registered
from retrieval_bench.contract._toy import clustered
from retrieval_bench.protocols import Index
from retrieval_bench.registry import indexes
from retrieval_bench.specs import system_cards
from retrieval_bench.threads import limited
from retrieval_bench.types import Budget, Hits, Metric, Queries

_K = 10


@dataclass(frozen=True)
class IndexSubject:
    """A backend under check.

    Attributes:
        factory: the backend's class.
        settings: search settings to try when the most accurate one is needed, besides the defaults.
    """

    factory: type[Index]
    settings: tuple[dict[str, Any], ...] = ()
    _built: dict[str, Index] = field(default_factory=dict, repr=False)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics it serves."""
        served: tuple[Metric, ...] = ("ip", "l2")
        return [metric for metric in served if metric in self.factory.metrics]

    def build(self, metric: Metric, budget: Budget | None = None) -> Index:
        """A fresh index of the toy corpus, built by one thread with seed 3."""
        corpus, queries = clustered()
        index = self.factory()
        with limited(1):
            index.build(corpus, self.factory.BuildParams(), budget or Budget(), metric=metric, queries=queries, seed=3)
        return index

    def built(self, metric: Metric) -> Index:
        """An index of the toy corpus, built once for all checks."""
        if metric not in self._built:
            self._built[metric] = self.build(metric)
        return self._built[metric]

    def search(self, index: Index, queries: Queries, k: int = _K, **settings: Any) -> Hits:
        """Search with these settings, the defaults where none are given; one thread, so that sums round alike."""
        with limited(1):
            return index.search(queries, k, self.factory.SearchParams(**settings))


@cache
def index_subject(name: str) -> IndexSubject:
    """The registered backend of this name, with the search settings of its cards.

    Raises:
        UnknownNameError, UnavailableError: see Registry.get.
    """
    cards = [card for card in system_cards("index").values() if card.backend == name]
    return IndexSubject(indexes.get(name), tuple(setting for card in cards for setting in card.settings()))


def codec_subjects(name: str) -> Iterator[tuple[str, IndexSubject]]:
    """A backend over codes with each codec as its default, where it has any; named ``backend/codec``."""
    base = index_subject(name)
    for codec in registered.names() if "codec" in base.factory.BuildParams.model_fields else ():
        described = (str, Field(codec, description="the one that is checked"))
        build = create_model("Build", __base__=base.factory.BuildParams, codec=described)
        yield f"{name}/{codec}", IndexSubject(type(name, (base.factory,), {"BuildParams": build}), base.settings)
