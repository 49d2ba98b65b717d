"""Readers of systematic reviews: CSV files with topics, and the layout of CLEF TAR."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.datasets import clef_tar, load_dataset
from retrieval_bench.datasets.clef_tar import read_reviews
from retrieval_bench.datasets.screening import read_review
from retrieval_bench.errors import CardError, DataError, UsageError
from retrieval_bench.specs import DatasetCard
from retrieval_bench.study.reviews import load_reviews

HEADER = ["id", "title", "abstract", "included"]
ROWS = [
    ["1", "Migraine in adults", "Triptans, compared;\nwith placebo.", "1"],
    ["2", "Football", "", "0"],
    ["3", 'The "best" drug', "For headache.", "0"],
]


def write_csv(path: Path, rows: list[list[str]], header: list[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_topics(folder: Path, *names: str) -> None:
    lines = [json.dumps({"name": name, "topic": f"Review of {name}"}) for name in names]
    (folder / "topics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_topics(tmp_path, "pain", "sport")
    write_csv(tmp_path / "pain.csv", ROWS)
    return tmp_path


def test_a_review(folder: Path) -> None:
    review = read_review(folder / "pain.csv")
    assert (review.name, review.topic, len(review)) == ("pain", "Review of pain", 3)
    assert review.abstracts[0] == "Triptans, compared;\nwith placebo."
    assert review.included.tolist() == [True, False, False]
    assert review.texts("title")[2] == 'The "best" drug'
    assert review.texts("abstract")[1] == ""  # a missing abstract is no error
    assert review.texts("title+abstract")[1] == "Football"


def test_a_review_is_a_data_set_of_one_query(folder: Path) -> None:
    dataset = load_dataset(str(folder / "pain.csv"))
    assert list(dataset.queries["test"].texts or ()) == ["Review of pain"]
    assert dataset.qrels["test"].grades.tolist() == [1, 0, 0]
    assert len(dataset.corpus) == 3


def test_a_byte_order_mark_and_further_columns(folder: Path) -> None:
    path = folder / "sport.csv"
    write_csv(path, [[*row, "1"] for row in ROWS], [*HEADER, "included_abstract"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_review(path).included.sum() == 1
    assert read_review(path, decision="included_abstract").included.sum() == 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*ROWS, ["1", "Again", "", "0"]], r"pain.csv:6: the id '1' occurs a second time \(first in line 3\)"),
        ([*ROWS, ["", "No id", "", "0"]], "pain.csv:6: the record has no id"),
        ([*ROWS, ["4", "Maybe", "", "?"]], r"pain.csv:6: the decision '\?' in the column 'included' is not 1 or 0"),
        ([*ROWS, ["4", "Short", ""]], "pain.csv:6: has not as many fields"),
        ([*ROWS, ["4", "Long", "", "0", "0"]], "pain.csv:6: has not as many fields"),
        ([[*row[:3], "0"] for row in ROWS], "pain.csv: no record is included"),
        ([], "pain.csv: holds no record"),
    ],
)
def test_bad_rows_name_their_line(folder: Path, rows: list[list[str]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_review(write_csv(folder / "pain.csv", rows))


def test_other_bad_files(folder: Path) -> None:
    with pytest.raises(DataError, match="has no column 'abstract'"):
        read_review(write_csv(folder / "pain.csv", ROWS, ["id", "title", "text", "included"]))
    (folder / "pain.csv").write_text('id,title,abstract,included\n1,"open,x,0\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"pain.csv:2: not valid CSV"):
        read_review(folder / "pain.csv")
    (folder / "pain.csv").write_bytes(b"id,title,abstract,included\n1,caf\xe9,x,1\n")
    with pytest.raises(DataError, match=r"pain.csv:2: is not UTF-8"):
        read_review(folder / "pain.csv")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"name": "x"', r"topics.jsonl:2: not valid JSON"),
        ('{"name": "x"}', r"topics.jsonl:2: needs the keys 'name' and 'topic'"),
        ("[1]", r"topics.jsonl:2: needs the keys"),
        ('{"name": "pain", "topic": "again"}', r"topics.jsonl:2: the review 'pain' occurs a second time"),
    ],
)
def test_bad_topics_name_their_line(folder: Path, line: str, said: str) -> None:
    (folder / "topics.jsonl").write_text(f'{{"name": "pain", "topic": "T"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read_review(folder / "pain.csv")


def test_folders_and_names(folder: Path) -> None:
    write_csv(folder / "sport.csv", ROWS)
    assert [review.name for review in load_reviews([str(folder)])] == ["pain", "sport"]
    with pytest.raises(UsageError, match="asked for twice: pain"):
        load_reviews([str(folder), str(folder / "pain.csv")])
    with pytest.raises(UsageError, match="not a systematic review"):
        load_reviews(["pystdlib"])
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="neither CSV files"):
        load_reviews([str(empty)])


@pytest.fixture
def clef(tmp_path: Path) -> Path:
    folder = tmp_path / "tar"
    (folder / "topics").mkdir(parents=True)
    (folder / "qrels").mkdir()
    (folder / "topics" / "CD000001").write_text(
        "Topic: CD000001 \n\nTitle: Tests for malaria \n\nQuery: \n1. Exp Malaria/\n2. 1 and Title\n\n"
        "Pids: \n    11\n    12\n    13\n",
        encoding="utf-8",
    )
    (folder / "topics" / "CD000002").write_text(
        "Topic: CD000002\nTitle: Tests for fever\nin children\nQuery:\nfever\nPids:\n12\n13\n", encoding="utf-8"
    )
    (folder / "qrels" / "full.test.abs.qrels").write_text(
        "CD000001 0 11 1\nCD000001 0 12 0\nCD000001 0 13 1\nCD000002 0 12 1\n", encoding="utf-8"
    )
    (folder / "qrels" / "full.test.content.qrels").write_text("CD000001 0 11 1\n", encoding="utf-8")
    records = [{"_id": pid, "title": f"Record {pid}", "text": f"Abstract {pid}"} for pid in ("11", "12", "13")]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return folder


def test_clef_tar(clef: Path) -> None:
    first, second = load_reviews([str(clef)])
    assert (first.name, first.topic, list(first.ids)) == ("CD000001", "Tests for malaria", ["11", "12", "13"])
    assert first.included.tolist() == [True, False, True]
    assert second.topic == "Tests for fever in children"
    assert first.titles[0] == "Record 11"
    assert first.abstracts[0] == "Abstract 11"
    of_content = read_reviews(clef, level="content")
    assert list(of_content) == ["CD000001"]
    assert of_content["CD000001"].included.tolist() == [True, False, False]


def test_clef_tar_as_a_data_set_needs_a_topic(clef: Path) -> None:
    with pytest.raises(CardError, match="retrieval-bench screening FOLDER"):
        load_dataset(str(clef))
    (clef / "topics" / "CD000002").unlink()
    assert load_dataset(str(clef)).qrels["test"].grades.tolist() == [1, 0, 1]


def test_bad_clef_tar(clef: Path) -> None:
    topic = clef / "topics" / "CD000002"
    topic.write_text("Topic: CD000002\nTitle: T\nPids:\n12\n12\n", encoding="utf-8")
    with pytest.raises(DataError, match="CD000002: lists the record '12' twice"):
        read_reviews(clef)
    topic.write_text("Topic: CD000002\nPids:\n12\n", encoding="utf-8")
    with pytest.raises(DataError, match="CD000002: has no part 'Title:'"):
        read_reviews(clef)
    topic.write_text("Topic: CD000001\nTitle: T\nPids:\n12\n", encoding="utf-8")
    with pytest.raises(DataError, match="CD000002: the topic 'CD000001' stands in another file too"):
        read_reviews(clef)
    topic.write_text("Topic: CD000002\nTitle: T\nPids:\n99\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"CD000002: corpus.jsonl lacks 1 of its 1 records, such as '99'"):
        read_reviews(clef)
    topic.unlink()
    corpus = clef / "corpus.jsonl"
    corpus.write_text(corpus.read_text(encoding="utf-8") + '\n{"_id": "14"', encoding="utf-8")
    with pytest.raises(DataError, match=r"corpus.jsonl:4: not valid JSON"):
        read_reviews(clef)
    (clef / "qrels" / "full.test.abs.qrels").unlink()
    corpus.write_text('{"_id": "11", "title": "", "text": "x"}', encoding="utf-8")
    with pytest.raises(DataError, match="'qrel' and 'abs'"):
        read_reviews(clef)


def screening(*arguments: str) -> tuple[int, str]:
    """Exit code and what is said."""
    for package in ("sklearn", "bm25s"):
        pytest.importorskip(package)
    done = CliRunner().invoke(app, ["screening", *arguments, "--ranker", "bm25", "--text", "title", "--starts", "0"])
    return done.exit_code, done.output


def test_the_other_topics_go_on_after_a_bad_one(clef: Path) -> None:
    bad, other = clef / "topics" / "CD000002", clef / "topics" / "CD000003"
    bad.write_text("Topic: CD000002\nPids:\n12\n", encoding="utf-8")
    other.write_text("Topic: CD000001\nTitle: again\nPids:\n12\n", encoding="utf-8")
    code, said = screening(str(clef))
    assert code == 1
    assert f"{bad}: failed: has no part 'Title:'" in said
    assert f"{other}: failed: the topic 'CD000001' stands in another file too; keep one of them" in said
    assert "CD000001: bm25 (title): WSS@95" in said


def test_no_usable_topic_is_an_error(clef: Path) -> None:
    for topic in (clef / "topics").iterdir():
        topic.write_text("no topic", encoding="utf-8")
    code, said = screening(str(clef))
    assert code == 1
    assert said.count("has no part 'Topic:'") == 2
    assert f"{clef}: failed: none of its 2 topics can be read and is judged" in said


def test_a_topic_that_the_system_does_not_give_is_one_line(clef: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(clef_tar, "numbered_lines", refused)
    told: list[str] = []
    with pytest.raises(DataError, match="none of its 2 topics"):
        read_reviews(clef, on_error=lambda _, error: told.append(str(error)))
    first = clef / "topics" / "CD000001"
    assert told[0] == f"{first}: cannot be read (Permission denied); mend its permissions or get it again"


def test_a_topic_that_is_asked_for_does_not_need_the_others(clef: Path) -> None:
    (clef / "topics" / "CD000002").write_text("Topic: CD000002\nPids:\n12\n", encoding="utf-8")
    card = {"name": "t", "summary": "", "reader": "clef_tar"}
    good, bad = (
        DatasetCard.model_validate({**card, "options": {"topic": topic}}) for topic in ("CD000001", "CD000002")
    )
    assert clef_tar.read(good, clef).meta["topic"] == "Tests for malaria"
    with pytest.raises(DataError, match="CD000002: has no part 'Title:'"):
        clef_tar.read(bad, clef)
