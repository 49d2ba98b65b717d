"""The dataset cards that are shipped: well-formed, complete, and true where the data is at hand."""

import importlib
import os
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from retrieval_bench.datasets import load_dataset
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, dataset_cards, validated

FOLDER = Path(__file__).parents[2] / "datasets"
EXPECTED = [
    "pystdlib",
    "glove-50",
    "synthetic",
    "synthetic-ood",
    "cosqa",
    "cranfield",
    "vaswani",
    "npl",
    "cacm",
    "msmarco-passage",
    "beir/scifact",
    "beir/nfcorpus",
    "beir/arguana",
    "beir/fiqa",
    "beir/trec-covid",
    "beir/quora",
    "beir/scidocs",
    "beir/nq",
    "beir/msmarco",
    "beir/hotpotqa",
    "beir/fever",
    "beir/climate-fever",
    "beir/dbpedia-entity",
    "beir/webis-touche2020",
    "beir/cqadupstack/android",
    "beir/cqadupstack/wordpress",
    "sift-128",
    "glove-100",
    "gist-960",
    "nytimes-256",
    "deep-96",
    "vibe/agnews-mxbai-1024-euclidean",
    "vibe/laion-clip-512-normalized",
    "vibe/yandex-200-cosine",
]


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DatasetCard]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path_factory.mktemp("home")))  # no cards of the user
        return dataset_cards()


def test_the_files_are_named_after_their_cards(cards: dict[str, DatasetCard]) -> None:
    assert {f"{name.replace('/', '-')}.toml" for name in cards} == {file.name for file in FOLDER.glob("*.toml")}


def test_the_collections_one_expects_are_there(cards: dict[str, DatasetCard]) -> None:
    assert set(EXPECTED) <= set(cards)


def test_readers_exist(cards: dict[str, DatasetCard]) -> None:
    assert {card.reader for card in cards.values()} <= set(readers.names())


def test_options_are_those_of_the_reader(cards: dict[str, DatasetCard]) -> None:
    for name, card in cards.items():
        try:
            module = importlib.import_module(f"retrieval_bench.datasets.{card.reader}")
        except ModuleNotFoundError as error:
            pytest.skip(f"{error.name} is not installed")
        options: type[BaseModel] = module.Options
        validated(options, card.options, where=name)


def test_every_card_tells_what_it_is_and_how_to_get_it(cards: dict[str, DatasetCard]) -> None:
    for name, card in cards.items():
        for line in (card.summary, card.licence, card.get):
            assert line, name
            assert "\n" not in line, name
        assert len(card.summary) <= 150, name
        if card.reader != "synthetic":
            assert card.homepage.startswith(("http://", "https://")), name
        assert (card.file is None) == (card.reader in ("pystdlib", "glove", "synthetic", "ir_datasets", "sentences")), (
            name
        )


def test_addresses_and_checksums(cards: dict[str, DatasetCard]) -> None:
    for name, card in cards.items():
        if card.url is not None:
            assert card.file is not None, name
            assert card.url.startswith("https://"), name
            assert card.url.rpartition("/")[2].removesuffix(".zip") == card.file.partition("/")[0], name
        assert card.md5 is None or re.fullmatch("[0-9a-f]{32}", card.md5), name
        assert (card.md5 is not None) == name.startswith("beir/"), name
    sums = {card.url: card.md5 for card in cards.values() if card.md5}
    assert len(set(sums.values())) == len(sums)
    assert all(card.md5 == sums[card.url] for card in cards.values() if card.md5)


def test_only_arguana_asks_with_documents(cards: dict[str, DatasetCard]) -> None:
    assert [name for name, card in cards.items() if card.queries_are_documents] == ["beir/arguana"]


@pytest.mark.parametrize(
    ("name", "documents", "queries"),
    [
        ("beir/scifact", 5183, {"test": 300, "train": 809, "tune": 809}),
        ("cosqa", 6267, {"test": 500, "tune": 500}),
        ("npl", 11426, {"test": 93}),
        ("cacm", 3204, {"test": 52}),
    ],
)
def test_cards_of_data_at_hand(
    name: str, documents: int, queries: dict[str, int], cards: dict[str, DatasetCard]
) -> None:
    folder = os.environ.get("RETRIEVAL_BENCH_DATA")
    if folder is None or not (Path(folder) / str(cards[name].file)).is_dir():
        pytest.skip(f"{cards[name].file} is not in $RETRIEVAL_BENCH_DATA")
    dataset = load_dataset(name)
    assert len(dataset.corpus) == documents
    assert {split: len(part) for split, part in dataset.queries.items()} == queries
    assert set(dataset.qrels) == set(queries)


@pytest.mark.parametrize("name", ["synthetic", "synthetic-ood"])
def test_cards_of_data_that_is_made(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path))
    dataset = load_dataset(name)
    assert dataset.metric == {"synthetic": "l2", "synthetic-ood": "ip"}[name]
    assert dataset.fingerprint == load_dataset(name).fingerprint
    assert len(dataset.corpus) == 20_000
