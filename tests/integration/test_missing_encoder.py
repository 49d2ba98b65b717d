"""A run, a tuning or a gate whose encoder cannot be had: who needs it is refused by name, the others go on."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("bm25s")
pytest.importorskip("faiss")
pytest.importorskip("sentence_transformers")

import retrieval_bench as rb
from retrieval_bench.cli import app
from retrieval_bench.errors import DataError, RetrievalBenchError, UnavailableError
from retrieval_bench.measure.clock import Effort
from retrieval_bench.regress import Report
from retrieval_bench.regress import run as gate
from retrieval_bench.runner import encoding
from retrieval_bench.types import TrialRecord

TEXTS = ["A crane lifts steel.", "A bird dances.", "Sorting a list of numbers.", "Steel beams and a list."]
OWN = 'name = "{name}"\nsummary = "x"\nkind = "ranker"\nbackend = "dense"\n[build]\nencoder = "{encoder}"\n'
QUICK = Effort(seconds=0.05, concurrent_seconds=0.02)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    folder = tmp_path / "texts"
    (folder / "qrels").mkdir(parents=True)
    for name, column in (("corpus", TEXTS), ("queries", ["dancing bird", "lift steel"])):
        lines = [json.dumps({"_id": f"{name[0]}{i}", "text": text}) for i, text in enumerate(column)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", "q0\tc1\t1", "q1\tc0\t1"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows), encoding="utf-8")
    return str(folder)


def run(texts: str, tmp_path: Path, *, encoder: str, rankers: list[str]) -> dict[str, tuple[str, str]]:
    """Outcome and reason of each system, the index ``flat`` among them."""
    done = rb.run(
        texts, indexes=["flat"], rankers=rankers, encoder=encoder, budget=rb.Budget(threads=1), effort=QUICK,
        out=tmp_path / "out",
    )  # fmt: skip
    return {record.system: (record.outcome, record.reason) for record in done.records}


@pytest.fixture(params=["a folder without weights", "no network"])
def missing(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, str]:
    """A missing encoder, what is said of it, and a ranker that needs it."""
    if request.param == "no network":
        return "nobody/nothing", "the Hugging Face hub did not give it", "dense"
    (tmp_path / "empty").mkdir()
    return str(tmp_path / "empty"), "holds no model weights", "hybrid"


def test_who_needs_the_encoder_is_refused_and_the_others_are_measured(
    texts: str, tmp_path: Path, missing: tuple[str, str, str]
) -> None:
    encoder, reason, ranker = missing
    found = run(texts, tmp_path, encoder=encoder, rankers=["bm25", ranker])
    assert found.pop("bm25") == ("ok", "")
    assert {name: outcome for name, (outcome, _) in found.items()} == {"flat": "refused", ranker: "refused"}
    assert all(reason in said for _, said in found.values()), found


def test_where_all_need_it_there_is_one_error(texts: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: holds no model weights"):
        run(texts, tmp_path, encoder=str(tmp_path / "empty"), rankers=["dense", "hybrid"])
    assert not (tmp_path / "out" / "records").exists()


def test_a_ranker_with_an_encoder_of_its_own_does_not_need_the_runs(texts: str, tmp_path: Path) -> None:
    for name in ("empty", "own"):
        (tmp_path / name).mkdir()
    card = tmp_path / "card.toml"
    card.write_text(OWN.format(name="own", encoder=tmp_path / "own"), encoding="utf-8")
    found = run(texts, tmp_path, encoder=str(tmp_path / "empty"), rankers=[str(card)])
    assert {name: outcome for name, (outcome, _) in found.items()} == {"flat": "refused", "own": "refused"}
    assert f"{tmp_path / 'empty'}: holds no model weights" in found["flat"][1]
    assert f"{tmp_path / 'own'}: holds no model weights" in found["own"][1]


def test_tuning_goes_on_with_who_needs_no_encoder(texts: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from retrieval_bench.tuning import tune

    (tmp_path / "empty").mkdir()
    told: list[TrialRecord] = []
    done = tune(
        texts, indexes=["flat"], rankers=["bm25", "dense"], encoder=str(tmp_path / "empty"), tune_share=0.5,
        target="nDCG@10", budget=rb.Budget(threads=1, tuning_trials=2), effort=QUICK, out=tmp_path / "out",
        on_trial=told.append,
    )  # fmt: skip
    assert done.winner is not None
    assert done.winner.system == "bm25"
    refused = [record for record in told if record.outcome == "refused"]
    assert [record.system for record in refused] == ["flat", "dense"]  # once each, whatever the budget
    assert all("empty: holds no model weights" in record.reason for record in refused)


def test_the_gate_goes_on_with_who_needs_no_encoder(texts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(label: str, *_: object) -> Report:
        if label == "dense":
            raise RetrievalBenchError("base: its process ended: no network")
        return Report(system=label, complaints=[])

    def lost(name: str | None) -> None:
        raise UnavailableError("no network")

    monkeypatch.setattr(encoding, "load_encoder", lost)
    monkeypatch.setattr(gate, "checked_out", lambda revision, root: nullcontext(root))
    monkeypatch.setattr(gate, "_report", compared)
    asked = ["--dataset", texts, "--index", "flat", "--ranker", "dense", "--ranker", "bm25"]
    said = CliRunner().invoke(app, ["regress", "--base", "HEAD", *asked])
    assert said.output.splitlines() == [
        "flat: not compared: no network", "dense: not compared: base: its process ended: no network",
        "bm25: no drop seen",
    ]  # fmt: skip
    assert said.exit_code == 1  # what was not compared has not passed
    assert CliRunner().invoke(app, ["regress", "--base", "HEAD", *asked[:2], "--ranker", "bm25"]).exit_code == 0
