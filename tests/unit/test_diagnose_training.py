"""Diagnostics that look at training data on the command line: a ranker of texts without any vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_run import summary, trial
from made_up_text import PAIRS, WordEncoder, beir_folder
from typer.testing import CliRunner

from retrieval_bench.cli import app
from retrieval_bench.datasets import load_dataset
from retrieval_bench.records import Store
from retrieval_bench.runner import prepared


def made(folder: Path, values: np.ndarray, splits: dict[str, slice]) -> str:
    """A run of one ranker with these figures of its test queries."""
    data = load_dataset(str(beir_folder(folder / "things", splits=splits)))
    prepared.store(data)
    record = trial("knrm", "knrm-0", {"nDCG@10": float(values.mean())}, kind="ranker")
    store = Store(folder / "out")
    store.write(
        record.model_copy(update={"dataset_fingerprint": data.fingerprint}),
        {"test": {"nDCG@10": values}}, {"test": data.queries["test"].ids},
    )  # fmt: skip
    store.write_summary(summary(chosen={"knrm": "knrm-0"}, winner=None, tied=(), trials=("knrm-0",)))
    return str(folder / "out")


def asked(*command: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["diagnose", *command, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.output)
    return found


class TestContamination:
    def contaminated(self, tmp_path: Path, *more: str) -> dict[str, Any]:
        """Training data holds the documents of the first ten of thirty test queries, which score one half more."""
        values = np.where(np.arange(30) < 10, 0.9, 0.4) + np.tile([0.01, -0.01], 15)
        run = made(tmp_path, values, {"test": slice(30)})
        file = tmp_path / "training.txt"
        file.write_text(
            "\n".join(f"once more: all that is known about {text}" for _, text in PAIRS[:10]), encoding="utf-8"
        )
        return asked("contamination", "knrm", str(file), "--n", "10", "--out", run, *more)

    def test_documents_are_looked_for_and_their_queries_set_against_the_others(self, tmp_path: Path) -> None:
        found = self.contaminated(tmp_path, "--of", "documents")
        share, gain = found["says"]
        assert share.startswith(f"{10 / 60:.1%} of the documents share 10 words in a row")
        assert share.endswith("the longest span has 10 words.")
        assert gain.startswith("nDCG@10 of queries with such a relevant document minus that of the others: +0.5000 (")
        assert {row[1] for row in found["rows"]} == {name for name, _ in PAIRS[:10]}
        assert {row[0] for row in found["rows"]} == {"document"}
        assert {row[2] for row in found["rows"]} == {10}

    def test_queries_and_documents_stand_side_by_side(self, tmp_path: Path) -> None:
        found = self.contaminated(tmp_path)
        assert [said.partition(" ")[0] for said in found["says"]] == ["0.0%", "nDCG@10", "16.7%", "nDCG@10"]
        assert found["says"][1].endswith("is absent: all queries are of one kind.")
        assert self.contaminated(tmp_path / "again", "--of", "queries")["says"] == found["says"][:2]

    def test_of_a_large_corpus_a_sample_tells_the_share(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retrieval_bench.cli.diagnose_training._SAMPLE", 20)
        share, gain = self.contaminated(tmp_path, "--of", "documents")["says"]
        assert "of 20 documents drawn at random share" in share
        assert 0 < float(share.partition("%")[0]) < 50
        assert "+0.5000" in gain  # every relevant document is looked for all the same


class TestGeneralisation:
    """Forty test queries about the last things; those trained on are about some of the same."""

    @pytest.fixture(autouse=True)
    def words_are_vectors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retrieval_bench.encoders.load_encoder", WordEncoder)

    @staticmethod
    def run(tmp_path: Path, splits: dict[str, slice]) -> str:
        """A ranker that is good at the twelve queries about engines and violins only."""
        about = [name.startswith(("engine", "violin")) for name, _ in PAIRS[splits["test"]]]
        return made(tmp_path, np.where(about, 0.9, 0.1), splits)

    @pytest.mark.parametrize("form", ["txt", "jsonl"])
    def test_an_encoder_trained_elsewhere_names_its_queries(self, tmp_path: Path, form: str) -> None:
        texts = [f"the {thing} and its price, the {thing}" for thing in ("engine", "violin")]
        rows = [json.dumps({"_id": f"{i}", "text": text}) for i, text in enumerate(texts)] if form == "jsonl" else texts
        file = tmp_path / f"trained-on.{form}"
        file.write_text("\n".join([*rows, ""]), encoding="utf-8")
        run = self.run(tmp_path, {"test": slice(40)})
        found = asked("generalisation", "knrm", "--training", str(file), "--out", run)
        near, far = found["rows"]
        assert near[1] > far[1] + 0.5
        assert (
            found["says"][1] == "Near is by the cosine of the vectors of words, to the nearest of 2 training queries."
        )

    def test_a_ranker_without_vectors_is_near_to_the_split_it_was_trained_on(self, tmp_path: Path) -> None:
        run = self.run(tmp_path, {"train": slice(8, 16), "test": slice(16, 60)})
        found = asked("generalisation", "knrm", "--out", run)
        assert found["says"][1].endswith("the vectors of words, to the nearest of 8 training queries.")

    def test_what_makes_no_sense_is_refused(self, tmp_path: Path) -> None:
        run = self.run(tmp_path, {"test": slice(40)})

        def refused(*more: str) -> str:
            return str(CliRunner().invoke(app, ["diagnose", "generalisation", "knrm", "--out", run, *more]).exception)

        assert "has no training queries to be near to; name a file of them with --training" in refused()
        assert "there is no such file" in refused("--training", str(tmp_path / "nowhere.txt"))
        (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
        assert "holds no query" in refused("--training", str(tmp_path / "empty.txt"))
        whole = tmp_path / "things" / "queries.jsonl"
        assert "holds every test query" in refused("--training", str(whole))
