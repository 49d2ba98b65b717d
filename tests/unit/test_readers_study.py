"""Readers of CodeSearchNet and LitSearch."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval_bench.datasets import load_dataset, notes_of
from retrieval_bench.datasets.codesearchnet import read as read_codesearchnet
from retrieval_bench.errors import DataError
from retrieval_bench.specs import DatasetCard


def function(partition: str, docstring: str, code: str) -> dict[str, Any]:
    return {
        "partition": partition, "language": "ruby", "code": f"def {code} # {docstring}",
        "code_tokens": ["def", *code.split(), "end"], "docstring_tokens": docstring.split(),
    }  # fmt: skip


@pytest.fixture
def ruby(tmp_path: Path) -> Path:
    folder = tmp_path / "ruby"
    parts = {
        "train": [function("train", "Trains a model", "train")],
        "valid": [function("valid", "Reads a file", "read")],
        "test": [function("test", "Writes a file", "write"), function("test", "", "silent")],
    }
    for part, rows in parts.items():
        path = folder / "final" / "jsonl" / part / f"ruby_{part}_0.jsonl.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return folder


def test_codesearchnet(ruby: Path) -> None:
    dataset = load_dataset(str(ruby))
    assert list(dataset.corpus.texts or ()) == ["def write end", "def silent end", "def read end"]
    assert {split: list(part.texts or ()) for split, part in dataset.queries.items()} == {
        "tune": ["Reads a file"],
        "test": ["Writes a file"],
    }
    assert dataset.qrels["test"].rows.tolist() == [0]
    assert dataset.corpus.ids[0] == "final/jsonl/test/ruby_test_0:1"


def test_codesearchnet_with_its_training_part(ruby: Path) -> None:
    options = {"partitions": ["train", "valid", "test"]}
    card = DatasetCard.model_validate({"name": "r", "summary": "", "reader": "codesearchnet", "options": options})
    assert list(read_codesearchnet(card, ruby).queries["train"].texts or ()) == ["Trains a model"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"partition": "test"', r"extra.jsonl:1: not valid JSON"),
        ('{"partition": "dev"}', r"extra.jsonl:1: the key 'partition' must be one of train, valid, test"),
        ('{"partition": "test", "code_tokens": "x"}', r"extra.jsonl:1: needs the key 'code_tokens' with a list"),
        ('{"partition": "test", "code_tokens": []}', r"extra.jsonl:1: the function has no code tokens"),
        ('{"partition": "test", "code_tokens": ["x"]}', r"extra.jsonl:1: needs the key 'docstring_tokens'"),
    ],
)
def test_bad_functions_name_file_and_line(ruby: Path, line: str, said: str) -> None:
    (ruby / "final" / "jsonl" / "extra.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        load_dataset(str(ruby))


def test_codesearchnet_partitions_by_folder(ruby: Path, tmp_path: Path) -> None:
    for file in (ruby / "final" / "jsonl").rglob("*.gz"):
        rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        plain = tmp_path / "plain" / file.parent.name / file.name
        plain.parent.mkdir(parents=True)
        lines = [json.dumps({key: row[key] for key in row if key != "partition"}) for row in rows]
        plain.write_bytes(gzip.compress("\n".join(lines).encode()))
    dataset = load_dataset(str(tmp_path / "plain"))
    assert list(dataset.corpus.texts or ()) == ["def write end", "def silent end", "def read end"]
    assert {split: len(part) for split, part in dataset.queries.items()} == {"tune": 1, "test": 1}


def write_cosqa(folder: Path) -> Path:
    questions = [{"idx": f"cosqa-{i}", "doc": f"how to {i}", "code": "", "retrieval_idx": 2 * i} for i in range(4)]
    for name, content in {
        "code_idx_map.txt": {f"def f{i}(): pass": i for i in reversed(range(12))},
        "cosqa-retrieval-test-500.json": questions[:3],
        "cosqa-retrieval-dev-500.json": questions[3:],
        "cosqa-retrieval-train-19604.json": [],
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_cosqa_as_its_authors_have_it(tmp_path: Path) -> None:
    dataset = load_dataset(str(write_cosqa(tmp_path)))
    assert (dataset.corpus.texts or ())[:2] == ["def f0(): pass", "def f1(): pass"]
    assert dataset.corpus.ids[-1] == "code-11"
    assert {split: list(part.texts or ()) for split, part in dataset.queries.items()} == {
        "test": ["how to 0", "how to 1", "how to 2"],
        "tune": ["how to 3"],
    }
    assert [dataset.qrels[split].rows.tolist() for split in ("test", "tune")] == [[0, 2, 4], [6]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("code_idx_map.txt", "[]", "is not a JSON object of functions"),
        ("code_idx_map.txt", "{", "code_idx_map.txt: is not JSON"),
        ("cosqa-retrieval-test-500.json", "{}", "is not a JSON list of questions"),
        ("cosqa-retrieval-test-500.json", '[{"idx": "a", "doc": "b"}]', "question 0 lacks the key 'retrieval_idx'"),
        ("cosqa-retrieval-test-500.json", None, "cosqa-retrieval-test-500.json: there is no such file"),
    ],
)
def test_bad_cosqa(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    file = write_cosqa(tmp_path) / name
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        load_dataset(str(tmp_path))


def test_codesearchnet_without_questions(ruby: Path) -> None:
    for file in (ruby / "final" / "jsonl" / "test").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no function of the partition 'test'"):
        load_dataset(str(ruby))


PAPERS: list[dict[str, Any]] = [
    {"corpusid": 7, "title": "Attention", "abstract": "Transformers.", "citations": [9]},
    {"corpusid": 8, "title": "No abstract", "abstract": None, "citations": []},
    {"corpusid": 9, "title": "Retrieval", "abstract": "Dense vectors.", "citations": []},
]
QUESTIONS: list[dict[str, Any]] = [
    {"query_set": "inline_acl", "query": "What attends?", "specificity": 1, "quality": 2, "corpusids": [7]},
    {"query_set": "manual_iclr", "query": "Papers on search", "specificity": 0, "quality": 1, "corpusids": [8, 9]},
]


def write_litsearch(folder: Path, papers: list[dict[str, Any]], questions: list[dict[str, Any]]) -> Path:
    for part, rows in (("corpus_clean", papers), ("query", questions)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / part / "full-00000-of-00001.parquet")
    return folder


def test_litsearch(tmp_path: Path) -> None:
    dataset = load_dataset(str(write_litsearch(tmp_path / "LitSearch", PAPERS, QUESTIONS)))
    assert list(dataset.corpus.texts or ()) == ["Attention Transformers.", "No abstract", "Retrieval Dense vectors."]
    assert list(dataset.queries["test"].ids) == ["inline_acl/specific/0", "manual_iclr/broad/1"]
    assert dataset.qrels["test"].rows.tolist() == [0, 1, 2]


def test_litsearch_as_pandas_writes_it(tmp_path: Path) -> None:
    questions = [{**q, "specificity": float(q["specificity"]), "quality": float("nan")} for q in QUESTIONS]
    dataset = load_dataset(str(write_litsearch(tmp_path / "LitSearch", PAPERS, questions)))
    assert list(dataset.queries["test"].ids) == ["inline_acl/specific/0", "manual_iclr/broad/1"]


def test_litsearch_with_gaps(tmp_path: Path) -> None:
    papers = [*PAPERS, {"corpusid": 10, "title": "", "abstract": None, "citations": []}]
    questions = [*QUESTIONS, {**QUESTIONS[0], "corpusids": []}]
    dataset = load_dataset(str(write_litsearch(tmp_path / "LitSearch", papers, questions)))
    assert (dataset.corpus.texts or ())[3] == ""
    assert len(dataset.queries["test"]) == 2
    assert notes_of(dataset) == ("questions that name no paper are left out: 'inline_acl/specific/2'",)


def test_litsearch_as_two_files(tmp_path: Path) -> None:
    for part, rows in (("corpus_clean", PAPERS), ("query", QUESTIONS)):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{part}.parquet")
    assert len(load_dataset(str(tmp_path)).queries["test"]) == 2


def test_bad_litsearch(tmp_path: Path) -> None:
    folder = tmp_path / "LitSearch"
    write_litsearch(folder, [*PAPERS, PAPERS[0]], QUESTIONS)
    with pytest.raises(DataError, match=r"corpus_clean, row 3: the document id '7' occurs a second time"):
        load_dataset(str(folder))
    write_litsearch(folder, PAPERS, [{**QUESTIONS[0], "specificity": 2}])
    with pytest.raises(DataError, match=r"query, row 0: the specificity 2"):
        load_dataset(str(folder))
    write_litsearch(folder, PAPERS, [{**QUESTIONS[0], "specificity": 0.5}])
    with pytest.raises(DataError, match=r"query, row 0: the specificity 0.5 is neither 0"):
        load_dataset(str(folder))
    write_litsearch(folder, PAPERS, [{**QUESTIONS[0], "quality": "good"}])
    with pytest.raises(DataError, match=r"query, row 0: the quality 'good' is not a number"):
        load_dataset(str(folder))
    write_litsearch(folder, PAPERS, [{**QUESTIONS[0], "corpusids": [1]}])
    with pytest.raises(DataError, match="judges the document '1', which is not in the corpus"):
        load_dataset(str(folder))
    write_litsearch(folder, [{"corpusid": 1, "title": "x"}], QUESTIONS)
    with pytest.raises(DataError, match="has no column 'abstract'"):
        load_dataset(str(folder))
    write_litsearch(folder, PAPERS, QUESTIONS)
    (folder / "query" / "broken.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"broken.parquet: cannot be read as Parquet"):
        load_dataset(str(folder))
