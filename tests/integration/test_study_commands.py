"""The commands of the protocols, end to end over small folders."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("bm25s")
pytest.importorskip("sklearn")
pytest.importorskip("jinja2")

from retrieval_bench.cli import app
from retrieval_bench.datasets import place_name
from retrieval_bench.records import Store

FUNCTIONS = {
    "f1": "def read_lines(path): return open(path).read().splitlines()",
    "f2": "def write_text(path, text): open(path, 'w').write(text)",
    "f3": "def area_of_circle(radius): return 3.14159 * radius ** 2",
    "f4": "def reverse_words(text): return ' '.join(reversed(text.split()))",
    "f5": "def nothing(): pass",
    "f6": "def zero(): return 0",
}
QUERIES = {"q1": "read_lines of a path", "q2": "area_of_circle", "q3": "reverse_words"}
RELEVANT = (("q1", "f1"), ("q2", "f3"), ("q2", "f2"), ("q3", "f4"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "functions"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", FUNCTIONS), ("queries", QUERIES)):
        lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in RELEVANT)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_codesearch_and_litsearch(folder: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "runs", tmp_path / "page.html"
    ordinary = [str(folder), "--ranker", "bm25", "--measure-seconds", "0.05", "--out", str(out), "--html", str(page)]
    done = CliRunner().invoke(app, ["codesearch", *ordinary, "--candidates", "3"])
    assert done.exit_code == 0, done.output
    assert "functions: 3 queries, 6 functions" in done.output
    assert "among 3" in done.output
    assert "<td class=number>" in page.read_text(encoding="utf-8")
    store = Store(out / place_name(str(folder)))
    (record,) = store.records()
    assert record.value("MRR") == 1.0
    assert record.value("recall@5") == pytest.approx((1 + 1 / 2 + 1) / 3)  # bm25 returns what shares a word only
    done = CliRunner().invoke(app, ["codesearch", *ordinary])
    assert "among 6" in done.output  # all there are, though a thousand were asked for
    assert "has 6 functions, so the MRR is among these" in " ".join(done.output.split())
    done = CliRunner().invoke(app, ["litsearch", *ordinary])
    assert done.exit_code == 0, done.output
    assert "several relevant documents: 1" in done.output
    assert "one relevant document: 2" in done.output
    assert len(store.records()) == 1  # the same run, continued


def test_a_query_that_is_left_out_is_said(folder: Path, tmp_path: Path) -> None:
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"_id": "q4", "text": ""}')
    with (folder / "qrels" / "test.tsv").open("a", encoding="utf-8") as file:
        file.write("\nq4\tf4\t1")
    out = tmp_path / "run"
    command = ["run", str(folder), "--ranker", "bm25", "--measure-seconds", "0.05", "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    note = "queries without a text are left out: 'q4'"
    assert f"Data: {note}" in done.output
    assert note.replace("'", "&#39;") in (out / "report.html").read_text(encoding="utf-8")
    assert Store(out).summary().queries["test"] == 3


def test_codesearch_goes_on_after_a_set_that_is_not_here(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETRIEVAL_BENCH_DATA", raising=False)
    ordinary = ["--ranker", "bm25", "--measure-seconds", "0.05", "--out", str(tmp_path / "runs"), "--candidates", "0"]
    done = CliRunner().invoke(app, ["codesearch", "cosqa", str(folder), *ordinary])
    assert done.exit_code == 1
    assert "cosqa: failed: is not on this machine" in done.output
    assert "functions: 3 queries, 6 functions" in done.output


def test_screening_goes_on_after_a_bad_review(tmp_path: Path) -> None:
    topics = [json.dumps({"name": name, "topic": "Drugs for migraine"}) for name in ("bad", "good")]
    (tmp_path / "topics.jsonl").write_text("\n".join(topics), encoding="utf-8")
    (tmp_path / "bad.csv").write_text("id,title\n", encoding="utf-8")
    rows = [f"{i},{'migraine drug' if i < 2 else 'bridge'} {i},,{int(i < 2)}" for i in range(6)]
    (tmp_path / "good.csv").write_text("\n".join(["id,title,abstract,included", *rows]), encoding="utf-8")
    command = ["screening", str(tmp_path), "--ranker", "bm25", "--text", "title", "--starts", "0"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "bad.csv: failed: " in done.output
    assert "good: 2 of 6 records are relevant" in done.output
    (tmp_path / "good.csv").unlink()
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "Screening prioritisation" not in done.output


def test_screening(tmp_path: Path) -> None:
    (tmp_path / "topics.jsonl").write_text('{"name": "pain", "topic": "Drugs for migraine"}\n', encoding="utf-8")
    rows = [f"{i},{'migraine drug' if i % 4 == 0 else 'bridge steel'} {i},,{int(i % 4 == 0)}" for i in range(24)]
    (tmp_path / "pain.csv").write_text("\n".join(["id,title,abstract,included", *rows]), encoding="utf-8")
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    command = ["screening", str(tmp_path), "--ranker", "bm25", "--text", "title", "--starts", "2"]
    done = CliRunner().invoke(app, [*command, "--html", str(page), "--json", str(figures)])
    assert done.exit_code == 0, done.output
    ranked, learned = json.loads(figures.read_text(encoding="utf-8"))
    assert ranked["measures"]["AP"] == 1.0
    assert learned["measures"]["WSS@100"] == pytest.approx(100 - 100 * 5 / 22)  # every start finds all five at once
    assert "pain: 6 of 24 records are relevant" in page.read_text(encoding="utf-8")


def test_a_learned_ranker_is_chosen_on_queries_that_it_did_not_learn_from(folder: Path, tmp_path: Path) -> None:
    learned = ["run", str(folder), "--ranker", "ltr", "--measure-seconds", "0.05", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, learned)
    assert done.exit_code == 1
    assert "--tune-share" in done.output
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    rows = ["query-id\tcorpus-id\tscore", "q3\tf4\t1"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows), encoding="utf-8")
    CliRunner().invoke(app, learned)
    assert Store(tmp_path / "run").summary().queries == {"train": 2, "tune": 1, "test": 1}


def test_a_run_exports_its_winner(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    command = ["run", str(folder), "--ranker", "bm25", "--measure-seconds", "0.05", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*command, "--export", str(index)])
    assert done.exit_code == 0, done.output
    asked = CliRunner().invoke(app, ["search", str(index), "area_of_circle", "--k", "1"])
    assert asked.exit_code == 0, asked.output
    assert "f3" in asked.output
