"""One setting after another through the ordinary runner: the data is prepared once, built indexes are used again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieval_bench.datasets import load_dataset, notes_of
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.processors import usable_cores
from retrieval_bench.records import Store
from retrieval_bench.runner.encoding import encoded_or_why_not, refusal
from retrieval_bench.runner.execute import OnEvent, execute
from retrieval_bench.runner.job import Floor
from retrieval_bench.runner.plan import plan_builds
from retrieval_bench.runner.prepared import opened, store
from retrieval_bench.runner.run import chosen_cards
from retrieval_bench.runner.score import measured, primary
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Budget, Metric, Split, TrialRecord


class Bench:
    """A prepared data set and a folder of records.

    Attributes:
        cards: the systems to tune.
        primary: the quality measurement of the data.
        notes: what is not in the data as its files have it.
        records: where the trials are written; one that is there already is read, not measured again.
    """

    def __init__(
        self, dataset: str, *, indexes: Sequence[str] | None, rankers: Sequence[str] | None, encoder: str | None,
        budget: Budget, rows: int | None, queries: int | None, depth: int | None, seed: int, timeout: float, out: Path,
        on_event: OnEvent, metric: Metric | None = None, tune_share: float | None = None,
    ) -> None:  # fmt: skip
        data = load_dataset(dataset, metric=metric, rows=rows, queries=queries, tune_share=tune_share, apart=True)
        if "tune" not in data.queries:
            raise DataError(
                f"{data.name}: has no tuning queries; name a split in its card ([splits] tune = ...), "
                "or set some of the test queries apart (--tune-share 0.5)"
            )
        self.notes = notes_of(data)
        self.cards = chosen_cards(data, indexes, rankers)
        self._data, name, self._lacking = encoded_or_why_not(data, self.cards, encoder)
        self._encoder = name or encoder
        self._folder = store(self._data)
        self.records = Store(out.resolve())
        self.budget = budget.model_copy(update={"threads": budget.threads or usable_cores()})
        self._depth = min(depth or (100 if data.qrels else 10), len(data.corpus))
        self.primary = primary(self._data, self._depth)
        self._seed, self._timeout, self._tell = seed, timeout, on_event

    def require(self, metric: str) -> None:
        """Refuse a metric that some system's answers on tuning queries are not measured by.

        Raises:
            UsageError: names those that there are.
        """
        data = opened(self._folder, texts=False)  # with the exact neighbors
        for card in self.cards:
            names = measured(data, "tune", kind=card.kind, depth=self._depth)
            if metric not in names:
                raise UsageError(
                    f"target: {metric} is not measured for {card.name} on {data.name} to depth {self._depth}; "
                    f"there are {', '.join(names)}"
                )

    def measure(
        self, card: SystemCard, build: Mapping[str, Any], search: Mapping[str, Any], *, splits: tuple[Split, ...],
        effort: Effort, floor: Floor | None = None, budget: Budget | None = None,
    ) -> TrialRecord:  # fmt: skip
        """The record of a card's system at these settings, measured unless it is there; ``budget`` in place of its own.

        Values that the card fixes and the settings leave out stay; of a list in the card its first value.
        """
        fixed = {name: value[0] if isinstance(value, list) else value for name, value in card.search.items()}
        setting = card.model_copy(update={"build": {**card.build, **build}, "search": {**fixed, **search}})
        plan, = plan_builds(
            [setting], fingerprint=self._data.fingerprint, dataset_folder=self._folder, out=self.records.folder,
            budget=budget or self.budget, threads=self.budget.threads or 1, seed=self._seed, depth=self._depth,
            effort=effort, encoder=self._encoder, splits=splits, floor=floor,
        )  # fmt: skip
        refused = refusal(card, self._lacking)
        execute(self.records, plan, self._data, timeout=self._timeout, tell=self._tell, refused=refused)
        return self.records.record(plan.trials[0].trial_id)

    def lacks_encoder(self, record: TrialRecord) -> bool:
        """Whether the trial was refused because the encoder cannot be had, as every other of its system would be."""
        return bool(self._lacking) and self._lacking in record.reason

    def forget_builds(self, builds: set[str]) -> None:
        """Remove built indexes (build ids) where they are there."""
        for build in builds:
            shutil.rmtree(self.records.build_folder(build), ignore_errors=True)
