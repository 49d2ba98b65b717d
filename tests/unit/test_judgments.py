"""Judgments: the forms in which files hold them, and which of them are refused, left out or said."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_files import DOCUMENTS, QRELS, write_beir

from retrieval_bench.datasets import load_dataset, notes_of
from retrieval_bench.datasets.trec import read_qrels
from retrieval_bench.errors import DataError

JSON_LINES = "".join(f'{{"query-id": "{q}", "corpus-id": "{d}", "score": {g}}}\n' for q, d, g in QRELS["test"])


def test_files_of_all_forms_read_alike(tmp_path: Path) -> None:
    rows = [f"{query}\t{document}\t{grade}\n" for query, document, grade in QRELS["test"]]
    forms = {
        "plain.tsv": "".join(rows),
        "trec.txt": "q1 0 d1 2\nq1 0 d3 0\nq2 0 d2 1\n",
        "trec_headed.txt": "\ntopic iter docno rel\nq1 0 d1 2\nq1 0 d3 0\nq2 0 d2 1\n",
        "headed.tsv": "query_id\tcorpus_id\tscore\n" + "".join(rows),
        "other_header.tsv": "\n\nquery\tdoc\tscore\n" + "".join(rows),
        "twice.tsv": "".join(rows) + rows[0],
        "real_numbers.tsv": "".join(row.replace("\n", ".0\n") for row in rows),
        "quoted.tsv": "".join(row.replace("q1", '"q1"') for row in rows),
        "lines.jsonl": JSON_LINES,
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        columns = [list(column) for column in read_qrels(tmp_path / name).columns]
        assert columns == [["q1", "q1", "q2"], ["d1", "d3", "d2"], [2, 0, 1]], name


def test_ids_are_unquoted_as_csv_writers_quote_them(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('q1\t"""Weird_Al""_Yankovic"\t1\nq1\t"Heroes"_(song)\t1\n')
    assert read_qrels(tmp_path / "a.tsv").document_ids == ['"Weird_Al"_Yankovic', '"Heroes"_(song)']


def test_a_beir_folder_may_hold_json_lines(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "lines", qrels={})
    (folder / "qrels" / "test.jsonl").write_text(JSON_LINES)
    plain = write_beir(tmp_path / "plain", qrels={"test": QRELS["test"]})
    assert load_dataset(str(folder)).fingerprint == load_dataset(str(plain)).fingerprint


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("test.tsv", f"q1\td1\t{9**30}\n", r"test\.tsv:1: the grade '\d+.* is too large; grades are 0, 1, 2"),
        ("test.tsv", "q1\td1\t0.5\n", r"test\.tsv:1: the grade '0.5' is not a whole number"),
        ("test.tsv", "q1\td1\tinf\n", r"test\.tsv:1: the grade 'inf' is not a whole number"),
        ("test.tsv", "q1\td1\t1\nq1\td1\t2\n", r"test\.tsv:2: judges .* a second time, with another grade"),
        ("test.tsv", "q1\td1\t0\nq2\td2\t-1\n", r"test\.tsv: no query has a relevant document"),
        ("test.tsv", "q1\tdX\t1\nq1\td2\t0\nq2\tdY\t1\n", r"test\.tsv:1: judges the document 'dX'.*2 of 3 lines"),
        ("test.tsv", "q1\td1\t1\nqX\td2\t0\nqY\td1\t1\n", r"test\.tsv:2: judges the query 'qX'.*2 of 3 lines"),
        ("test.jsonl", '{"query-id": "q1", "corpus-id": "d1"}\n', r"test\.jsonl:1: needs the keys 'query-id'"),
        ("test.txt", "q1 0 d1 1\n", r"qrels/test\.tsv is missing"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = write_beir(tmp_path / "bad", qrels={})
    (folder / "qrels" / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(str(folder))


def test_what_the_files_lack_is_said(tmp_path: Path) -> None:
    rows = [*QRELS["test"], ("q3", "dX", 1), ("qX", "d1", 1)]
    data = load_dataset(str(write_beir(tmp_path / "lack", qrels={"test": rows})))
    assert data.queries["test"].ids == ["q1", "q2", "q3"]
    assert data.qrels["test"].rows[-1] == len(DOCUMENTS)  # counts as judged, is never found
    assert notes_of(data) == (
        "1 of 5 test judgments are of documents that the corpus lacks, such as 'dX': they count and are never found; "
        "1 of 5 test judgments are of queries that are not there, such as 'qX': they are left out; "
        "1 of 3 test queries have no relevant document: they score 0",
    )


def test_to_learn_from_a_split_without_relevant_documents_is_said(tmp_path: Path) -> None:
    qrels = {"test": QRELS["test"], "dev": [("q3", "d1", 0)]}
    (note,) = notes_of(load_dataset(str(write_beir(tmp_path / "dev", qrels=qrels))))
    assert note == "1 of 1 tune queries have no relevant document: they score 0"
