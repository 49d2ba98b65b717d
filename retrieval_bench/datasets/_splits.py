"""Which of a source's query sets serve as ``train``, ``tune`` and ``test``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from retrieval_bench.errors import CardError, DataError, nearest
from retrieval_bench.specs import DatasetCard

T = TypeVar("T")

# What sources call a split, best first.
_USUAL_NAMES = {
    "test": ("test",),
    "tune": ("dev", "valid", "validation", "val", "tune"),
    "train": ("train",),
}
SPLIT_NAMES = frozenset(name for names in _USUAL_NAMES.values() for name in names)


def choose_splits(card: DatasetCard, available: Collection[str], *, source: str) -> dict[str, str]:
    """Our splits to the source's names: as the card says, else by the usual names.

    A source with a development set and no test set (MS MARCO) is judged on the development set; a source with a
    single query set is judged on that one.

    Raises:
        CardError: the card names a split that the source does not have.
        DataError: it cannot be told which set is ``test``.
    """
    if card.splits:
        for name in card.splits.values():
            if name not in available:
                raise CardError(
                    f"dataset card {card.name!r}: {source} has no split {name!r}; {nearest(name, available)}"
                )
        chosen: dict[str, str] = {str(ours): name for ours, name in card.splits.items()}
    else:
        chosen = {
            ours: next(name for name in usual if name in available)
            for ours, usual in _USUAL_NAMES.items()
            if any(name in available for name in usual)
        }
        if "test" not in chosen:
            if "tune" in chosen:
                chosen["test"] = chosen.pop("tune")
            elif len(available) == 1:
                chosen = {"test": next(iter(available))}
    if "test" not in chosen:
        listed = ", ".join(sorted(available)) or "none"
        raise DataError(
            f"{source}: no query set to judge on (found: {listed}); name one in a dataset card: [splits] test = ..."
        )
    return chosen


def train_serves_as_tune(by_split: Mapping[str, T]) -> dict[str, T]:
    """The same values, with those of ``train`` under ``tune`` too when a source has none to tune on."""
    result = dict(by_split)
    if "train" in result and "tune" not in result:
        result["tune"] = result["train"]
    return result
