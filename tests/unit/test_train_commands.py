"""The ``train`` commands over a small random encoder: each leaves a model, and says what it gained and where it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("bm25s")

from made_up_training import toy_collection

from retrieval_bench.cli import app
from retrieval_bench.encoders import load_encoder
from retrieval_bench.scorers import load_scorer

SMALL = ["--tokens", "16", "--frozen-layers", "0", "--batch", "32"]


def output(*command: str) -> str:
    done = CliRunner().invoke(app, ["train", *command])
    assert done.exit_code == 0, done.output
    return done.output


def with_blank_query(folder: Path) -> str:
    """A collection with a query that has no text."""
    toy_collection(folder, seed=1)
    for name, line in (("queries.jsonl", json.dumps({"_id": "q96", "text": " "})), ("qrels/test.tsv", "q96\td0\t1")):
        with (folder / name).open("a") as file:
            file.write(f"{line}\n")
    return str(folder)


def test_matryoshka(tiny: str, tmp_path: Path) -> None:
    out, data = str(tmp_path / "m"), with_blank_query(tmp_path / "other")
    said = output("matryoshka", data, "--out", out, "--from", tiny, "--dim", "8", "--dim", "32", *SMALL)
    assert "Held-out gain" in said
    assert said.count(f"{data}: queries without a text are left out: 'q96'") == 1
    assert f"Model: {out}" in said
    assert load_encoder(out).dim == 32


def test_cocosoda(tiny: str, toy: str, tmp_path: Path) -> None:
    out = str(tmp_path / "m")
    assert f"Model: {out}" in output("cocosoda", toy, "--out", out, "--from", tiny, "--queue", "32", *SMALL)
    assert load_encoder(out).dim == 32


def test_cross_encoder(tiny: str, tmp_path: Path) -> None:
    out, data = str(tmp_path / "m"), with_blank_query(tmp_path / "other")
    command = ["cross-encoder", data, "--out", out, "--from", tiny, "--depth", "4", "--device", "cpu", *SMALL]
    said = output(*command, "--queries", "2")
    assert f"Model: {out}" in said
    assert said.count("left out: 'q96'") == 1
    assert output(*command, "--queries", "3") != output(*command, "--queries", "2")
    load_scorer("cross_encoder", {"model": out}, where="here")


def test_moe_and_soup(tiny: str, toy: str, tmp_path: Path) -> None:
    other, out, mixed = with_blank_query(tmp_path / "other"), tmp_path / "moe", str(tmp_path / "soup")
    said = output("moe", toy, other, "--out", str(out), "--from", tiny, *SMALL)
    assert "Mixture of experts over one model per domain" in said
    assert said.count("queries without a text are left out: 'q96'") == 1
    runs = [str(out / "joint"), str(out / "alone" / "toy")]
    said = output("soup", *runs, "--out", mixed, "--choose-on", other, "--from", tiny, "--share", "1.0")
    assert "Kept " in said
    assert "left out: 'q96'" in said
    assert load_encoder(mixed).dim == 32
    done = CliRunner().invoke(app, ["train", "soup", *runs, "--out", mixed, "--kind", "watery"])
    assert done.exit_code != 0
