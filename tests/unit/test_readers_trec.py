"""TREC folders as they come: documents without suffixes, topics of several forms, judgments in parts."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from retrieval_bench.datasets import load_dataset
from retrieval_bench.errors import DataError


def block(number: int, *, opening: str = "<DOC>") -> str:
    return f"{opening}\n<DOCNO> d{number} </DOCNO>\n<TEXT>text {number}</TEXT>\n</DOC>\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "topics.txt").write_text("1\tfirst words\n2\tother words\n")
    (tmp_path / "qrels.txt").write_text("1 0 d1 1\n2 0 d2 1\n")
    (tmp_path / "docs").write_text(block(1) + block(2))
    return tmp_path


def test_documents_are_known_by_how_their_files_begin(folder: Path) -> None:
    (folder / "FT" / "ft911").mkdir(parents=True)
    (folder / "FT" / "ft911" / "ft911_1").write_text("\n" + block(3))
    (folder / "FT" / "fr940104.0z").write_bytes(gzip.compress(block(4).encode()))  # no name tells that it is gzipped
    (folder / "FT" / "wrapped.xml").write_text('<?xml version="1.0"?>\n<add>\n' + block(5) + "</add>\n")
    (folder / "FT" / "readme.txt").write_text("Files hold blocks, which begin with\n<DOC>\n")
    (folder / "FT" / "docs.dtd").write_text("<DOCTYPE>\n")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "d").write_text(block(6))
    assert sorted(load_dataset(str(folder)).corpus.ids) == ["d1", "d2", "d3", "d4", "d5"]


def test_an_id_in_the_opening_tag(folder: Path) -> None:
    text = block(3, opening='<DOC type="story">') + '<DOC id="d4" type="story">\n<TEXT>news</TEXT>\n</DOC>\n'
    (folder / "gigaword").write_text(text)
    corpus = load_dataset(str(folder)).corpus
    assert list(corpus.ids) == ["d1", "d2", "d3", "d4"]
    assert (corpus.texts or ())[2:] == ["text 3", "news"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x9d\x90<DOC>", "fr94.0z: is packed by `compress`; unpack it"),
        (gzip.compress(block(3).encode())[:15], "fr94.0z: damaged or cut short"),
        (b"<add><DOC>\n<DOCNO>d3</DOCNO></DOC>", "fr94.0z: no line begins with <DOC>"),
    ],
)
def test_documents_that_would_be_lost_are_refused(folder: Path, content: bytes, said: str) -> None:
    (folder / "fr94.0z").write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_dataset(str(folder))
