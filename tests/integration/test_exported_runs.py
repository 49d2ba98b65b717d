"""A run of a collection with repeated texts: its figures, its note, and the run file that scores to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.errors import UsageError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.records import Store
from retrieval_bench.runner.run import run
from retrieval_bench.runner.trec_run import export_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each of six texts under four ids, one of which is relevant to its question; a seventh question matches none."""
    things = ("river", "engine", "violin", "harbour", "glacier", "orchard")
    corpus = [{"_id": f"{i}-{thing}", "text": f"the {thing} of stone"} for i in (1, 10, 9, "é") for thing in things]
    queries = [{"_id": f"q{i}", "text": thing} for i, thing in enumerate(things)]
    queries.append({"_id": "q6", "text": "แม่น้ำหิน"})
    judged = ["q6\t9-river\t1"]
    judged += [f"q{i}\t{copy}-{thing}\t1" for i, thing in enumerate(things) for copy in (("9", "é")[i % 2],)]
    place = tmp_path / "repeated"
    (place / "qrels").mkdir(parents=True)
    (place / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (place / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (place / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged), encoding="utf-8")
    return place


def test_an_exported_run_scores_to_the_figures_of_the_run(folder: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "run", tmp_path / "bm25.run"
    effort = Effort(seconds=0.01, minimum=2, concurrent_seconds=0.01)
    done = run(str(folder), rankers=["bm25"], out=out, effort=effort, compare_speeds=False)
    (record,) = done.records
    assert record.value("MRR") == pytest.approx((3 * 1 / 2 + 3 * 1) / 7), "é before 9 before 10 before 1"
    assert record.value("P@10") == pytest.approx(0.6 / 7)
    (note,) = [note for note in record.notes if "descending document id" in note]
    assert "MRR 0.2143 to 0.8571 (6 queries)" in note
    assert any("no document was returned for 1 of 7 queries" in note for note in record.notes)
    assert "the only ranker with a result" in done.summary.why
    assert "P@10" not in note, "no order moves it"
    answer = CliRunner().invoke(app, ["export-run", "bm25", str(file), "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    metrics = [m.name for m in record.measurements if m.unit == "1" and not m.name.startswith("concurrent_")]
    asked = [word for name in metrics for word in ("--metric", name)]
    scored = CliRunner().invoke(app, ["score", str(file), str(folder / "qrels" / "test.tsv"), "--json", *asked])
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.output) == {name: record.value(name) for name in metrics}
    told = CliRunner().invoke(app, ["score", str(file), str(folder / "qrels" / "test.tsv"), "--metric", "MRR"])
    assert "MRR 0.2143 to 0.8571 (6 queries)" in told.output
    Store(out).forget(record.trial_id)
    assert not list((out / "answers").glob("*.npz"))
    with pytest.raises(UsageError, match="kept no answers"):
        export_run(Store(out), record, file)
