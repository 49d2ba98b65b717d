from __future__ import annotations

import io
import math
import re
from typing import Any

import made_up_run
import pytest
from made_up_run import trial
from rich.console import Console

from retrieval_bench.report import table
from retrieval_bench.report.calls import paid_after
from retrieval_bench.types import TrialRecord


def shown(width: int, records: list[TrialRecord] | None = None, **changes: Any) -> str:
    records = made_up_run.run() if records is None else records
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table(records, made_up_run.summary(**changes)))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_terminal_table_fits_and_marks_its_rows(width: int) -> None:
    output = shown(width)
    assert max(map(len, output.splitlines())) <= width
    assert re.search(r"^ ?\* +hybrid +weight=0\.5.* 0\.7030 ±0\.0300 .* ok", output, re.MULTILINE)
    assert re.search(r"^ ?= +bm25 .* ok", output, re.MULTILINE)
    assert re.search(r"^ +hnsw +ef_search=256 .* over_budget", output, re.MULTILINE)
    assert re.search(r"^ +svs +window=32 .* crashed", output, re.MULTILINE)
    unwrapped = " ".join(output.split())
    assert "Winner: hybrid (weight=0.5 depth=100), trial hybrid-0.5. Best nDCG@10 within the budget" in unwrapped
    assert "Budget: 512 bytes per vector; build in 60 s; single query in 20 ms at p95;" in unwrapped
    assert "svs: crashed: child process ended by signal 11 while building" in unwrapped
    assert "hnsw: over_budget in 5 of 5 settings: 1810 bytes per vector" in unwrapped
    assert "rerank: timed_out: one trial may take 120 s" in unwrapped
    assert "Time: 2 min 37 s: encode 31.4 s, build 44.1 s" in unwrapped
    assert "* winner = tied with the best in nDCG@10" in unwrapped
    assert "\x1b" not in output


def test_a_wide_terminal_shows_everything_and_a_narrow_one_says_what_it_leaves_out() -> None:
    wide, narrow = shown(170), " ".join(shown(80).split())
    assert "Left out" not in wide
    assert {"analytic", "saved", "private", "p50", "p95", "p99", "recall@10"} <= set(wide.split())
    assert "Left out at 80 columns: neighbor recall@10, nDCG@10 tuning, p50 ms, p99 ms, build s" in narrow
    assert "device" not in wide  # never measured, so not left out either
    assert "device" in shown(180, made_up_run.run(device=True))


def test_long_names_and_settings_are_folded_before_a_column_goes() -> None:
    many = {f"parameter_{i}": i for i in range(8)}
    record = trial("a-system-with-a-rather-long-name-in-its-card", "a", {"nDCG@10": 0.5, "batch_qps": 100}, search=many)
    output = shown(90, [record], winner=None, tied=())
    assert max(map(len, output.splitlines())) <= 90
    assert "Left out" not in output
    assert "parameter_7=7" in output


def test_the_title_says_how_vectors_were_compared() -> None:
    assert re.search("Vector indexes on .* by cosine, each at", shown(160, metric="cos"))
    assert " by " not in shown(160).splitlines()[0]


def test_partly_failed_systems_say_so() -> None:
    records = [trial("s", "a", {"nDCG@10": 0.5}), trial("s", "b", {}, outcome="timed_out", reason="after 9 s")]
    output = shown(100, records, winner="a", tied=("a",), selected_on="test")
    assert "ok 1/2" in output
    assert "s: timed_out in 1 of 2 settings: after 9 s" in output
    assert "Caution: settings were chosen on the queries that are reported" in output


def test_terminal_with_nothing_to_show() -> None:
    why = "No system finished within the budget."
    assert "No trial was recorded on scifact" in shown(100, [], winner=None, tied=(), why=why)
    failed = trial("s", "a", {}, outcome="refused", reason="needs 64 bytes per vector")
    output = shown(100, [failed], winner=None, tied=(), why=why)
    assert "Winner: none. No system finished within the budget." in output
    assert "s: refused: needs 64 bytes per vector" in output
    assert "* winner" not in output


def test_names_are_never_read_as_markup_or_control_codes() -> None:
    record = trial("[bold]x[/bold]\x1b[2J", "a", {"nDCG@10": 0.5}, outcome="crashed", reason="[/oops] \x1b]0;title\x07")
    output = shown(120, [record], winner=None, tied=())
    assert "[bold]x[/bold]" in output
    assert "[/oops]" in output
    assert "\x1b" not in output
    assert "\x07" not in output


def test_an_ascii_pipe_gets_ascii() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii", newline="\n"), width=160)
    console.print(table(made_up_run.run(), made_up_run.summary(description="Résumé", why="É.")))
    console.file.flush()
    assert b"0.7030 +/-0.0300" in raw.getvalue()


def called(system: str, quality: float, calls: float | None, build: float = 0) -> TrialRecord:
    figures = {"nDCG@10": quality, "batch_qps": 10.0}
    figures |= {} if calls is None else {"scorer_calls": calls, "build_scorer_calls": build}
    return trial(system, f"{system}-0", figures, kind="ranker")


def test_after_how_many_queries_the_calls_of_a_build_have_paid() -> None:
    records = [
        called("residual", 0.6, 100, 64_000), called("deep", 0.65, 900), called("better", 0.7, 100),
        called("dense", 0.4, 100), called("free", 0.6, None),
    ]  # fmt: skip
    said = " ".join(shown(1000, records, winner="better-0", tied=(), selected_on="test").split())
    assert (
        "Calls: residual: 64,000 scorer calls at its build and 100 a query; fewer than scoring every document "
        "(5,183 a query) from 13 queries on, never fewer than better (100 a query, at least as good), "
        "fewer than deep (900 a query) from 80 queries on, never fewer than free (0 a query, at least as good)"
    ) in said
    assert said.count("Calls:") == 1
    assert "dense (100" not in said


def test_what_pays_when() -> None:
    assert paid_after(64_000, 100, 900) == 80
    assert paid_after(64_001, 100, 900) == 81
    assert math.isinf(paid_after(1, 100, 100))


def test_a_system_that_found_nothing_is_pointed_at() -> None:
    nothing = trial("bm25", "bm25-0", {"nDCG@10": 0.0}, kind="ranker", notes=("no document was returned for any.",))
    said = shown(300, [nothing, called("dense", 0.4, None)], winner="dense-0", tied=())
    assert "Found nothing: bm25, nDCG@10 0. no document was returned for any." in said
    assert said.count("Found nothing") == 1
