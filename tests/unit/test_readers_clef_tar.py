"""The reader of CLEF TAR: the layouts of its years, and topics that cannot be used."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.datasets import clef_tar, load_dataset
from retrieval_bench.datasets.clef_tar import read_reviews
from retrieval_bench.errors import CardError, DataError
from retrieval_bench.specs import DatasetCard
from retrieval_bench.study.reviews import load_reviews


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
    with pytest.raises(DataError, match=r"CD000002: corpus.jsonl has a text of none of its 1 records"):
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


@pytest.mark.parametrize("place", ["topics_train", "DTA/topics", "2019/Task2/Intervention/topics"])
def test_the_layouts_of_the_years(clef: Path, place: str) -> None:
    (clef / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(clef / "topics", clef / place)
    if "/" in place:
        shutil.move(clef / "qrels", (clef / place).parent / "qrels")
    assert [review.name for review in load_reviews([str(clef)])] == ["CD000001", "CD000002"]
    with pytest.raises(CardError, match="names no topic"):  # found by `run` too, which takes one topic at a time
        load_dataset(str(clef))


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["corpus.jsonl"], r"tar: a CLEF TAR folder, but it lacks corpus.jsonl with the PubMed records, \{"),
        (
            ["qrels", "corpus.jsonl"],
            "files of judgments with 'qrel' and 'abs' in their names and corpus.jsonl",
        ),
        (["qrels"], "it lacks files of judgments"),
    ],
)
def test_a_refusal_says_which_part_is_lacking(clef: Path, gone: list[str], said: str) -> None:
    for name in gone:
        shutil.rmtree(clef / name) if name == "qrels" else (clef / name).unlink()
    with pytest.raises(DataError, match=said):
        load_reviews([str(clef)])
    if len(gone) == 1:  # with topics alone it may be anything
        with pytest.raises(DataError, match=said):
            load_dataset(str(clef))


def test_a_record_that_pubmed_lacks_is_left_out_and_said(clef: Path) -> None:
    corpus = clef / "corpus.jsonl"
    kept = [line for line in corpus.read_text(encoding="utf-8").splitlines() if '"13"' not in line]
    corpus.write_text("\n".join([*kept, '{"_id": "14", "title": "", "text": ""}']), encoding="utf-8")
    topic = clef / "topics" / "CD000001"
    topic.write_text(topic.read_text(encoding="utf-8") + "    14\n", encoding="utf-8")
    review = load_reviews([str(clef)])[0]
    assert list(review.ids) == ["11", "12"]
    assert list(review.notes) == [
        "records left out: 2 without a text in corpus.jsonl, such as '13'; 1 of them included"
    ]


def test_topics_without_records_or_relevant_ones_do_not_cost_the_others(clef: Path) -> None:
    for name, pid in (("CD000002", "99"), ("CD000003", "12")):
        (clef / "topics" / name).write_text(f"Topic: {name}\nTitle: T\nPids:\n{pid}\n", encoding="utf-8")
    with (clef / "qrels" / "full.test.abs.qrels").open("a", encoding="utf-8") as file:
        file.write("CD000003 0 12 0\n")
    told: list[str] = []
    reviews = read_reviews(clef, on_error=lambda _, error: told.append(str(error)))
    assert list(reviews) == ["CD000001"]
    assert ["none of its 1 records" in told[0], "no record is included" in told[1]] == [True, True]


def test_what_two_years_repeat_is_read_once(clef: Path) -> None:
    for part in ("topics", "qrels"):
        shutil.copytree(clef / part, clef / "again" / part)
    assert [review.name for review in load_reviews([str(clef)])] == ["CD000001", "CD000002"]
    (clef / "again" / "qrels" / "full.test.abs.qrels").write_text("CD000001 0 12 1\n", encoding="utf-8")
    with pytest.raises(DataError, match="judges the record '12' of the topic 'CD000001' otherwise a second time"):
        load_reviews([str(clef)])
