"""What is fixed of the next trial before the sampler chooses the rest: the build, the card's settings, less effort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrieval_bench.specs import Range, SystemCard
from retrieval_bench.tuning.space import Dimensions
from retrieval_bench.types import Params

_NEAR_MOST = 1.5  # a parameter within this factor of its most is not raised any more


def build_of_the_card(card: SystemCard, build_space: Dimensions, model: type[Params]) -> dict[str, Any]:
    """What the card builds with, of the parameters in the space; what is None the backend chooses under the budget."""
    used = {name: card.build.get(name, model.model_fields[name].default) for name in build_space}
    return {name: value for name, value in used.items() if _holds(build_space[name], value)}


def of_the_card(card: SystemCard, search_space: Dimensions, most: int) -> list[dict[str, Any]]:
    """The card's search settings as far as they lie in the space, ``most`` of them, evenly spread.

    Whoever wrote the card recommends them: a pick should not be worse for want of trials.
    """
    settings = [s for s in card.settings() if all(_holds(search_space.get(n), v) for n, v in s.items())]
    settings = [setting for setting in settings if setting]
    if len(settings) <= most:
        return settings
    return [settings[i] for i in np.unique(np.linspace(0, len(settings) - 1, most).round().astype(int))] if most else []


class Descent:
    """Lowers one search parameter after the other: by halves on a log scale, between what misses and what meets.

    Most search parameters buy quality with time, so the fastest setting that meets a target has none of them higher
    than needed, and a setting that misses it tells the same of all that are lower. Proposals depend on what was tried
    alone, so an interrupted tuning repeats them.

    Args:
        search_space: the dimensions; those that are choices stay as they are.
    """

    def __init__(self, search_space: Dimensions) -> None:
        self._least = {name: d.low for name, d in search_space.items() if isinstance(d, Range) and d.low > 0}
        self._turn = 0
        self._asked: dict[str, Any] | None = None

    def propose(self, best: Mapping[str, Any], missed: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any] | None:
        """The best search setting with one parameter lowered; None where all are as low as they can be.

        Args:
            best: that met the target.
            missed: settings of the same build that did not.
        """
        names = list(self._least)
        for _ in names:
            name = names[self._turn % len(names)]
            self._turn += 1
            value, floor = best.get(name), self._floor(name, best, missed)
            if not isinstance(value, int | float) or value <= floor:
                continue
            middle = math.sqrt(floor * value)
            lower = math.floor(middle) if isinstance(value, int) else middle
            lower = max(lower, math.ceil(floor) if isinstance(value, int) else floor)
            proposed = {**best, name: lower}
            if lower < value and proposed != self._asked and not math.isclose(lower, value, rel_tol=0.02):
                self._asked = proposed
                return proposed
        return None

    def _floor(self, name: str, best: Mapping[str, Any], missed: Sequence[Mapping[str, Any]]) -> float:
        """The least value that may still meet the target with the others as they are in the best setting."""
        floor = self._least[name]
        for setting in missed:
            others = [(setting[other], value, other in self._least) for other, value in best.items() if other != name]
            as_costly = all(tried >= value if ordered else tried == value for tried, value, ordered in others)
            if as_costly and setting[name] < best[name]:
                floor = max(floor, setting[name] + 1 if isinstance(best[name], int) else setting[name])
        return floor


class Ascent:
    """Raises one search parameter after the other, half-way to its most on a log scale, until a setting meets.

    Args:
        search_space: the dimensions; those that are choices stay as they are.
    """

    def __init__(self, search_space: Dimensions) -> None:
        self._most = {name: d.high for name, d in search_space.items() if isinstance(d, Range)}
        self._turn = 0

    def propose(self, nearest: Mapping[str, Any], missed: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any] | None:
        """The nearest setting that missed the target with one parameter raised; None where all are near their most.

        Args:
            nearest: of those that missed.
            missed: what was tried on the same build.
        """
        names = list(self._most)
        for _ in names:
            name = names[self._turn % len(names)]
            self._turn += 1
            value, most = nearest.get(name), self._most[name]
            if not isinstance(value, int | float) or not 0 < value < most / _NEAR_MOST:
                continue
            middle = math.sqrt(value * most)
            proposed = {**nearest, name: math.ceil(middle) if isinstance(value, int) else middle}
            if proposed not in missed:
                return proposed
        return None


class Guide:
    """Fixes a part of each trial.

    A build that answers to its first setting is asked for more of them; of one that cannot be made under the budget, or
    does not answer, nothing more is asked. Where a quality is to be reached, the setting that misses it by least is
    raised until one meets it, and the best is lowered then, in turns with what the sampler proposes.

    Args:
        build: build parameters to begin with; the sampler chooses those that are missing.
        waiting: search settings to begin with.
        search_space: the search dimensions.
        searches: settings tried on one build before the next is made.
        reaching: whether a quality is to be reached.
    """

    def __init__(
        self, build: Mapping[str, Any], waiting: Sequence[Mapping[str, Any]], search_space: Dimensions, *,
        searches: int, reaching: bool,
    ) -> None:  # fmt: skip
        self._build = _labelled("build", build)
        self._waiting = [_labelled("search", setting) for setting in waiting]
        self._ways = (Ascent(search_space), Descent(search_space)) if reaching else None
        self._each = searches if search_space else 1
        self._on_build = 0
        self._led = False  # whether the trial under way is of our choice
        self._lowered = False  # whether the last one of our choice went down
        self._missed: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._nearest: tuple[float, dict[str, Any], dict[str, Any]] | None = None

    def fixed(self, best: tuple[dict[str, Any], dict[str, Any]] | None) -> dict[str, Any]:
        """Values by label, as ``space.suggest`` names them.

        Args:
            best: build and search parameters of the best that met the target.
        """
        if not self._waiting and (led := self._leads(best)) is not None:
            self._led = True
            return led
        return self._build | (self._waiting[0] if self._waiting else {})

    def _leads(self, best: tuple[dict[str, Any], dict[str, Any]] | None) -> dict[str, Any] | None:
        """The next step towards the target, or down from it; None where the sampler is to choose."""
        if self._ways is None:
            return None
        ascent, descent = self._ways
        if best is None:
            if self._nearest is None:
                return None
            _, build, near = self._nearest
            setting = ascent.propose(near, self._missed_on(build))
        else:
            build = _labelled("build", best[0])
            setting = None if self._lowered else descent.propose(best[1], self._missed_on(build))
            self._lowered = setting is not None
        return None if setting is None else build | _labelled("search", setting)

    def _missed_on(self, build: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [search for other, search in self._missed if other == build]

    def told(self, values: Mapping[str, Any], *, answered: bool, short: float) -> None:
        """What became of the trial.

        Args:
            values: all of it, by label.
            answered: whether the system answered queries.
            short: quality that is missing to the target, infinite where none was measured.
        """
        build = {name: value for name, value in values.items() if name.startswith("build.")}
        if short > 0:
            prefix = "search."
            setting = {n.removeprefix(prefix): value for n, value in values.items() if n.startswith(prefix)}
            self._missed.append((build, setting))
            if not math.isinf(short) and (self._nearest is None or short <= self._nearest[0]):
                self._nearest = short, build, setting
        if self._led:
            self._led = False
            return
        self._on_build += 1
        if answered or self._on_build > 1:  # else the same setting is tried on the next build
            self._waiting = self._waiting[1:]
        self._build = build
        if self._on_build >= self._each or (self._on_build == 1 and not answered):
            self._build, self._on_build = {}, 0


def _labelled(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _holds(dimension: Range | list[Any] | None, value: Any) -> bool:
    if isinstance(dimension, list):
        return value in dimension
    return dimension is not None and isinstance(value, int | float) and dimension.low <= value <= dimension.high
