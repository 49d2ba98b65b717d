"""Published figures and the BEIR commands, over a small set that stands in for the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval_bench import specs
from retrieval_bench.cli import app
from retrieval_bench.datasets import load_dataset, place_name
from retrieval_bench.datasets._html import page_text
from retrieval_bench.errors import DataError, UnknownNameError
from retrieval_bench.specs import DatasetCard
from retrieval_bench.study import reproduce as module
from retrieval_bench.study.beir import beir_sets, run_beir
from retrieval_bench.study.reproduce import Reached, Reference, ReferenceSet, reference_sets, reproduce

DOCUMENTS = {
    "d1": "the crane lifts steel",
    "d2": "birds sing at dawn and at dusk",
    "d3": "sorting a list of numbers",
    "d4": "steel crane steel crane",
    **{f"f{i}": f"filler number {i}" for i in range(8)},  # so that metrics at 10 can be measured
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BEIR folder whose first query is itself a document."""
    place = tmp_path / "tiny"
    (place / "qrels").mkdir(parents=True)
    corpus = [{"_id": key, "title": "", "text": text} for key, text in DOCUMENTS.items()]
    corpus.append({"_id": "q1", "title": "", "text": "steel crane"})
    (place / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    asked = {"q1": "steel crane", "q2": "the of", "q3": "birds"}
    (place / "queries.jsonl").write_text("\n".join(json.dumps({"_id": k, "text": t}) for k, t in asked.items()))
    (place / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td4\t1\nq2\td1\t1\nq3\td2\t1\n")
    return place


def test_the_references_name_cards_that_are_there() -> None:
    sets = reference_sets()
    assert {"beir/scifact", "beir/nfcorpus", "beir/arguana", "beir/fiqa", "cacm-html"} == set(sets)
    for each in sets.values():
        assert each.dataset in specs.dataset_cards()
        for system in {*(r.system for r in each.references), *each.beside}:
            specs.system_card(system, "ranker")
    figures = {(s.dataset, r.system, r.metric): r.value for s in sets.values() for r in s.references}
    assert figures["beir/scifact", "lucene", "nDCG@10"] == 0.6789
    assert figures["cacm-html", "lucene_rm3", "MAP"] == 0.3648


def reached(found: float | None, *, problem: str = "", published: bool = True) -> Reached:
    return Reached(dataset="d", system="s", metric="m", value=0.6789, found=found, problem=problem, published=published)


def test_verdicts() -> None:
    assert reached(0.67894).verdict == "OK"
    assert reached(0.67896).verdict == "+0.0001"
    assert reached(0.5).verdict == "-0.1789"
    assert reached(0.6789, published=False).verdict == "+0.0000"
    assert reached(None, problem="skipped: not here").verdict == "skipped: not here"


def test_reproduce_goes_through_the_ordinary_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Reference(system="bm25", metric="nDCG@10", value=0.6667, source="by hand")
    wrong = right.model_copy(update={"value": 0.7})
    sets = {
        str(folder): ReferenceSet(dataset=str(folder), references=(right,), beside=("bm25_lucene",), depth=10),
        "cranfield-lost": ReferenceSet(dataset="cacm-html", references=(wrong,), depth=10),
    }
    monkeypatch.setattr(module, "reference_sets", lambda: sets)
    monkeypatch.delenv("RETRIEVAL_BENCH_DATA", raising=False)
    found = list(reproduce())
    # q1's own document is taken out, so d4 comes first; q2 holds only stop words and scores 0; q3 finds d2
    assert [(r.system, r.verdict) for r in found[:2]] == [("bm25", "OK"), ("bm25_lucene", "+0.0000")]
    assert found[2].verdict.startswith("cacm-html: is not on this machine")
    assert found[2].absent
    assert not found[2].missed
    with pytest.raises(UnknownNameError, match="scifact"):
        next(reproduce([str(folder), "scifact"]))  # before any work


@pytest.fixture
def broken(folder: Path) -> Path:
    """A BEIR folder that cannot be read."""
    place = folder.with_name("broken")
    place.mkdir()
    (place / "corpus.jsonl").write_text("{")
    (place / "queries.jsonl").write_text("{")
    return place


def test_reproduce_goes_on_after_a_bad_set_and_counts_what_failed(
    folder: Path, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Reference(system="bm25", metric="nDCG@10", value=0.6667, source="by hand")
    lost = Reference(system="ltr", metric="nDCG@10", value=0.5, source="nothing to learn from")
    sets = {
        "bad": ReferenceSet(dataset=str(broken), references=(right,), depth=10),
        "good": ReferenceSet(dataset=str(folder), references=(right,), depth=10),
        "no system": ReferenceSet(dataset=str(folder), references=(lost,), depth=10),
        "absent": ReferenceSet(dataset="cacm-html", references=(right,), depth=10),
    }
    monkeypatch.setattr(module, "reference_sets", lambda: sets)
    monkeypatch.delenv("RETRIEVAL_BENCH_DATA", raising=False)
    with (folder / "queries.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"_id": "q1", "text": "once more"}))
    done = CliRunner().invoke(app, ["reproduce", "good"])
    assert done.exit_code == 0, done.output
    assert f"{folder}: of queries with one id the first is kept; left out: 'q1'" in done.output
    done = CliRunner().invoke(app, ["reproduce", "bad", "good"])
    assert done.exit_code == 1
    assert "broken: failed: " in done.output
    assert "OK" in done.output
    done = CliRunner().invoke(app, ["reproduce", "no system"])
    assert done.exit_code == 1
    assert "tiny: failed: ltr: " in done.output
    assert "1 published figures were not reached" in done.output
    assert CliRunner().invoke(app, ["reproduce", "absent"]).exit_code == 1  # asked for by name
    monkeypatch.setattr(module, "reference_sets", lambda: {key: sets[key] for key in ("absent", "good")})
    done = CliRunner().invoke(app, ["reproduce"])
    assert done.exit_code == 0, done.output
    assert "cacm-html: skipped: " in done.output


def test_beir_results_have_the_leaderboards_form(folder: Path, tmp_path: Path) -> None:
    (done,) = run_beir([str(folder)], rankers=["bm25"], seconds=0.05, out=tmp_path / "out")
    name = place_name(str(folder))
    assert done.files == (tmp_path / "out" / "bm25" / f"{name}.json",)
    result = json.loads(done.files[0].read_text())
    (scores,) = result["scores"]["test"]
    assert result["task_name"] == name
    assert scores["main_score"] == scores["ndcg_at_10"] == pytest.approx(2 / 3)
    assert (scores["hf_subset"], scores["languages"]) == ("default", ["eng-Latn"])
    assert "beir/scifact" in beir_sets()
    with pytest.raises(UnknownNameError, match="did you mean"):
        list(run_beir(["scifactt"]))
    with pytest.raises(UnknownNameError, match="unknown ranker"):
        list(run_beir([str(folder)], rankers=["bm26"]))


def test_beir_sets_have_the_leaderboards_names() -> None:
    from retrieval_bench.study.beir import _TASKS, _parts

    assert set(_TASKS) == {name.removeprefix("beir/") for name in beir_sets()}
    assert _TASKS["cqadupstack/gis"] == "CQADupstackGisRetrieval"
    assert _parts("hotpotqa") == _parts("beir/hotpotqa") == {"beir/hotpotqa": ""}
    assert len(_parts("cqadupstack")) == 12
    assert set(_parts("cqadupstack").values()) == {"beir/cqadupstack"}
    with pytest.raises(UnknownNameError):
        _parts("cqadup")


def test_beir_goes_on_after_a_bad_set(folder: Path, broken: Path, tmp_path: Path) -> None:
    ordinary = ["--ranker", "bm25", "--measure-seconds", "0.05", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["beir", str(broken), str(folder), *ordinary])
    assert done.exit_code == 1
    assert "broken: failed: " in done.output
    assert (tmp_path / "out" / "bm25" / f"{place_name(str(folder))}.json").exists()
    done = CliRunner().invoke(app, ["beir", str(folder), *ordinary])
    assert done.exit_code == 0, done.output


# CACM's pages


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<html>\n<pre>\n\nTitle  here\n\nCACM, 1964\n981\t5\t981\n</pre></html>", "Title here CACM, 1964 981 5 981"),
        ("<p>a &lt; b &amp; c<br>d</p><td>e</td><td>f</td>", "a < b & c d e f"),
        ("x <= y < z; <b>bo</b>ld<script>var a;</script><style>b{}</style> end", "x <= y < z; bold end"),
        ("", ""),
    ],
)
def test_the_text_of_a_page(page: str, text: str) -> None:
    assert page_text(page) == text


def test_cacm_pages_are_read_whole(data_folder: Path) -> None:
    if not (data_folder / "cacm" / "cacm-html.tar.gz").exists():
        pytest.skip("cacm-html.tar.gz is not there")
    data = load_dataset("cacm-html")
    assert (len(data.corpus), len(data.queries["test"])) == (3204, 52)
    assert list(data.corpus.ids[:2]) == ["CACM-0001", "CACM-0002"]
    assert data.corpus.require_texts()[0].startswith("Preliminary Report-International Algebraic Language CACM")
    assert data.corpus.require_texts()[0].endswith("43 6 1 53 6 1 91 6 1 410 6 1 3184 6 1")


def test_a_missing_archive_of_pages_is_named(folder: Path) -> None:
    from retrieval_bench.datasets.beir import read

    card = DatasetCard.model_validate(
        {"name": "t", "summary": "", "reader": "beir", "options": {"pages": "pages.tar.gz"}}
    )
    with pytest.raises(DataError, match=r"has no pages\.tar\.gz"):
        read(card, folder)
