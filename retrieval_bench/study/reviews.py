"""From names, files and folders to reviews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from retrieval_bench.datasets import Review, local_copy
from retrieval_bench.datasets._reviews import OnError, telling
from retrieval_bench.datasets.clef_tar import is_clef_tar, read_reviews
from retrieval_bench.datasets.screening import read_review
from retrieval_bench.errors import DataError, UnavailableError, UsageError
from retrieval_bench.specs import dataset_cards

_SHIPPED = "screening/"
Source = Callable[[], list[Review]]


def load_reviews(names: Sequence[str] = (), *, on_error: OnError | None = None) -> list[Review]:
    """Read reviews.

    Args:
        names: cards (``screening/ace``, or ``ace`` for short), CSV files, folders of CSV files, or CLEF TAR folders;
            none of them means every review with a card that is on this machine.
        on_error: told of a name, file or topic that cannot be used, while the others go on; None raises instead.

    Raises:
        UnknownNameError: no such card or file.
        UnavailableError: the records are not on this machine; says how to get them.
        DataError: they cannot be read (see ``datasets.screening`` and ``datasets.clef_tar``).
        UsageError: a review is asked for twice.

    Reviews of one name from different files are told apart by their sources behind their names.
    """
    reviews: list[Review] = []
    for name in names or _at_hand():
        with telling(name, on_error):
            for place, read in _sources(name, on_error):
                with telling(place, on_error):
                    reviews += read()
    return _told_apart(reviews)


def _told_apart(reviews: list[Review]) -> list[Review]:
    names = Counter(review.name for review in reviews)
    sources = Counter((review.name, Path(review.source).resolve()) for review in reviews)
    if double := {name for (name, _), count in sources.items() if count > 1}:
        raise UsageError(f"asked for twice: {', '.join(sorted(double))}")
    return [
        replace(review, name=f"{review.name} ({review.source})") if names[review.name] > 1 else review
        for review in reviews
    ]


def _at_hand() -> list[str]:
    found, reasons = [], []
    for name in (card for card in dataset_cards() if card.startswith(_SHIPPED)):
        try:
            local_copy(name)
        except UnavailableError as error:
            reasons.append(error)
        else:
            found.append(name)
    if not found:
        raise reasons[0]
    return found


def _sources(name: str, on_error: OnError | None) -> list[tuple[str, Source]]:
    """What a name stands for, each with its place and how to read it."""
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path, on_error)
    short = f"{_SHIPPED}{name}"
    card, local = local_copy(short if short in dataset_cards() else name)
    if card.reader not in ("screening", "clef_tar") or local is None:
        raise UsageError(f"{name}: is not a systematic review but data for the reader {card.reader!r}")
    return _folder(local, on_error) if local.is_dir() else [_file(local)]


def _file(path: Path) -> tuple[str, Source]:
    return str(path), lambda: [read_review(path)]


def _folder(folder: Path, on_error: OnError | None) -> list[tuple[str, Source]]:
    files = sorted(folder.glob("*.csv"))
    if files:
        return [_file(file) for file in files]
    if is_clef_tar(folder):
        return [(str(folder), lambda: list(read_reviews(folder, on_error=on_error).values()))]
    raise DataError(
        f"{folder}: holds neither CSV files of reviews nor a CLEF TAR collection (topics/, qrels, corpus.jsonl)"
    )
