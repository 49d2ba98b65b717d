"""Readers of judged text: BEIR, TREC and ir_datasets."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from made_up_files import DOCUMENTS, QRELS, QUERIES, write_beir, write_jsonl

from retrieval_bench.datasets import load_dataset, notes_of
from retrieval_bench.datasets._fingerprint import fingerprint
from retrieval_bench.datasets._trec_topics import read_topics
from retrieval_bench.datasets.trec import Run, read_run, write_run
from retrieval_bench.errors import CardError, DataError, UnavailableError, UnknownNameError
from retrieval_bench.runner import prepared
from retrieval_bench.types import Dataset

TOPICS = """<top>
<num> Number: q1
<title> dancing birds
<desc> Description:
Which birds
dance?
</top>

<top>
<num>q2</num>
<title>lifting</title>
<narr> Narrative: machines </narr>
</top>
"""
SGML = """<DOC>
<DOCNO> d1 </DOCNO>
<TITLE>Cranes</TITLE> <!-- a comment -->
<TEXT>
Birds that dance &amp; sing.
</TEXT>
</DOC>
<DOC>
<DOCNO>d2</DOCNO>
Machines, a < b.
</DOC>
"""


def judged(data: Dataset, split: str) -> dict[tuple[str, str], int]:
    """Judgments of a split by ids, read through offsets and rows."""
    qrels, queries = data.qrels[split], data.queries[split]
    return {
        (queries.ids[i], data.corpus.ids[qrels.rows[j]]): int(qrels.grades[j])
        for i in range(len(queries))
        for j in range(qrels.offsets[i], qrels.offsets[i + 1])
    }


def test_beir_folder(tmp_path: Path) -> None:
    data = load_dataset(str(write_beir(tmp_path / "birds")))
    assert data.name == "birds"
    assert data.metric == "cos"
    assert list(data.corpus.ids) == ["d1", "d2", "d3"]
    assert data.corpus.texts == ["Cranes Birds that dance.", "Machines that lift.", "Herons Birds that wait."]
    assert data.corpus.titles == ["Cranes", "", "Herons"]
    untitled = replace(data, corpus=replace(data.corpus, titles=None))
    assert fingerprint(untitled) == fingerprint(data)
    for given, titles in ((untitled, None), (data, data.corpus.titles), (untitled, data.corpus.titles)):
        again = prepared.opened(prepared.store(given))
        assert (again.corpus.texts, again.corpus.titles) == (data.corpus.texts, titles)
    with pytest.raises(DataError, match="3 ids but 1 titles"):
        replace(data.corpus, titles=["Cranes"])
    assert judged(data, "test") == {("q1", "d1"): 2, ("q1", "d3"): 0, ("q2", "d2"): 1}
    assert data.queries["test"].texts == ["dancing birds", "lifting"]


def test_train_serves_as_tune_only_without_a_development_set(tmp_path: Path) -> None:
    data = load_dataset(str(write_beir(tmp_path / "a")))
    assert data.queries["tune"].ids == ["q3"]
    assert data.queries["tune"].split == "tune"
    assert judged(data, "tune") == judged(data, "train") == {("q3", "d3"): 1}
    with_dev = load_dataset(str(write_beir(tmp_path / "b", qrels={**QRELS, "dev": [("q2", "d2", 1)]})))
    assert with_dev.queries["tune"].ids == ["q2"]
    assert with_dev.queries["train"].ids == ["q3"]


def test_a_development_set_is_judged_on_where_there_is_no_test_set(tmp_path: Path) -> None:
    qrels = {"dev": QRELS["test"], "train": QRELS["train"]}
    data = load_dataset(str(write_beir(tmp_path / "msmarco", qrels=qrels)))
    assert data.queries["test"].ids == ["q1", "q2"]
    assert data.queries["tune"].ids == ["q3"]


def test_beir_folder_gzipped_with_crlf_and_without_header(tmp_path: Path) -> None:
    plain = load_dataset(str(write_beir(tmp_path / "plain")))
    folder = write_beir(tmp_path / "packed")
    for file in [*folder.glob("*.jsonl"), *folder.glob("qrels/*.tsv")]:
        lines = file.read_bytes().splitlines()
        kept = lines[1:] if file.suffix == ".tsv" else lines
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(b"\r\n".join(kept)))
        file.unlink()
    packed = load_dataset(str(folder))
    assert packed.fingerprint == plain.fingerprint


def _line(name: str, number: int, text: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        path = folder / name
        lines = path.read_text(encoding="utf-8").splitlines()
        lines[number - 1 : number] = [text]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return put


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_line("corpus.jsonl", 2, '{"_id": "d2", '), r"corpus\.jsonl:2: not valid JSON"),
        (_line("corpus.jsonl", 2, "[1]"), r"corpus\.jsonl:2: holds a list"),
        (_line("corpus.jsonl", 3, '{"text": "no id"}'), r"corpus\.jsonl:3: needs the key '_id'"),
        (_line("corpus.jsonl", 3, '{"_id": "d3"}'), r"corpus\.jsonl:3: needs the key 'text'"),
        (
            _line("corpus.jsonl", 3, '{"_id": "d1", "text": ""}'),
            r"corpus\.jsonl:3: the document id 'd1' occurs a second",
        ),
        (lambda f: (f / "queries.jsonl").write_text(""), r"holds no query"),
        (
            lambda f: (f / "queries.jsonl").write_text('{"_id": "q1", "text": " "}\n{"_id": "q2", "text": ""}\n'),
            r"\(test queries\): none of them has a text",
        ),
        (_line("queries.jsonl", 1, '{"_id": "q1", "text": "\\ud800"}'), r"queries test texts: number 0 holds half"),
        (_line("qrels/test.tsv", 4, "q2\td2\thigh"), r"test\.tsv:4: the grade 'high' is not a whole number"),
        (_line("qrels/test.tsv", 3, "q1\td1\t1"), r"test\.tsv:3: judges the query 'q1' and the document 'd1' a second"),
        (_line("qrels/test.tsv", 3, "q1 d3 0"), r"test\.tsv:3: has 1 columns"),
        (lambda f: (f / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n"), r"test\.tsv: holds no judgments"),
        (lambda f: (f / "corpus.jsonl").write_text(""), r"holds no document"),
        (lambda f: (f / "corpus.jsonl").write_bytes(b'{"_id": "\xff"}\n'), r"corpus\.jsonl:1: is not UTF-8"),
        (_remove("queries.jsonl"), r"has no queries\.jsonl"),
    ],
)
def test_bad_beir_folders_are_refused_by_file_and_line(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = write_beir(tmp_path / "bad", qrels={"test": QRELS["test"]})
    damage(folder)
    with pytest.raises(DataError, match=message):
        load_dataset(str(folder))


def test_a_blank_query_is_left_out_and_said(tmp_path: Path) -> None:
    queries = [{"_id": "q1", "text": " "}, *QUERIES[1:]]
    data = load_dataset(str(write_beir(tmp_path / "blank", queries=queries)))
    assert data.queries["test"].ids == ["q2"]
    assert judged(data, "test") == {("q2", "d2"): 1}
    assert notes_of(data) == ("queries without a text are left out: 'q1'",)
    without = load_dataset(str(write_beir(tmp_path / "a", queries=QUERIES[1:], qrels={"test": [("q2", "d2", 1)]})))
    assert notes_of(without) == ()
    assert without.queries["test"].texts == data.queries["test"].texts


def test_of_two_queries_with_one_id_the_first_is_kept(tmp_path: Path) -> None:
    plain = load_dataset(str(write_beir(tmp_path / "plain")))
    queries = [*QUERIES, {"_id": "q1", "text": "something else"}, QUERIES[1]]
    data = load_dataset(str(write_beir(tmp_path / "twice", queries=queries)))
    assert data.fingerprint == plain.fingerprint
    (note,) = notes_of(data)
    assert note.startswith("of queries with one id the first is kept; left out: 'q1' with another text in ")
    assert "queries.jsonl:4, 'q2' with the same text in " in note


def test_topics_that_repeat_an_id_or_are_blank_are_left_out(tmp_path: Path) -> None:
    blocks = TOPICS + TOPICS.replace("dancing birds", "other words") + "<top><num>q3</num><title> </title></top>"
    for name, topics in (("blocks", blocks), ("lines", "q1\tdancing birds\nq2\tlifting\nq1\tother words\nq3\t\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "topics.txt").write_text(topics)
        (folder / "qrels.txt").write_text("q1 0 d1 2\nq2 0 d2 1\nq3 0 d2 1\n")
        (folder / "docs.txt").write_text(SGML)
        data = load_dataset(str(folder))
        assert data.queries["test"].texts == ["dancing birds", "lifting"]
        assert judged(data, "test") == {("q1", "d1"): 2, ("q2", "d2"): 1}
        (note,) = notes_of(data)
        assert "left out: 'q1' with another text in " in note
        assert note.endswith("; queries without a text are left out: 'q3'")


def test_cut_gzip_is_refused(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "cut")
    corpus = folder / "corpus.jsonl"
    packed = gzip.compress(corpus.read_bytes() * 1)
    corpus.unlink()
    (folder / "corpus.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"corpus\.jsonl\.gz: damaged or cut short"):
        load_dataset(str(folder))


def test_a_few_judgments_of_absent_documents_count_and_are_never_found(tmp_path: Path) -> None:
    documents = [{"_id": f"d{i}", "text": f"document {i}"} for i in range(200)]
    qrels = {"test": [("q1", f"d{i}", 1) for i in range(199)] + [("q1", "absent", 3)]}
    data = load_dataset(str(write_beir(tmp_path / "few", documents=documents, qrels=qrels)))
    assert data.qrels["test"].rows.tolist() == [*range(199), 200]
    assert data.qrels["test"].grades[-1] == 3
    assert data.meta["judgments"].startswith("1 of 200 test judgments")


def test_trec_folder(tmp_path: Path) -> None:
    (tmp_path / "topics.txt").write_text(TOPICS)
    (tmp_path / "qrels.txt").write_text("q1 0 d1 2\nq1 0 d2 0\nq2 0 d2 1\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "part.sgml.gz").write_bytes(gzip.compress(SGML.encode()))
    data = load_dataset(str(tmp_path))
    assert data.corpus.texts == ["Cranes Birds that dance & sing.", "Machines, a < b."]
    assert data.queries["test"].texts == ["dancing birds", "lifting"]
    assert judged(data, "test") == {("q1", "d1"): 2, ("q1", "d2"): 0, ("q2", "d2"): 1}


def test_trec_folder_with_splits_and_jsonl_documents(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "corpus.jsonl", DOCUMENTS)
    (tmp_path / "topics.tsv").write_text("".join(f"{q['_id']}\t{q['text']}\n" for q in QUERIES))
    for split, rows in QRELS.items():
        (tmp_path / f"qrels.{split}.txt").write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in rows))
    data = load_dataset(str(tmp_path))
    beir = load_dataset(str(write_beir(tmp_path / "beir")))
    assert data.fingerprint == beir.fingerprint
    assert data.corpus.titles == beir.corpus.titles


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("topics.txt", TOPICS.replace("<num> Number: q1\n", ""), r"topics\.txt:1: this topic has no <num>"),
        ("topics.txt", TOPICS.replace("<title> dancing birds\n", ""), r"topics\.txt:1: this topic has no <title>"),
        ("topics.txt", TOPICS.removesuffix("</top>\n"), r"topics\.txt:9: this <top> has no </top>"),
        ("topics.txt", "q1 no tab\n", r"topics\.txt:1: not a topic"),
        ("topics.txt", "\n", r"holds no topics"),
        ("qrels.txt", "q1 0 d1 2\nq1 d2\n", r"qrels\.txt:2: has 2 fields"),
        ("docs.txt", SGML.replace("<DOCNO>d2</DOCNO>\n", ""), r"docs\.txt:8: this document has no <DOCNO>"),
        ("docs.txt", SGML.removesuffix("</DOC>\n"), r"docs\.txt:8: this <DOC> has no </DOC>"),
        ("docs.txt", SGML.replace("d2", "d1"), r"docs\.txt:8: the document id 'd1' occurs a second time"),
    ],
)
def test_bad_trec_files_are_refused_by_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    files = {"topics.txt": TOPICS, "qrels.txt": "q1 0 d1 2\n", "docs.txt": SGML, name: text}
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(str(tmp_path))


def test_topic_fields(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text(TOPICS.replace("<narr> Narrative:", "<desc>"))
    assert list(read_topics(path).texts) == ["dancing birds", "lifting"]
    assert list(read_topics(path, field="desc").texts) == ["Which birds dance?", "machines"]


def test_runs_survive_a_round_trip(tmp_path: Path) -> None:
    run = Run(
        query_ids=["q1", "q1", "q2"],
        document_ids=["d2", "d1", "d3"],
        ranks=np.array([1, 2, 1]),
        scores=np.array([0.1 + 0.2, 1e-30, -7.0]),
        tag="bm25",
    )
    write_run(tmp_path / "a.run", run)
    again = read_run(tmp_path / "a.run")
    assert (again.query_ids, again.document_ids, again.tag) == (run.query_ids, run.document_ids, "bm25")
    assert again.scores.tolist() == run.scores.tolist()
    assert again.ranks.tolist() == run.ranks.tolist()
    assert (tmp_path / "a.run").read_text().splitlines()[0] == "q1 Q0 d2 1 0.30000000000000004 bm25"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 d1 1 0.5", r"a\.run:2: has 5 fields"),
        ("q1 Q0 d1 one 0.5 tag", r"a\.run:2: the rank 'one'"),
        ("q1 Q0 d1 1 nan tag", r"a\.run:2: the score is not a number"),
        ("q1 Q0 d0 2 0.5 tag", r"a\.run:2: the query 'q1' has the document 'd0' a second time"),
    ],
)
def test_bad_runs_are_refused_by_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.run").write_text(f"q1 Q0 d0 1 0.9 tag\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_run(tmp_path / "a.run")


def test_a_run_cannot_carry_blanks(tmp_path: Path) -> None:
    run = Run(query_ids=["q 1"], document_ids=["d"], ranks=np.array([1]), scores=np.array([1.0]), tag="t")
    with pytest.raises(DataError, match="'q 1' is empty or holds white space"):
        write_run(tmp_path / "a.run", run)
    assert not list(tmp_path.iterdir())


class _Document(NamedTuple):
    doc_id: str
    title: str
    body: str

    def default_text(self) -> str:
        return f"{self.title} {self.body}"


class _Query(NamedTuple):
    query_id: str
    text: str

    def default_text(self) -> str:
        return self.text


class _Judgment(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int


class _Collection:
    """What the reader asks of a collection of ir_datasets."""

    def __init__(self, qrels: list[_Judgment] | None, error: Exception | None = None) -> None:
        self._qrels, self._error = qrels, error
        self.metadata = None

    def has_qrels(self) -> bool:
        return self._qrels is not None

    def docs_iter(self) -> Iterator[_Document]:
        if self._error:
            raise self._error
        return (_Document(str(d["_id"]), str(d["title"]), str(d["text"])) for d in DOCUMENTS)

    def queries_iter(self) -> Iterator[_Query]:
        return (_Query(q["_id"], q["text"]) for q in QUERIES)

    def qrels_iter(self) -> Iterator[_Judgment]:
        return iter(self._qrels or [])


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The registry of ir_datasets with a made-up collection in three parts."""
    ir_datasets = pytest.importorskip("ir_datasets")
    known: dict[str, Any] = {"made-up": _Collection(None)}
    for split, rows in QRELS.items():
        known[f"made-up/{split}"] = _Collection([_Judgment(q, d, int(str(g))) for q, d, g in rows])
    monkeypatch.setattr(ir_datasets.registry, "_registered", known)
    return known


@pytest.mark.parametrize("name", ["made-up", "made-up/test", "ir_datasets:made-up"])
def test_ir_datasets_collection(tmp_path: Path, collections: dict[str, Any], name: str) -> None:
    data = load_dataset(name)
    beir = load_dataset(str(write_beir(tmp_path / "beir")))
    assert data.fingerprint == beir.fingerprint
    assert data.corpus.titles == beir.corpus.titles


def test_a_folder_does_not_hide_a_collection(
    tmp_path: Path, collections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made-up").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset("made-up/test").corpus) == 3
    assert set(collections) == {"made-up", "made-up/test", "made-up/train"}
    with pytest.raises(DataError, match="made-up/other: there is no such file or folder"):
        load_dataset("made-up/other")


def test_ir_datasets_without_a_network_says_what_to_copy(collections: dict[str, Any]) -> None:
    collections["made-up/test"] = _Collection([], error=RuntimeError("All download sources failed", []))
    with pytest.raises(UnavailableError, match=r"cannot get the data \(.*\); connect to a network, or copy") as caught:
        load_dataset("made-up")
    assert "\n" not in str(caught.value)


def test_ir_datasets_names_that_do_not_serve(collections: dict[str, Any]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'made-up'"):
        load_dataset("ir_datasets:made-upp")
    collections["bare"] = _Collection(None)
    with pytest.raises(DataError, match="bare: has no relevance judgments"):
        load_dataset("bare")


def test_a_card_that_names_an_absent_split(tmp_path: Path, home_folder: Path) -> None:
    write_beir(home_folder / "downloads" / "birds")
    cards = home_folder / "cards" / "datasets"
    cards.mkdir(parents=True)
    card = 'name = "birds"\nsummary = "x"\nreader = "beir"\nfile = "birds"\n'
    (cards / "birds.toml").write_text(card + '[splits]\ntest = "tset"\n')
    with pytest.raises(CardError, match="has no split 'tset'; did you mean 'test'"):
        load_dataset("birds")
    (cards / "birds.toml").write_text(card + '[splits]\ntest = "train"\ntune = "test"\n')
    data = load_dataset("birds")
    assert data.queries["test"].ids == ["q3"]
    (cards / "birds.toml").write_text(card + "[options]\ntitles = true\n")
    with pytest.raises(CardError, match="dataset card 'birds': unknown key 'titles'"):
        load_dataset("birds")
