"""What a command says of data that is not as its files have it, where its table has no place for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retrieval_bench.cli._app import problems


def tell_notes(found: Iterable[tuple[str, Sequence[str]]]) -> None:
    """One line on standard error for each note; what several results of a data set share is told once.

    Args:
        found: names of data sets, each with the notes on it (``datasets.notes_of``).
    """
    for name, note in dict.fromkeys((name, note) for name, notes in found for note in notes):
        problems.print(f"{name}: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
