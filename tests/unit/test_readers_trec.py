"""TREC folders as they come: documents without suffixes, topics of several forms, judgments in parts."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from retrieval_bench.datasets import load_dataset
from retrieval_bench.datasets._trec_topics import read_topics
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
        (gzip.compress(block(3).encode(), mtime=0)[:15], "fr94.0z: damaged or cut short"),
        (b"<add><DOC>\n<DOCNO>d3</DOCNO></DOC>", "fr94.0z: no line begins with <DOC>"),
    ],
)
def test_documents_that_would_be_lost_are_refused(folder: Path, content: bytes, said: str) -> None:
    (folder / "fr94.0z").write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_dataset(str(folder))


ELEMENTS = '<?xml version="1.0"?>\n<topics task="any">\n{}\n</topics>\n'
COVID = '<topic number="1">\n<query>AT&amp;T origin</query>\n<question>why?</question>\n</topic>'
WEB = '<topic number="1" type="faceted"><title>AT&amp;T\norigin</title><description>why?</description></topic>'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("covid.xml", ELEMENTS.format(COVID)),
        ("web.xml", ELEMENTS.format(WEB)),
        ("blocks.txt", "<top>\n<num> Number: 1\n<title> AT&amp;T origin\n<desc> Description:\nwhy?\n</top>\n"),
        ("micro.txt", "<top><num>1</num><query>AT&amp;T origin</query><time>noon</time><desc>why?</top>"),
        ("list.json", '[{"id": 1, "title": "AT&T origin", "description": "why?"}]'),
        ("by_id.json", '{"1": {"query": "AT&T origin", "desc": "why?"}}'),
        ("lines.jsonl", '{"_id": "1", "text": "AT&T origin", "question": "why?"}\n'),
    ],
)
def test_forms_of_topics(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    topics = read_topics(path)
    assert (list(topics.ids), list(topics.texts)) == (["1"], ["AT&T origin"])
    assert list(read_topics(path, field="desc").texts) == ["why?"]


def test_topics_without_elements_and_topics_by_id(tmp_path: Path) -> None:
    (tmp_path / "trials.xml").write_text(ELEMENTS.format('<topic number="7">a man\nof 40</topic>'))
    (tmp_path / "texts.json").write_text('{"7": "a man of 40"}')
    for name in ("trials.xml", "texts.json"):
        topics = read_topics(tmp_path / name)
        assert (list(topics.ids), list(topics.texts)) == (["7"], ["a man of 40"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html><body>1</body></html>", "holds no topics in a form that is read: <top> blocks, <topic number="),
        (ELEMENTS.format("<topic><query>x</query></topic>"), "topics.txt:3: this topic has no <num>"),
        (ELEMENTS.format('<topic number="1"><gene>x</gene></topic>'), "topics.txt:3: this topic has no <title>"),
        ('{"topics": [1]}', "topics.txt: topic 1: this topic has no <title>"),
        ("[1]", "topics.txt: topic 1: holds a int where a topic should stand; read are <top> blocks"),
        ('{"id": 1', "topics.txt: not JSON, whole or line by line"),
        ("1:first words", "topics.txt:1: not a topic; read are <top> blocks"),
    ],
)
def test_other_topics_are_refused_with_the_forms_that_are_read(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "topics.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        read_topics(tmp_path / "topics.txt")


def test_judgments_in_parts_are_one_query_set(folder: Path) -> None:
    (folder / "qrels.txt").unlink()
    (folder / "qrels.51-100.txt").write_text("1 0 d1 1\n")
    (folder / "qrels.101-150.txt").write_text("2 0 d2 1\n2 0 d1 0\n1 0 d1 1\n")  # the last as in the other file
    data = load_dataset(str(folder))
    assert list(data.queries) == ["test"]
    assert data.qrels["test"].grades.tolist() == [1, 1, 0]
    (folder / "qrels.51-100.txt").write_text("1 0 d1 1\n1 0 d2 0\n2 0 d1 1\n")  # read after the other file
    with pytest.raises(DataError, match=r"qrels\.51-100\.txt:3: "):
        load_dataset(str(folder))
    (folder / "qrels.dev.txt").write_text("1 0 d1 1\n")
    assert list(load_dataset(str(folder)).queries["test"].ids) == ["1"]  # a split is named: the others are none


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "topics"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("1\tfirst words\n"))
    writer.start()
    assert list(read_topics(pipe).texts) == ["first words"]
    writer.join()
