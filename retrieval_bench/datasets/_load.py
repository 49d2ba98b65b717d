"""From a name to a checked data set: the one way by which data enters."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from retrieval_bench.checks import check_ids, check_vectors
from retrieval_bench.datasets._apart import learn_apart, share_queries
from retrieval_bench.datasets._asked import without_blank
from retrieval_bench.datasets._detect import card_for_path, looks_like_path
from retrieval_bench.datasets._download import download_folder, fetch, how_to_get, local_name
from retrieval_bench.datasets._fingerprint import fingerprint
from retrieval_bench.datasets._own import mark_own
from retrieval_bench.errors import DataError, RetrievalBenchError, UnavailableError, UnknownNameError, UsageError
from retrieval_bench.metric_words import metric_named
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, dataset_cards
from retrieval_bench.types import Corpus, Dataset, HeldOut

_IR_DATASETS = "ir_datasets:"


def load_dataset(
    name: str | Path,
    *,
    metric: str | None = None,
    rows: int | None = None,
    queries: int | None = None,
    tune_share: float | None = None,
    apart: bool = False,
    progress: bool = False,
) -> Dataset:
    """Load a data set by name, check every value of it, and compute its fingerprint.

    Args:
        name: of a dataset card; a path to a file or folder; or a name of ir_datasets, alone or as ``ir_datasets:NAME``.
        metric: how vectors compare (``ip``, ``l2``, ``cos`` or another name of these), in place of what the file or
            card says; for data that comes as vectors.
        rows: keep the first rows of the source's corpus only, those of them that are held out counted; for vectors
            without judgments.
        queries: keep the first queries of each split only.
        tune_share: make this share of the test queries tuning queries, where there are none.
        apart: learn from other queries than settings are chosen on: some of ``tune`` become ``train``, where that would
            be the same or is not there.
        progress: show a progress bar while downloading.

    Returns:
        The data set. Vectors are as the source has them: under ``cos`` they are not normalised yet. What was left out
        of it, such as a query without a text, stands in ``meta``.

    Raises:
        UnknownNameError: no card, file or collection of this name; holds the nearest card names.
        UsageError: a limit that does not apply.
        CardError: the card cannot be read, or does not fit its data.
        DataError: the data cannot be used; names the file and the way to mend it.
        UnavailableError: the data is not on this machine and cannot be downloaded; says where to put it.
    """
    for what, limit in (("rows", rows), ("queries", queries)):
        if limit is not None and limit < 1:
            raise UsageError(f"{what} = {limit}: at least 1 must be kept")
    name, metric = str(name), None if metric is None else metric_named(metric)
    try:
        card = _card(name)
        path = _locate(card, progress=progress)
        if metric is not None:
            card = card.model_copy(update={"metric": metric})
        dataset = _read(card, path)
    except OSError as error:
        raise DataError(
            f"{error.filename or name}: cannot be read ({error.strerror or error}); "
            "mend its permissions or get it again"
        ) from error
    if "test" not in dataset.queries:
        raise DataError(f"{path or name}: has no queries to judge on; name them in its card: [splits] test = ...")
    if metric is not None and (dataset.corpus.vectors is None or dataset.metric != metric):
        reason = "texts compare as their encoder says" if dataset.corpus.vectors is None else f"it is {dataset.metric}"
        raise UsageError(f"{name}: its metric cannot be chosen: {reason}")
    dataset = without_blank(dataset, source=str(path or name))
    if tune_share is not None:
        dataset = share_queries(dataset, tune_share)
    if apart:
        dataset = learn_apart(dataset)
    dataset = _limited(dataset, rows, queries)
    _check(dataset, str(path or name))
    dataset = mark_own(dataset, declared=card.queries_are_documents)
    facts = {"summary": card.summary, "licence": card.licence, "homepage": card.homepage, **dataset.meta}
    if dataset.held_out is not None:
        facts["held out"] = _held_out_note(dataset, dataset.held_out)
    dataset = replace(dataset, meta={key: fact for key, fact in facts.items() if fact})
    return dataset if dataset.fingerprint else replace(dataset, fingerprint=fingerprint(dataset))


def local_copy(name: str) -> tuple[DatasetCard, Path | None]:
    """The card of a data set and where its files are, downloaded if need be, for those who read them by themselves.

    Raises:
        UnknownNameError, DataError, UnavailableError: as ``load_dataset``.
    """
    card = _card(name)
    return card, _locate(card, progress=False)


def place_name(name: str) -> str:
    """Name of a folder for what is made of a data set; two paths never share one, though their files be called alike.

    Raises:
        UnknownNameError, DataError: as ``load_dataset``.
    """
    plain = _card(name).name.replace("/", "-")
    if name in dataset_cards() or not Path(name).expanduser().exists():
        return plain
    return f"{plain}-{hashlib.blake2b(str(Path(name).expanduser().resolve()).encode(), digest_size=3).hexdigest()}"


def _card(name: str) -> DatasetCard:
    cards = dataset_cards()
    if name in cards:
        return cards[name]
    if name.startswith(_IR_DATASETS):
        return _ir_datasets_card(name.removeprefix(_IR_DATASETS))
    path = Path(name).expanduser()
    if path.exists():
        return card_for_path(path)
    if _ir_datasets_knows(name):  # before paths: `beir/scifact` is not one, though there be a folder `beir`
        return _ir_datasets_card(name)
    if looks_like_path(name):
        raise DataError(f"{name}: there is no such file or folder")
    raise UnknownNameError("dataset", name, cards)


def _ir_datasets_card(name: str) -> DatasetCard:
    facts = {"summary": f"{name} of ir_datasets", "homepage": "https://ir-datasets.com"}
    return DatasetCard.model_validate({"name": name, "reader": "ir_datasets", "options": {"name": name}, **facts})


def _ir_datasets_knows(name: str) -> bool:
    try:
        from retrieval_bench.datasets.ir_datasets import knows  # an optional package, asked only about names left over
    except ModuleNotFoundError:
        return False
    return knows(name)


def _locate(card: DatasetCard, *, progress: bool) -> Path | None:
    """The local file or folder of a card, downloaded if need be; None for a source that is not files."""
    if card.path is not None:
        return card.path
    name = local_name(card)
    if name is None:
        return None
    folders = [download_folder()]
    if chosen := os.environ.get("RETRIEVAL_BENCH_DATA"):
        folders.insert(0, Path(chosen).expanduser())
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    if card.url is None:
        raise UnavailableError(how_to_get(card, download_folder() / name, "is not on this machine"))
    return fetch(card, progress=progress)


def _limited(dataset: Dataset, rows: int | None, queries: int | None) -> Dataset:
    if rows is not None:
        dataset = _first_rows(dataset, rows)
    if queries is None:
        return dataset
    return replace(
        dataset,
        queries={split: part.take(slice(queries)) for split, part in dataset.queries.items()},
        qrels={split: part.take(slice(queries)) for split, part in dataset.qrels.items()},
        neighbors={split: part.take(slice(queries)) for split, part in dataset.neighbors.items()},
    )


def _first_rows(dataset: Dataset, rows: int) -> Dataset:
    corpus = dataset.corpus
    if corpus.vectors is None or dataset.qrels:
        raise UsageError(
            f"{dataset.name}: rows = {rows} would leave judged documents out; "
            "it applies to vectors without judgments, here limit the queries"
        )
    held = dataset.held_out
    if rows >= len(corpus) + (0 if held is None else len(held)):
        return dataset
    held = None if held is None else held.before(rows)
    stay = rows - (0 if held is None else len(held))
    kept = Corpus(
        ids=corpus.ids[:stay],
        texts=None if corpus.texts is None else corpus.texts[:stay],
        vectors=corpus.vectors[:stay],
    )
    return replace(dataset, corpus=kept, neighbors={}, held_out=held)


def _read(card: DatasetCard, path: Path | None) -> Dataset:
    """What the card's reader makes of the files; whatever a library raises on damaged ones is said of them."""
    reader = readers.get(card.reader)
    try:
        dataset: Dataset = reader(card, path)
    except (RetrievalBenchError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split())
        raise DataError(
            f"{path or card.name}: cannot be read by the reader {card.reader!r} ({type(error).__name__}: {said:.200}); "
            "it is damaged or of another format, get it again"
        ) from error
    return dataset


def _held_out_note(dataset: Dataset, held: HeldOut) -> str:
    n = len(dataset.corpus) + len(held)
    return (
        f"{len(held):,} of {n:,} rows were held out to ask with and are not in the indexes measured here; "
        f"`export` builds the winner anew over all {n:,}"
    )


def _check(dataset: Dataset, source: str) -> None:
    """Refuse what no index or ranker can serve; see ``checks``."""
    corpus = dataset.corpus
    check_ids(corpus.ids, source=source, what="document")
    if corpus.vectors is not None:
        check_vectors(corpus.vectors, source=source, metric=dataset.metric)
    for split, part in dataset.queries.items():
        asked = f"{source} ({split} queries)"
        check_ids(part.ids, source=asked, what="query")
        if (part.vectors is None) != (corpus.vectors is None):
            raise DataError(f"{asked}: documents and queries must both have vectors, or neither")
        if part.vectors is not None:
            check_vectors(part.vectors, source=asked, metric=dataset.metric, dim=corpus.dim)
