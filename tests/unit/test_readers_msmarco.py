"""The reader of MS MARCO's own files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "collection.tsv").write_text("0\tBirds dance.\n1\tMachines lift.\n2\tBirds wait.\n")
    (tmp_path / "queries.dev.small.tsv").write_text("7\tdancing\n8\tlifting\n")
    (tmp_path / "qrels.dev.small.tsv").write_text("7\t0\t0\t1\n8\t0\t1\t1\n")
    return tmp_path


def test_the_development_set_is_judged_on(folder: Path) -> None:
    data = load_dataset(str(folder))
    assert list(data.queries) == ["test"]
    assert data.queries["test"].texts == ["dancing", "lifting"]
    assert data.corpus.texts == ["Birds dance.", "Machines lift.", "Birds wait."]
    assert data.qrels["test"].rows.tolist() == [0, 1]


def test_training_queries_and_the_small_part_of_a_set(folder: Path) -> None:
    (folder / "queries.train.tsv").write_text("9\twaiting\n")
    (folder / "qrels.train.tsv").write_text("9\t0\t2\t1\n")
    (folder / "queries.dev.tsv").write_text("7\tdancing\n8\tlifting\n6\tmore\n")
    (folder / "qrels.dev.tsv").write_text("7\t0\t0\t1\n8\t0\t1\t1\n6\t0\t1\t1\n")
    data = load_dataset(str(folder))
    assert data.queries["train"].texts == ["waiting"]
    assert list(data.queries["test"].ids) == ["7", "8"]
    (folder / "qrels.test.tsv.gz").write_bytes(gzip.compress(b"9\t0\t2\t1\n"))
    data = load_dataset(str(folder))
    assert (list(data.queries["test"].ids), list(data.queries["tune"].ids)) == (["9"], ["7", "8"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("collection.tsv", "0\tBirds\n1 Machines\n", r"collection\.tsv:2: not a passage"),
        ("collection.tsv", "0\tBirds\n0\tMachines\n", r"collection\.tsv:2: the document id '0' occurs a second time"),
        ("queries.dev.small.tsv", None, r"has no queries\.\*\.tsv"),
        ("qrels.dev.small.tsv", None, r"has no qrels\.\*\.tsv"),
    ],
)
def test_bad_files(folder: Path, name: str, text: str | None, said: str) -> None:
    (folder / name).unlink()
    if text:
        (folder / name).write_text(text)
    with pytest.raises(DataError, match=said):
        load_dataset(str(folder))
