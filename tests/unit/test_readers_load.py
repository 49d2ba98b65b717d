"""From a name to a checked data set: names, limits, fingerprints, own documents, real collections."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from made_up_files import DOCUMENTS, QRELS, QUERIES, gaussian, write_beir, write_bin

from retrieval_bench.cli._app import run_folder
from retrieval_bench.datasets import exact_neighbors, load_dataset, place_name
from retrieval_bench.errors import DataError, UnavailableError, UnknownNameError, UsageError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard
from retrieval_bench.types import Corpus, Dataset, FloatArray, Queries, RowIds


@pytest.mark.parametrize(
    ("name", "documents", "queries"),
    [
        ("cacm", 3_204, {"test": 52}),
        ("npl", 11_426, {"test": 93}),
        ("scifact", 5_183, {"test": 300, "train": 809, "tune": 809}),
    ],
)
def test_real_collections(data_folder: Path, name: str, documents: int, queries: dict[str, int]) -> None:
    data = load_dataset(str(data_folder / name))
    assert len(data.corpus) == documents
    assert {split: len(part) for split, part in data.queries.items()} == queries
    assert all(part.own_rows is None for part in data.queries.values())  # equal ids alone make no own document
    assert all(len(qrels) == queries[split] for split, qrels in data.qrels.items())


def test_judgments_that_a_real_collection_lacks_documents_for(data_folder: Path) -> None:
    data = load_dataset(str(data_folder / "cacm"))
    assert len(data.qrels["test"].rows) == 796
    assert (data.qrels["test"].rows >= len(data.corpus)).sum() == 55
    assert data.meta["judgments"].startswith("55 of 796 test judgments")


def test_names_that_are_nothing(home_folder: Path, tmp_path: Path) -> None:
    cards = home_folder / "cards" / "datasets"
    cards.mkdir(parents=True)
    (cards / "birds.toml").write_text(
        'name = "birds"\nsummary = "x"\nreader = "beir"\nfile = "birds"\nget = "ask Ann"\n'
    )
    with pytest.raises(UnknownNameError, match="unknown dataset 'brids'; did you mean 'birds'"):
        load_dataset("brids")
    with pytest.raises(DataError, match="there is no such file or folder"):
        load_dataset(str(tmp_path / "absent"))
    with pytest.raises(DataError, match="there is no such file or folder"):
        load_dataset("absent.hdf5")
    with pytest.raises(
        UnavailableError, match=r"birds: is not on this machine; get it yourself \(ask Ann\) and put it"
    ):
        load_dataset("birds")


def test_a_card_finds_its_local_copy(home_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = home_folder / "cards" / "datasets"
    cards.mkdir(parents=True)
    (cards / "birds.toml").write_text(
        'name = "our-birds"\nsummary = "x"\nlicence = "CC0"\nreader = "beir"\nfile = "birds"\nmetric = "ip"\n'
    )
    write_beir(home_folder / "downloads" / "birds")
    data = load_dataset("our-birds")
    assert (data.name, data.metric, data.meta["licence"]) == ("our-birds", "ip", "CC0")
    write_beir(tmp_path / "birds", documents=[*DOCUMENTS, {"_id": "d4", "text": "more"}])
    monkeypatch.setenv("RETRIEVAL_BENCH_DATA", str(tmp_path))
    assert len(load_dataset("our-birds").corpus) == 4


@pytest.mark.parametrize("content", [None, "a.doc"])
def test_paths_that_cannot_be_read_list_what_can(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / content).write_text("x")
    with pytest.raises(DataError, match=r"accepted: a BEIR folder .*\.hdf5.*\.parquet"):
        load_dataset(str(tmp_path / content if content else tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_files_without_permission(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "closed")
    (folder / "corpus.jsonl").chmod(0)
    with pytest.raises(DataError, match=r"corpus\.jsonl: cannot be read \(Permission denied\)"):
        load_dataset(str(folder))
    folder.chmod(0)
    with pytest.raises(DataError, match=r"closed.*: cannot be read \(Permission denied\)"):
        load_dataset(str(folder))
    folder.chmod(0o755)


def test_operating_system_errors_name_the_file(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "loop")
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels" / "test.tsv").mkdir()
    with pytest.raises(DataError, match=r"test\.tsv: cannot be read \(Is a directory\)"):
        load_dataset(str(folder))


def test_limit_of_queries_cuts_judgments_and_neighbors_along(tmp_path: Path) -> None:
    data = load_dataset(str(write_beir(tmp_path / "a")), queries=1)
    assert data.queries["test"].ids == ["q1"]
    assert data.qrels["test"].offsets.tolist() == [0, 2]
    assert data.qrels["test"].rows.tolist() == [0, 2]
    assert data.qrels["test"].grades.tolist() == [2, 0]
    corpus, asked = gaussian(50, 4), gaussian(9, 4, seed=1)
    neighbors = exact_neighbors(corpus, asked, 3, "l2").rows
    np.savez(tmp_path / "v.npz", corpus=corpus, queries=asked, neighbors=neighbors)
    vectors = load_dataset(str(tmp_path / "v.npz"), queries=4)
    assert np.array_equal(vectors.neighbors["test"].rows, neighbors[:4])
    assert len(vectors.queries["test"]) == 4


def test_a_share_of_the_test_queries_to_tune_on(tmp_path: Path) -> None:
    ids = [f"q{i}" for i in range(7)]
    qrels = [(query, f"d{1 + i % 3}", 1 + i) for i, query in enumerate(ids)] + [("q3", "d3", 9)]
    asked = [{"_id": key, "text": f"question {key}"} for key in ids]
    folder = str(write_beir(tmp_path / "a", queries=asked, qrels={"test": qrels}))
    whole, shared = load_dataset(folder), load_dataset(folder, tune_share=0.3)
    assert {split: len(part) for split, part in shared.queries.items()} == {"tune": 2, "test": 5}
    assert sorted([*shared.queries["tune"].ids, *shared.queries["test"].ids]) == ids
    assert shared.fingerprint not in ("", whole.fingerprint)
    assert shared.fingerprint == load_dataset(folder, tune_share=0.3).fingerprint
    for split, part in shared.queries.items():
        assert part.split == split
        for i, key in enumerate(part.ids):
            alone = shared.qrels[split].take(slice(i, i + 1))
            before = whole.qrels["test"].take(np.array([ids.index(key)]))
            assert alone.rows.tolist() == before.rows.tolist()
            assert alone.grades.tolist() == before.grades.tolist()
    with pytest.raises(UsageError, match="above 0 and below 1"):
        load_dataset(folder, tune_share=1.0)


def test_a_share_of_queries_keeps_their_neighbors(tmp_path: Path) -> None:
    corpus, asked = gaussian(50, 4), gaussian(9, 4, seed=1)
    neighbors = exact_neighbors(corpus, asked, 3, "l2").rows
    np.savez(tmp_path / "v.npz", corpus=corpus, queries=asked, neighbors=neighbors)
    shared = load_dataset(str(tmp_path / "v.npz"), tune_share=0.99)
    assert {split: len(part) for split, part in shared.queries.items()} == {"tune": 8, "test": 1}
    for split, part in shared.queries.items():
        assert np.array_equal(
            shared.neighbors[split].rows, exact_neighbors(corpus, part.require_vectors(), 3, "l2").rows
        )


def test_queries_that_cannot_be_shared_out(tmp_path: Path) -> None:
    one = write_beir(tmp_path / "one", qrels={"test": [("q1", "d1", 1)]})
    with pytest.raises(UsageError, match="one test query"):
        load_dataset(str(one), tune_share=0.5)
    with pytest.raises(UsageError, match="has tuning queries of its own"):
        load_dataset("synthetic", tune_share=0.5)


def test_limit_of_rows_is_for_vectors_without_judgments(tmp_path: Path) -> None:
    corpus, asked = gaussian(50, 4), gaussian(9, 4, seed=1)
    neighbors = exact_neighbors(corpus, asked, 3, "l2").rows
    np.savez(tmp_path / "v.npz", corpus=corpus, queries=asked, neighbors=neighbors)
    data = load_dataset(str(tmp_path / "v.npz"), rows=20)
    assert np.array_equal(data.corpus.require_vectors(), corpus[:20])
    assert not data.neighbors
    assert load_dataset(str(tmp_path / "v.npz"), rows=50).neighbors
    with pytest.raises(UsageError, match="rows = 2 would leave judged documents out"):
        load_dataset(str(write_beir(tmp_path / "a")), rows=2)
    with pytest.raises(UsageError, match="rows = 0: at least 1"):
        load_dataset(str(tmp_path / "v.npz"), rows=0)
    with pytest.raises(UsageError, match="queries = 0: at least 1"):
        load_dataset(str(tmp_path / "v.npz"), queries=0)


def test_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    first = load_dataset(str(write_beir(tmp_path / "a"))).fingerprint
    assert load_dataset(str(write_beir(tmp_path / "b"))).fingerprint == first
    assert len(first) == 32
    changed = [
        {"documents": [{**DOCUMENTS[0], "text": "Birds that dancE."}, *DOCUMENTS[1:]]},
        {"documents": [{**DOCUMENTS[0], "_id": "d01"}, *DOCUMENTS[1:]], "qrels": {"test": [("q1", "d01", 2)]}},
        {"queries": [{**QUERIES[0], "text": "x"}, *QUERIES[1:]]},
        {"qrels": {**QRELS, "train": [("q3", "d3", 2)]}},
        {"qrels": {"test": QRELS["test"]}},
    ]
    prints = [load_dataset(str(write_beir(tmp_path / str(i), **c))).fingerprint for i, c in enumerate(changed)]  # type: ignore[arg-type]
    assert len({first, *prints}) == len(changed) + 1


def test_fingerprint_of_vectors(tmp_path: Path) -> None:
    corpus, asked = gaussian(50, 4), gaussian(9, 4, seed=1)
    prints = set()
    for i, change in enumerate((0.0, 1e-3)):
        corpus[49, 3] += change
        write_bin(tmp_path / f"base{i}.fbin", corpus)
        np.savez(tmp_path / f"{i}.npz", corpus=corpus, queries=asked)
        prints.add(load_dataset(str(tmp_path / f"{i}.npz")).fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("asked", "message"),
    [(gaussian(3, 5), "vectors have 5 dimensions, 4 are needed"), (None, "must both have vectors, or neither")],
)
def test_readers_of_others_are_checked_too(
    home_folder: Path, monkeypatch: pytest.MonkeyPatch, asked: FloatArray | None, message: str
) -> None:
    def read(card: DatasetCard, path: Path | None) -> Dataset:
        corpus = Corpus(ids=RowIds(9), vectors=gaussian(9, 4))
        queries = {"test": Queries(ids=RowIds(3), vectors=asked)}
        return Dataset(name=card.name, fingerprint="", corpus=corpus, queries=queries, metric="l2")

    monkeypatch.setitem(readers._found, "theirs", read)
    cards = home_folder / "cards" / "datasets"
    cards.mkdir(parents=True)
    (cards / "theirs.toml").write_text('name = "theirs"\nsummary = "x"\nreader = "theirs"\n')
    with pytest.raises(DataError, match=message):
        load_dataset("theirs")


@pytest.mark.parametrize("split", ["train", "dev"])
def test_nothing_is_learned_from_the_queries_that_are_chosen_on(tmp_path: Path, split: str) -> None:
    ids = [f"q{i}" for i in range(10)]
    asked = [{"_id": key, "text": f"question {key}"} for key in ids]
    qrels = {split: [(key, "d1", 1) for key in ids[:9]], "test": [("q9", "d2", 1)]}
    folder = str(write_beir(tmp_path / "a", queries=asked, qrels=qrels))
    data = load_dataset(folder, apart=True)
    assert {name: len(part) for name, part in data.queries.items()} == {"train": 6, "tune": 3, "test": 1}
    assert sorted([*data.queries["train"].ids, *data.queries["tune"].ids]) == ids[:9]
    assert len(data.qrels["train"]) == 6
    assert data.fingerprint != load_dataset(folder).fingerprint


def test_learning_queries_of_their_own_stay(tmp_path: Path) -> None:
    qrels = {"train": [("q1", "d1", 1)], "dev": [("q2", "d2", 1)], "test": [("q3", "d3", 1)]}
    folder = str(write_beir(tmp_path / "three", qrels=qrels))
    assert load_dataset(folder, apart=True).fingerprint == load_dataset(folder).fingerprint
    alone = write_beir(tmp_path / "alone", qrels={"train": [("q1", "d1", 1)], "test": [("q3", "d3", 1)]})
    single = load_dataset(str(alone), apart=True)
    assert set(single.queries) == set(single.qrels) == {"tune", "test"}
    both = load_dataset(folder.replace("three", "alone"), apart=False)
    assert both.queries["train"].ids == both.queries["tune"].ids == ["q1"]


def test_files_that_are_called_alike_have_places_of_their_own(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "vectors.npy", np.eye(30, dtype=np.float32))
    here, there = (place_name(str(tmp_path / folder / "vectors.npy")) for folder in ("here", "there"))
    assert here != there
    assert here.startswith("vectors-")
    assert here == place_name(str(tmp_path / "there" / ".." / "here" / "vectors.npy"))
    assert place_name("beir/scifact") == "beir-scifact"


def test_the_results_of_a_path_are_found_by_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "vectors.npy"
    np.save(file, np.eye(30, dtype=np.float32))
    place = tmp_path / "home" / "results" / place_name(str(file))
    assert run_folder(str(file), None) == place
    place.mkdir(parents=True)
    (place / "run.json").write_text("{}")
    assert run_folder(place.name, None) == place


def test_the_metric_of_files_of_vectors_can_be_chosen(tmp_path: Path) -> None:
    vectors = gaussian(60, 4)
    np.save(tmp_path / "vectors.npy", vectors)
    name = str(tmp_path / "vectors.npy")
    assert load_dataset(name).metric == "l2"
    for metric in ("ip", "cos"):
        assert load_dataset(name, metric=metric).metric == metric
    assert load_dataset(name, metric="Inner-Product").metric == "ip"
    assert len({load_dataset(name, metric=metric).fingerprint for metric in ("ip", "l2", "cos")}) == 3
    with pytest.raises(UsageError, match=r"is not known; there are: ip \(inner product or dot\), l2 \(euclidean"):
        load_dataset(name, metric="hamming")


def test_texts_have_no_metric_to_choose(tmp_path: Path) -> None:
    write_beir(tmp_path / "set")
    with pytest.raises(UsageError, match="texts compare as their encoder says"):
        load_dataset(str(tmp_path / "set"), metric="ip")
