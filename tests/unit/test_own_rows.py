"""Which queries are taken for documents, and that it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_up_files import write_beir

from retrieval_bench.datasets import exact_neighbors, load_dataset, notes_of
from retrieval_bench.runner.score import measured, score
from retrieval_bench.types import Corpus, Dataset, Hits, Queries, RowIds


def test_own_documents_are_told_by_id_and_text(tmp_path: Path) -> None:
    documents = [
        {"_id": "1", "title": "On owls", "text": "Owls  fly\nat night."},
        {"_id": "2", "text": "Something else."},
        {"_id": "3", "text": "A third."},
    ]
    asked_for = (("part", "Owls fly", None), ("text", "Owls fly at night.", 0), ("title", "On  owls", 0))
    for name, text, row in (*asked_for, ("both", "On owls Owls fly at night.", 0)):
        queries = [{"_id": "1", "text": text}, {"_id": "2", "text": "Something"}]
        qrels = {"test": [("1", "3", 1), ("2", "3", 1)]}
        data = load_dataset(str(write_beir(tmp_path / name, documents=documents, queries=queries, qrels=qrels)))
        own = data.queries["test"].own_rows
        assert (None if own is None else own.tolist()) == (None if row is None else [row, -1])
        said = () if row is None else ("the own documents of 1 of 2 test queries are left out of their results",)
        assert notes_of(data) == said
    qrels["test"].append(("1", "1", 1))  # an answer is no own document, though it be the query's very text
    folder = write_beir(tmp_path / "answer", documents=documents, queries=queries, qrels=qrels)
    assert load_dataset(str(folder)).queries["test"].own_rows is None


def test_own_documents_that_a_card_declares(home_folder: Path) -> None:
    cards = home_folder / "cards" / "datasets"
    cards.mkdir(parents=True)
    (cards / "quora.toml").write_text(
        'name = "quora"\nsummary = "x"\nreader = "beir"\nfile = "quora"\nqueries_are_documents = true\n'
    )
    queries = [{"_id": "d2", "text": "rewritten"}, {"_id": "q2", "text": "x"}]
    write_beir(home_folder / "downloads" / "quora", queries=queries, qrels={"test": [("d2", "d1", 1), ("q2", "d1", 1)]})
    own = load_dataset("quora").queries["test"].own_rows
    assert own is not None
    assert own.tolist() == [1, -1]


def test_neighbor_recall_counts_no_query_as_its_own_neighbor() -> None:
    vectors = np.arange(5, dtype=np.float32)[:, None]
    queries = Queries(ids=["2", "x"], vectors=np.array([[2], [4.2]], np.float32), own_rows=np.array([2, -1]))
    exact = exact_neighbors(vectors, queries.require_vectors(), 4, "l2")
    data = Dataset(
        name="line", fingerprint="", corpus=Corpus(ids=RowIds(5), vectors=vectors), queries={"test": queries},
        metric="l2", neighbors={"test": exact},
    )  # fmt: skip
    hits = Hits(rows=np.array([[2, 4, 1, 0], [4, 3, 2, 0]]), scores=np.zeros((2, 4), np.float32))
    found = score(data, "test", hits, kind="index", depth=3)
    assert list(found) == ["neighbor_recall@1", "neighbor_recall@3"] == measured(data, "test", kind="index", depth=3)
    assert found["neighbor_recall@1"].tolist() == [0, 1]  # 1 and 3 are nearest to 2, and 4 is not
    assert found["neighbor_recall@3"][1] == 1
