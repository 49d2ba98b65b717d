"""TOML cards to validated objects. An unknown key is an error naming the card, the key and its nearest valid names."""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from retrieval_bench.errors import ArtifactError, CardError, UnknownNameError, nearest
from retrieval_bench.files import home, read_small, write_text
from retrieval_bench.metric_words import metric_of
from retrieval_bench.types import Budget, Frozen, Metric, Params

P = TypeVar("P", bound=BaseModel)


class DatasetCard(Frozen):
    """Where a data set comes from and how to read it.

    A local copy is looked for first, under the name ``file``, in ``$RETRIEVAL_BENCH_DATA`` and in the download folder.
    """

    name: str
    summary: str
    reader: str = Field(description="a name of `registry.readers`")
    licence: str = "unknown"
    homepage: str = ""
    metric: Metric | None = Field(default=None, description="None: the file says, or 'cos' for encoded text")
    file: str | None = Field(default=None, description="name of the local file or folder")
    url: str | None = Field(default=None, description="where to download the file or archive")
    sha256: str | None = None
    md5: str | None = None
    get: str = Field(default="", description="one line: how to get it where `url` cannot be reached")
    splits: dict[Literal["train", "tune", "test"], str] = Field(
        default_factory=dict, description="our split = the source's name for it; empty: found by the reader"
    )
    queries_are_documents: bool = Field(default=False, description="take each query's own document out of its hits")
    options: dict[str, Any] = Field(default_factory=dict, description="settings of the reader")
    path: Path | None = Field(default=None, exclude=True, description="set when the data set was asked for by path")

    @field_validator("metric", mode="before")
    @classmethod
    def _by_any_name(cls, metric: object) -> object:
        return (metric_of(metric) if isinstance(metric, str) else None) or metric


class Range(Frozen):
    """Numbers to search between, ends included; a whole number where the parameter is one."""

    low: float
    high: float
    log: bool = Field(default=False, description="search their logarithm: for what matters by factors")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not (self.low < self.high and (self.low > 0 or not self.log)):
            raise ValueError(f"needs low < high, and low > 0 where log is set, not {self.low:g} to {self.high:g}")
        return self


class Space(Frozen):
    """Where tuning may look: by parameter, a range or a list of choices."""

    build: dict[str, Range | list[Any]] = Field(default_factory=dict)
    search: dict[str, Range | list[Any]] = Field(default_factory=dict)


class SystemCard(Frozen):
    """A recipe: a backend or ranker, its build parameters, and the search settings to try.

    Each value under ``search`` may be a list; the settings are all combinations, in the order written.
    """

    name: str
    summary: str
    kind: Literal["index", "ranker"]
    backend: str
    source: str = Field(default="", description="paper or library that the method comes from")
    default: bool | Literal["gpu"] = Field(
        default=False, description="part of a run that names no system: always, or where there is a GPU"
    )
    build: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Any] = Field(default_factory=dict)
    space: Space | None = Field(
        default=None, description="what tuning tries; None: around the values above and the defaults"
    )

    @field_validator("search")
    @classmethod
    def _some_value(cls, search: dict[str, Any]) -> dict[str, Any]:
        if empty := [name for name, values in search.items() if values == []]:
            raise ValueError(f"{', '.join(empty)}: an empty list leaves no setting to try; give at least one value")
        return search

    @property
    def hash(self) -> str:
        """Content hash: two runs of cards with one hash asked for the same thing."""
        text = json.dumps(self.model_dump(exclude={"summary", "source", "default", "space"}), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def settings(self) -> list[dict[str, Any]]:
        """All combinations of the search values; one empty setting when there are none."""
        values = [v if isinstance(v, list) else [v] for v in self.search.values()]
        return [dict(zip(self.search, combination, strict=True)) for combination in itertools.product(*values)]


def _plain(value: Any) -> Any:
    """A number of NumPy's, or of what behaves as such, as Python's."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def validated(model: type[P], data: Mapping[str, Any], *, where: str) -> P:
    """Make a model from plain data; ``where`` names the card in an error.

    Raises:
        CardError: every unknown key (with the nearest valid names) and every bad value, on one line.
    """
    try:
        plain = {key: _plain(value) for key, value in data.items()} if isinstance(data, Mapping) else data
        return model.model_validate(plain)
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])  # empty where the whole is no table of keys
            if problem["type"] == "extra_forbidden":
                problems.append(f"unknown key {key!r}, {nearest(key, model.model_fields)}")
            else:
                problems.append(f"key {key!r}: {problem['msg']} (got {problem['input']!r:.60})")
        raise CardError(f"{where}: " + "; ".join(problems)) from error


def write_params(path: Path, params: BaseModel) -> None:
    """Write parameters, or other facts, as ``read_params`` reads them; atomically."""
    write_text(path, params.model_dump_json())


def read_params(path: Path, model: type[P]) -> P:
    """The parameters, or other facts, in a small JSON file of an artifact.

    Raises:
        ArtifactError: missing, no regular file, longer than 256 KiB, or not valid.
    """
    try:
        return model.model_validate_json(read_small(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{path}: is not valid ({where}: {first['msg']}); build the index again") from error


def params(model: type[Params], data: Mapping[str, Any], *, where: str) -> Params:
    """Parameters of a backend from a card's or a caller's plain values (see ``validated``)."""
    return validated(model, data, where=where)


def card_folders(kind: Literal["datasets", "indexes"]) -> list[Path]:
    """Where cards are looked for: the package's own (inside the wheel or beside it in a checkout), then the user's."""
    package = Path(__file__).parent
    shipped = package / "cards" / kind
    own = shipped if shipped.is_dir() else package.parent / kind
    return [folder for folder in (own, home() / "cards" / kind) if folder.is_dir()]


def _read(path: Path, model: type[P]) -> P:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    return validated(model, data, where=str(path))


def _cards(kind: Literal["datasets", "indexes"], model: type[P]) -> dict[str, P]:
    cards: dict[str, P] = {}
    for folder in card_folders(kind):
        for path in sorted(folder.glob("*.toml")):
            card = _read(path, model)
            cards[str(card.name)] = card  # type: ignore[attr-defined]
    return cards


def budget_card(path: Path) -> Budget:
    """The limits that a TOML file sets.

    Raises:
        CardError: the file cannot be read, or a limit is unknown or not valid.
    """
    return _read(path, Budget)


def dataset_cards() -> dict[str, DatasetCard]:
    """All dataset cards by name; a user's card replaces a shipped one of the same name."""
    return _cards("datasets", DatasetCard)


def system_cards(kind: Literal["index", "ranker"] | None = None) -> dict[str, SystemCard]:
    """All index and ranker cards by name, or those of one kind."""
    return {n: c for n, c in _cards("indexes", SystemCard).items() if kind in (None, c.kind)}


def system_card(name: str, kind: Literal["index", "ranker"] | None = None) -> SystemCard:
    """The card of this name, or read from this path when it ends in ``.toml``.

    Raises:
        UnknownNameError: with the nearest names.
        CardError: the card is not valid, or is of the other kind.
    """
    if name.endswith(".toml"):
        card = _read(Path(name), SystemCard)
        if kind not in (None, card.kind):
            raise CardError(f"{name}: is a card of kind {card.kind!r}, a card of kind {kind!r} was asked for")
        return card
    cards = system_cards(kind)
    if name not in cards:
        raise UnknownNameError(kind or "system", name, cards)
    return cards[name]
