"""Which queries a model learns from, and whether settings may still be chosen on others of the same data set.

Where a source has one set for both, training takes a part of it and leaves the rest to choose on, the same part as
``run`` does (see ``datasets._apart``); only a model that was told to learn from ``tune`` has seen all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.training.checkpoint import Identity
from retrieval_bench.training.folder import identity_of
from retrieval_bench.training.settings import Settings
from retrieval_bench.types import Dataset


def learning_data(name: str, settings: Settings) -> Dataset:
    """The data set of this name, its ``train`` apart from its ``tune`` unless ``tune`` is what is learned from.

    Raises:
        RetrievalBenchError: as ``load_dataset``.
    """
    return load_dataset(name, apart=settings.split == "train")


def choosing_data(name: str, models: Sequence[Path]) -> Dataset:
    """The data set of this name, to choose on its ``tune`` between models that did not learn from it.

    Args:
        name: of the data set.
        models: folders of trained models; what tells nothing about its training is taken to be new to the data.

    Raises:
        UsageError: a model learned from the queries that it would be chosen on.
        DataError: the data set has no ``tune`` queries with judgments.
        RetrievalBenchError: as ``load_dataset``.
    """
    dataset, whole = load_dataset(name, apart=True), load_dataset(name)
    if "tune" not in dataset.qrels:
        raise DataError(f"data set {name!r}: has no judged queries besides those of test to choose on")
    for folder in models:
        if any(_saw_tune(identity, name, dataset, whole) for identity in _history(folder)):
            raise UsageError(
                f"{folder}: learned from the queries of {name!r} that the choice would be made on; choose on another "
                "data set, or train it anew on the split train"
            )
    return dataset


def _history(folder: Path) -> Iterator[Identity]:
    """What a model, the one that it started from and the runs that it is a soup of say of their training."""
    waiting, seen = [folder], set[Path]()
    while waiting:
        place = waiting.pop()
        if place in seen or not place.is_dir():  # a packaged model, or a folder that is gone
            continue
        seen.add(place)
        identity = identity_of(place)
        yield identity
        waiting += map(Path, filter(None, (*identity.get("runs", ()), identity.get("start"))))


def _saw_tune(identity: Identity, name: str, dataset: Dataset, whole: Dataset) -> bool:
    if "settings" not in identity:
        return False
    names = (identity.get("dataset"), *identity.get("datasets", ()))
    fingerprints = (identity.get("dataset_fingerprint"), *identity.get("dataset_fingerprints", ()))
    as_a_whole = whole.fingerprint in fingerprints
    if identity["settings"].get("split") == "tune":
        return as_a_whole or name in names
    # Trained before ``train`` was kept apart: from all queries of a data set that has no others to choose on.
    return as_a_whole and whole.fingerprint != dataset.fingerprint
