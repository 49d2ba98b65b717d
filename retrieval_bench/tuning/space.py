"""Where tuning looks: a card's table ``[space]``, else the parameters' own ranges around what the card uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from retrieval_bench import registry
from retrieval_bench.errors import CardError, nearest
from retrieval_bench.specs import Range, SystemCard
from retrieval_bench.types import Params

Choices = list[Any]
Dimensions = dict[str, Range | Choices]
_AROUND = 16  # without a table: from a sixteenth of the least value in use to sixteen times the greatest


class Suggests(Protocol):
    """What is asked of an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...  # noqa: D102
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float: ...  # noqa: D102
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int: ...  # noqa: D102


def space_of(card: SystemCard) -> tuple[Dimensions, Dimensions]:
    """The card's build and search dimensions.

    Raises:
        CardError: the table names a parameter that the backend does not have; holds the nearest names.
        UnavailableError: the backend's engine is not installed.
    """
    plugin: Any = (registry.indexes if card.kind == "index" else registry.rankers).get(card.backend)
    search_model = plugin.SearchParams if card.kind == "index" else None
    if card.space is not None:
        for table, named, model in (
            ("build", card.space.build, plugin.BuildParams), ("search", card.space.search, search_model)
        ):  # fmt: skip
            known = model.model_fields if model else {}
            for name in named:
                if name not in known:
                    raise CardError(
                        f"card {card.name!r}, table 'space.{table}': unknown parameter {name!r}; {nearest(name, known)}"
                    )
        build, search = dict(card.space.build), dict(card.space.search)
    else:
        build = _around(plugin.BuildParams, card.build)
        search = _around(search_model, card.search) if search_model else {}
    return {name: _or_automatic(name, d, plugin.BuildParams, card.build) for name, d in build.items()}, search


def suggest(trial: Suggests, prefix: str, dimensions: Dimensions, model: type[Params]) -> dict[str, Any]:
    """Draw a value for every dimension; whole numbers where the parameter takes only those."""
    drawn: dict[str, Any] = {}
    for name, dimension in dimensions.items():
        label = f"{prefix}.{name}"
        if isinstance(dimension, list):
            drawn[name] = trial.suggest_categorical(label, dimension)
        elif float in _types(model.model_fields[name]):
            drawn[name] = trial.suggest_float(label, dimension.low, dimension.high, log=dimension.log)
        else:
            drawn[name] = trial.suggest_int(label, round(dimension.low), round(dimension.high), log=dimension.log)
    return drawn


def _or_automatic(
    name: str, dimension: Range | Choices, model: type[Params], used: Mapping[str, Any]
) -> Range | Choices:
    """What the card leaves to the backend, which knows data and budget, is a choice too."""
    automatic = used.get(name, model.model_fields[name].default) is None
    return [None, *dimension] if automatic and isinstance(dimension, list) and None not in dimension else dimension


def _around(model: type[Params], used: Mapping[str, Any]) -> Dimensions:
    found: Dimensions = {}
    for name, field in model.model_fields.items():
        kinds = _types(field)
        choices = [c for kind in kinds if get_origin(kind) is Literal for c in get_args(kind)]
        if choices or bool in kinds:
            found[name] = choices or [False, True]
            continue
        values = used.get(name, field.default)
        numbers = [v for v in (values if isinstance(values, list) else [values]) if isinstance(v, int | float)]
        if numbers and {int, float} & set(kinds):  # what is None is left to the backend, which knows data and budget
            low, high = _bounds(field)
            low, high = max(low, min(numbers) / _AROUND), min(high, max(numbers) * _AROUND)
            if int in kinds and float not in kinds:
                low, high = max(1.0, round(low)) if min(numbers) > 0 else round(low), round(high)
            if low < high:
                found[name] = Range(low=low, high=high, log=low > 0)
    return found


def _types(field: FieldInfo) -> tuple[Any, ...]:
    """The annotation's alternatives, without None."""
    annotation = field.annotation
    if annotation is None or get_origin(annotation) is Literal or isinstance(annotation, type):
        return (annotation,)
    return tuple(a for a in get_args(annotation) if a is not type(None))


def _bounds(field: FieldInfo) -> tuple[float, float]:
    low, high = float("-inf"), float("inf")
    for fact in field.metadata:
        if isinstance(fact, Ge | Gt):
            low = float(fact.ge if isinstance(fact, Ge) else fact.gt)  # type: ignore[arg-type]
        if isinstance(fact, Le | Lt):
            high = float(fact.le if isinstance(fact, Le) else fact.lt)  # type: ignore[arg-type]
    return low, high
