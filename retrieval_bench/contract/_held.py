"""What an index holds in memory when it is served: read in a process of its own, by growth between two sizes.

An engine's code, its pools and its work space do not grow with the corpus; what grows is the index. So two saved
indexes of one kind are loaded, the small one first and each twice, since a first load also pays for what is made once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.protocols import Index
from retrieval_bench.threads import limited
from retrieval_bench.types import Budget, Corpus, FloatArray, Metric, Queries, RowIds

DIMENSIONS, FACTOR, AGREEMENT = 64, 4, 0.05
_ASKED, _K = 64, 10
_LIST_ROOM = 2048


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Bytes by which an index of ``FACTOR`` times the rows is larger.

    Attributes:
        rows: that it has more.
        told: by ``memory()``.
        saved: by its files.
        held: private bytes of a process that loaded it and answered queries.
        lists: inverted lists that it has more.
    """

    rows: int
    told: int
    saved: int
    held: int
    lists: int

    @property
    def agrees(self) -> bool:
        """Whether what is held and what is told differ by no more than ``AGREEMENT``.

        An engine that gives each list room to grow holds up to a page of it beyond its content: half a page of each
        further list is allowed for.
        """
        return abs(self.held - self.told) <= AGREEMENT * self.told + _LIST_ROOM * self.lists


def grown(factory: type[Index], rows: int, *, metric: Metric = "ip", budget: Budget | None = None) -> Growth:
    """Build at ``rows`` and at ``FACTOR`` times as many, save, load both in a process of its own, and compare.

    Args:
        factory: the backend's class, in a module that another process can import.
        rows: of the smaller index; so many that its bytes stand out from an allocator's pages (5,000 do at 256 bytes).
        metric: one that it serves.
        budget: of both builds.

    Raises:
        RetrievalBenchError: the process that loads them failed; holds its last line.
    """
    from retrieval_bench.files import folder_bytes

    vectors = _vectors(rows * FACTOR + _ASKED)
    told, saved, lists = [], [], []
    with tempfile.TemporaryDirectory() as place:
        for n in (rows, rows * FACTOR):
            index, folder = factory(), Path(place) / str(n)
            corpus = Corpus(ids=RowIds(n), vectors=vectors[:n])
            with limited(1):
                index.build(corpus, factory.BuildParams(), budget or Budget(), metric=metric, seed=3)
            folder.mkdir()
            index.save(folder)
            told.append(index.memory().total)
            saved.append(folder_bytes(folder))
            lists.append(getattr(index.params, "lists", None) or 0)
        np.save(Path(place) / "queries.npy", vectors[-_ASKED:])
        _, small, _, large = _held(factory, Path(place), [rows, rows, rows * FACTOR, rows * FACTOR])
    return Growth(
        rows=rows * (FACTOR - 1),
        told=told[1] - told[0],
        saved=saved[1] - saved[0],
        held=large - small,
        lists=lists[1] - lists[0],
    )


def _vectors(n: int) -> FloatArray:
    """Clustered rows of length 1, as embeddings are."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((100, DIMENSIONS))
    rows = centres[rng.integers(0, len(centres), n)] + 0.7 * rng.standard_normal((n, DIMENSIONS))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def _held(factory: type[Index], place: Path, sizes: list[int]) -> list[int]:
    """Private bytes that each of these saved indexes adds, one after another, all being kept."""
    # A class made while the checks run, with other defaults, loads as the one it was made from.
    known = next(c for c in factory.__mro__ if getattr(sys.modules[c.__module__], c.__name__, None) is c)
    job = json.dumps([known.__module__, known.__name__, str(place), sizes])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, job], capture_output=True, text=True, env=environment, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RetrievalBenchError(f"{factory.name}: could not be loaded in a process of its own: {said[-1]}")
    found: list[int] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(job: str) -> None:
    """Load the indexes one after another, ask each, and print what each holds, as JSON."""
    import importlib

    from retrieval_bench.measure.memory import private_bytes, settle

    module, name, place, sizes = json.loads(job)
    factory: Any = getattr(importlib.import_module(module), name)
    asked = np.load(Path(place) / "queries.npy", allow_pickle=False)
    queries = Queries(ids=RowIds(len(asked)), vectors=asked)
    kept, found = [], []
    for n in sizes:
        settle()
        before = private_bytes()
        kept.append(factory.load(Path(place) / str(n)))
        kept[-1].search(queries, _K, factory.SearchParams())
        settle()
        found.append(private_bytes() - before)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
