"""The ``train`` commands over a small random encoder: each leaves a model, and says what it gained and where it is."""

from __future__ import annotations

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


def test_matryoshka(tiny: str, toy: str, tmp_path: Path) -> None:
    out = str(tmp_path / "m")
    said = output("matryoshka", toy, "--out", out, "--from", tiny, "--dim", "8", "--dim", "32", *SMALL)
    assert "Held-out gain" in said
    assert f"Model: {out}" in said
    assert load_encoder(out).dim == 32


def test_cocosoda(tiny: str, toy: str, tmp_path: Path) -> None:
    out = str(tmp_path / "m")
    assert f"Model: {out}" in output("cocosoda", toy, "--out", out, "--from", tiny, "--queue", "32", *SMALL)
    assert load_encoder(out).dim == 32


def test_cross_encoder(tiny: str, toy: str, tmp_path: Path) -> None:
    out = str(tmp_path / "m")
    command = ["cross-encoder", toy, "--out", out, "--from", tiny, "--depth", "4", "--device", "cpu", *SMALL]
    assert f"Model: {out}" in output(*command, "--queries", "2")
    assert output(*command, "--queries", "3") != output(*command, "--queries", "2")
    load_scorer("cross_encoder", {"model": out}, where="here")


def test_moe_and_soup(tiny: str, toy: str, tmp_path: Path) -> None:
    other, out, mixed = str(toy_collection(tmp_path / "other", seed=1)), tmp_path / "moe", str(tmp_path / "soup")
    said = output("moe", toy, other, "--out", str(out), "--from", tiny, *SMALL)
    assert "Mixture of experts over one model per domain" in said
    runs = [str(out / "joint"), str(out / "alone" / "toy")]
    said = output("soup", *runs, "--out", mixed, "--choose-on", toy, "--from", tiny, "--share", "1.0")
    assert "Kept " in said
    assert load_encoder(mixed).dim == 32
    done = CliRunner().invoke(app, ["train", "soup", *runs, "--out", mixed, "--kind", "watery"])
    assert done.exit_code != 0
