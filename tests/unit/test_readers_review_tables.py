"""Tables of reviews as tools and archives write them, and reviews whose topic nobody wrote down."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.datasets import load_dataset, notes_of
from retrieval_bench.datasets.screening import read_review
from retrieval_bench.errors import DataError

ROWS = [
    ["W1", "10.1/1", "Migraine in adults", "Triptans, compared; with placebo.", "1"],
    ["W2", "10.1/2", "Football", "", "0"],
    ["W3", "10.1/3", "Migraine; in children", "Triptans", "1"],
    ["W4", "10.1/4", "Bridges", "Steel", "0"],
    ["W5", "10.1/5", "Rivers", "Water", "0"],
]
SYNERGY = ("openalex_id", "doi", "title", "abstract", "label_included")


def write(
    path: Path, header: Sequence[str] = SYNERGY, rows: Sequence[Sequence[str]] = ROWS, separator: str = ","
) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([header, *rows])
    return path


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        (SYNERGY, ["W1", "W2"]),
        (("record_id", "doi", "Title", "ABSTRACT", "included_label"), ["W1", "W2"]),
        (("key", "doi", "primary_title", "abstract", "label"), ["1", "2"]),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_of_review_tools(tmp_path: Path, header: Sequence[str], ids: list[str], separator: str) -> None:
    review = read_review(write(tmp_path / "pain.csv", header, separator=separator))
    assert list(review.ids)[:2] == ids
    assert review.abstracts[0] == "Triptans, compared; with placebo."
    assert review.included.tolist() == [True, False, True, False, False]


def test_a_lacking_column_is_named_with_its_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "pain.csv", (*SYNERGY[:4], "decision"))
    with pytest.raises(DataError, match=r"no column 'included' \(or label_included, label, included_label"):
        read_review(path)


def test_records_without_text_or_decision_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "topics.jsonl").write_text('{"name": "pain", "topic": "Pain"}\n', encoding="utf-8")
    more = [
        ["W6", "", "", " ", "0"],
        ["W7", "", "Open", "", "-1"],
        ["W8", "", "Open", "", ""],
        ["W9", "", "No", "", "0"],
    ]
    path = write(tmp_path / "pain.csv", rows=[*ROWS, *more])
    review = read_review(path)
    assert list(review.ids) == ["W1", "W2", "W3", "W4", "W5", "W9"]
    assert list(review.notes) == ["records left out: 2 without a decision, 1 with neither title nor abstract"]
    assert notes_of(load_dataset(str(path))) == tuple(review.notes)


def test_a_review_without_a_topic_is_learned_and_not_ranked(tmp_path: Path) -> None:
    for package in ("sklearn", "bm25s"):
        pytest.importorskip(package)
    path = write(tmp_path / "pain.csv")
    lacking = f'{path}: has no topic to rank its records for; add {{"name": "pain", "topic": "..."}} to '
    with pytest.raises(DataError) as refused:
        load_dataset(str(path))
    assert str(refused.value).startswith(lacking)
    done = CliRunner().invoke(app, ["screening", str(path), "--starts", "1"])
    assert done.exit_code == 0, done.output
    assert lacking in done.output
    assert "bm25" not in done.output
    assert "active learning" in done.output
    done = CliRunner().invoke(app, ["screening", str(path), "--starts", "0"])
    assert done.exit_code == 1  # nothing was left to do


def test_one_way_that_failed_is_a_failure(tmp_path: Path) -> None:
    for package in ("sklearn", "bm25s"):
        pytest.importorskip(package)
    (tmp_path / "topics.jsonl").write_text('{"name": "pain", "topic": "Migraine"}\n', encoding="utf-8")
    path = write(tmp_path / "pain.csv", rows=[*ROWS[:2], *ROWS[3:]])  # one relevant record: none is left to be found
    done = CliRunner().invoke(app, ["screening", str(path), "--ranker", "bm25", "--text", "title", "--starts", "1"])
    assert "pain: bm25 (title): WSS@95" in done.output
    assert done.exit_code == 1
