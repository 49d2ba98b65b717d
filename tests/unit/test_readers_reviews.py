"""The reader of systematic reviews: CSV files with topics."""

import csv
import json
from pathlib import Path

import pytest

from retrieval_bench.datasets import load_dataset
from retrieval_bench.datasets.screening import read_review
from retrieval_bench.errors import DataError, UnknownNameError, UsageError
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


def test_reviews_of_one_name_from_two_folders(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    write_csv(other / "pain.csv", ROWS)
    first, second = load_reviews([str(folder), str(other)])
    assert first.name == f"pain ({folder / 'pain.csv'})"
    assert second.name == f"pain ({other / 'pain.csv'})"


def test_a_folder_of_reviews_is_for_another_command(folder: Path) -> None:
    with pytest.raises(DataError, match="for a whole folder use `retrieval-bench screening FOLDER`"):
        load_dataset(str(folder))


def test_a_name_that_goes_into_a_folder_is_a_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "data").mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match="data/nothere: there is no such file or folder"):
        load_reviews(["data/nothere"])
    with pytest.raises(UnknownNameError, match="unknown dataset 'other/nothere'"):
        load_dataset("other/nothere")
