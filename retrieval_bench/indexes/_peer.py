"""What the backends over other libraries share: threads, a setting that belongs to the whole index, files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.arrays import unfit
from retrieval_bench.checks import check_k
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.hits import make_hits
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.types import FloatArray, Frozen, Hits, MemoryReport, Metric, Params, Queries


class OneSetting:
    """A setting of a whole index, for libraries that do not take it per call.

    Searches of one setting run side by side; a search of another waits until they are done.
    """

    def __init__(self) -> None:
        self._free, self._running, self._value = Condition(), 0, None

    @contextmanager
    def at(self, value: Any, change: Callable[[Any], object]) -> Iterator[None]:
        """Hold the setting at ``value``; ``change(value)`` is called where it is another now."""
        with self._free:
            self._free.wait_for(lambda: self._running == 0 or self._value == value)
            if self._value != value:
                change(value)
                self._value = value
            self._running += 1
        try:
            yield
        finally:
            with self._free:
                self._running -= 1
                self._free.notify_all()


class PeerIndex:
    """Base of the backends whose index is one object of a library.

    Attributes:
        params: the build parameters as used.
    """

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]
    SearchParams: ClassVar[type[Params]]
    metrics: ClassVar[frozenset[str]] = frozenset({"ip", "l2"})
    params: Any

    _index: Any
    _shape: tuple[int, int]
    _metric: Metric

    def __init__(self) -> None:
        self._setting = OneSetting()

    @abstractmethod
    def _nearest(self, vectors: FloatArray, k: int, params: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """(m, k) rows, negative where missing, and scores, higher better."""

    @abstractmethod
    def memory(self) -> MemoryReport:
        """See protocols.Index."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write the library's own files."""

    @abstractmethod
    def _read(self, folder: Path) -> None:
        """Read what ``_write`` wrote, after checking all that the library would trust in it."""

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """See protocols.Index.

        Raises:
            DataError: the queries have another dimension than the index.
            UsageError: k or a search parameter is out of the index's range.
        """
        vectors = queries.require_vectors()
        n, d = self._shape
        check_k(k, n)
        if vectors.shape[1] != d:
            raise DataError(f"the queries have {vectors.shape[1]} dimensions, the index {d}")
        return make_hits(*self._nearest(np.ascontiguousarray(vectors), k, params))

    def save(self, folder: Path) -> None:
        """Write the library's files, ``params.json`` and ``index.json``."""
        self._write(folder)
        write_params(folder / "params.json", self.params)
        write_params(folder / "index.json", _Facts(n=self._shape[0], d=self._shape[1], metric=self._metric))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: a file is missing, cut short or not what it should be.
        """
        loaded = cls()
        loaded.params = read_params(folder / "params.json", cls.BuildParams)
        facts = read_params(folder / "index.json", _Facts)
        loaded._shape, loaded._metric = (facts.n, facts.d), facts.metric
        try:
            loaded._read(folder)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise unfit(folder, f"cannot be read ({error})") from error
        return loaded


class _Facts(Frozen):
    """What an index is of."""

    n: int = Field(ge=1, lt=1 << 31)
    d: int = Field(ge=1, le=1 << 20)
    metric: Metric


def enough_candidates(name: str, candidates: int, k: int) -> None:
    """Refuse a search that keeps fewer candidates than hits.

    Raises:
        UsageError: names the parameter.
    """
    if candidates < k:
        raise UsageError(f"{name} = {candidates} candidates cannot give k = {k} hits; use {name} >= k")
