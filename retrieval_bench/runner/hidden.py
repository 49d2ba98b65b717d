"""Memory that an index keeps outside its own account: what copies of it add to a process, less what they report.

What an engine takes for an index of any size (a pool of locks, buffers) is known from copies of a tiny one, and what it
takes once for a process is not counted by either; so a hidden copy of the vectors shows however small the index is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from retrieval_bench import registry
from retrieval_bench.errors import DataError, RetrievalBenchError
from retrieval_bench.measure.growth import NOISE, bytes_of_a_copy, copies_for
from retrieval_bench.measure.memory import watched_bytes
from retrieval_bench.protocols import Index
from retrieval_bench.runner.job import BuildPlan
from retrieval_bench.types import Corpus, Dataset, RowIds

_TINY = 300  # rows: what product quantizers need to be trained


class Hidden(NamedTuple):
    """Bytes of one index that its account leaves out, and how far off that may be."""

    bytes: float
    error: float


def hidden(
    plan: BuildPlan, dataset: Dataset, folder: Path, reported: int, answer: Callable[[Index], object]
) -> Hidden | None:
    """Measure it in this process, which has loaded the index once; None where there is no room, or it cannot be.

    Args:
        plan: of the index.
        dataset: that it is of.
        folder: with its saved files.
        reported: its analytic bytes.
        answer: asks a copy some queries, so that it holds what answering needs.
    """
    plugin = registry.indexes.get(plan.card.backend)
    copies = copies_for(reported)
    room = psutil.virtual_memory().available / 2
    if plan.budget.peak_bytes is not None:
        room = min(room, plan.budget.peak_bytes - watched_bytes(psutil.Process()))
    if 2 * copies * reported > room:
        return None

    def beyond(place: Path, account: int) -> float:
        def copy() -> Index:
            index = plugin.load(place)
            answer(index)
            return index

        return bytes_of_a_copy(copy, copies) - account

    try:
        whole = beyond(folder, reported)
        with tempfile.TemporaryDirectory() as place:
            account = _tiny(plan, dataset, Path(place))
            return Hidden(whole - beyond(Path(place), account), 2 * NOISE / copies)
    except Exception:  # noqa: BLE001 - what a plug-in raises here says nothing of the setting that it has answered
        return None


def _tiny(plan: BuildPlan, dataset: Dataset, place: Path) -> int:
    """Save an index of the same backend over few rows, as the plan builds it or as it builds itself; its account.

    Raises:
        DataError: it builds none.
    """
    few = max(_TINY, 2 * dataset.corpus.dim)  # a rotation is trained on no fewer rows than dimensions
    vectors = dataset.corpus.require_vectors()[: min(few, len(dataset.corpus) // 4)].copy()
    corpus = Corpus(ids=RowIds(len(vectors)), vectors=vectors)
    for build in (plan.build, {}):
        index = registry.indexes.get(plan.card.backend)()
        free = plan.budget.model_copy(update={"bytes_per_vector": None, "index_bytes": None})
        try:
            index.build(
                corpus, index.BuildParams.model_validate(build), free, metric=dataset.metric, seed=plan.seed
            )  # fmt: skip
        except RetrievalBenchError:  # as where there are fewer rows than lists
            continue
        index.save(place)
        return index.memory().total
    raise DataError(f"{plan.card.backend} builds no index of {len(vectors)} vectors")
