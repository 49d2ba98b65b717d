"""MS MARCO passages as Microsoft hands them out: ``collection.tsv``, ``queries.<set>.tsv`` and ``qrels.<set>.tsv``.

Lines of the first two are an id, a tab and a text; of the last four columns, as of TREC. A set with a small part, as
``qrels.dev.small.tsv`` of ``qrels.dev.tsv``, is that part where it is there, on which results are published.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from retrieval_bench.datasets._lines import numbered_lines, plain_or_gzipped
from retrieval_bench.datasets._splits import choose_splits
from retrieval_bench.datasets._textset import text_dataset, unique_texts
from retrieval_bench.datasets._trec_topics import read_topics
from retrieval_bench.datasets.trec import read_qrels
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Dataset, Frozen

COLLECTION = "collection.tsv"
_SMALL = ".small"


class Options(Frozen):
    """There are none."""


@readers.register("msmarco")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read the folder, plain or gzipped; ``dev`` is judged on where there is no ``test``.

    Raises:
        DataError: a kind of file is missing, a line cannot be read, or a judgment names something unknown.
    """
    validated(Options, card.options, where=f"dataset card {card.name!r}")
    collection = path and plain_or_gzipped(path, COLLECTION)
    if path is None or collection is None:
        raise DataError(f"{path or card.name}: MS MARCO is a folder with {COLLECTION}, queries.*.tsv and qrels.*.tsv")
    named = _sets(path, "qrels")
    chosen = choose_splits(card, named, source=str(path))
    texts: dict[str, str] = {}
    notes: list[str] = []
    for file in _sets(path, "queries", "topics").values():
        topics = read_topics(file)
        notes += topics.notes
        for key, text in zip(topics.ids, topics.texts, strict=True):
            texts.setdefault(key, text)  # the small sets are parts of others
    return text_dataset(
        card,
        documents=unique_texts(_passages(collection), what="document"),
        query_texts=texts,
        judgments={split: read_qrels(named[name]) for split, name in chosen.items()},
        notes=notes,
    )


def _passages(path: Path) -> Iterator[tuple[str, str, str]]:
    for number, line in numbered_lines(path):
        key, tab, text = line.partition("\t")
        if not tab or not key.strip():
            raise DataError(f"{path}:{number}: not a passage; write its id, a tab and its text")
        yield f"{path}:{number}", key.strip(), text.strip()


def _sets(folder: Path, *kinds: str) -> dict[str, Path]:
    """Names of sets to files, the small part for the whole where it is there."""
    found: dict[str, Path] = {}
    for file in sorted(file for kind in kinds for file in folder.glob(f"{kind}.*") if file.is_file()):
        name = file.name.removesuffix(".gz").partition(".")[2].rpartition(".")[0]
        if name.endswith(_SMALL) or name not in found:
            found[name.removesuffix(_SMALL)] = file
    if not found:
        raise DataError(f"{folder}: has no {kinds[0]}.*.tsv, as queries.dev.small.tsv and qrels.dev.small.tsv")
    return found
