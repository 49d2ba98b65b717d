"""The gate on made-up sides, its pytest plug-in in a suite of its own, and two revisions of a repository."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from retrieval_bench.comparison import Finding
from retrieval_bench.errors import UsageError
from retrieval_bench.regress import PILOT, Side, complaints, judged_speed, planned_rounds
from retrieval_bench.regress.in_process import measured_in_turns
from retrieval_bench.regress.run import checked_out
from retrieval_bench.types import Hits

RNG = np.random.default_rng(0)
ROWS = np.stack([RNG.permutation(500)[:10] for _ in range(200)])
HITS = Hits(rows=ROWS, scores=np.tile(np.arange(10, 0, -1, dtype=np.float32), (200, 1)))
BASE = Side(
    hits=HITS, values={"neighbor_recall@10": RNG.integers(7, 11, 200) / 10},
    memory={"analytic_bytes": 10_000_000, "private_bytes": 50_000_000},
)  # fmt: skip


def judged(head: Side, slower: float = 1.0) -> list[str]:
    speed = timed(slower, [1 / slower] * 9 if slower != 1 else [1.01, 0.99] * 20)
    return complaints(BASE, head, speed, documents=500)


def timed(slower: float, again: list[float]) -> Finding:
    """What a gate finds whose first pair of processes differs by this factor, the next ones by those."""
    seconds, left = RNG.lognormal(0, 0.02, (60, 2)) * [1.0, slower], iter(again)
    return judged_speed(seconds, lambda _: next(left, None))


def test_unchanged_code_is_not_blamed() -> None:
    assert judged(BASE) == []


def test_head_may_be_better() -> None:
    better = replace(BASE, values={"neighbor_recall@10": np.ones(200)}, memory=dict.fromkeys(BASE.memory, 1000))
    assert judged(better, slower=0.5) == []


def test_a_slower_head_is_blamed_with_the_ratio() -> None:
    (line,) = judged(BASE, slower=1.05)
    assert line.startswith("speed: worse: 0.9")
    assert "over 7 pairs of processes" in line


def test_a_slow_process_is_no_slow_code() -> None:
    found = timed(1.03, [0.98, 1.03, 1.01, 1.02, 1.01, 1.02, 1.01])
    assert found.word == "no difference"
    assert found.processes == 6, "four more pairs that favour head than base end it"
    assert found.low < 1 < found.high


def test_a_fast_process_does_not_hide_slow_code() -> None:
    found = timed(0.98, [0.95] * 10)
    assert found.word == "worse"
    assert found.processes == 11, "seven pairs, and three more for the one that favoured head"


def test_what_no_process_explains_is_told_at_once() -> None:
    assert timed(1.5, []).word == "worse"
    assert timed(0.6, []).word == "better"


def test_a_head_that_every_pair_finds_slower_is_blamed_for_the_middle_of_them() -> None:
    found = timed(1.03, [0.99, 0.95, 0.96, 0.98, 0.96, 0.96])
    assert found.word == "worse"
    assert 0.95 <= found.low <= found.change <= found.high <= 0.99
    assert found.change == pytest.approx(0.96, abs=0.01)
    assert found.p == pytest.approx(1.7**-7)


def test_without_time_for_more_pairs_nobody_is_blamed() -> None:
    assert timed(1.03, []).word == "no difference"
    assert timed(1.03, [0.95] * 5).word == "no difference"


def test_lost_recall_is_blamed() -> None:
    lost = BASE.values["neighbor_recall@10"] - 0.1 * (RNG.random(200) < 0.1)
    (line,) = judged(replace(BASE, values={"neighbor_recall@10": lost}))
    assert line.startswith("neighbor_recall@10: worse: -0.0")


def test_ties_in_the_wrong_order_are_blamed() -> None:
    scores, rows = HITS.scores.copy(), HITS.rows.copy()
    scores[3, 1] = scores[3, 0]
    rows[3, :2] = sorted(rows[3, :2])[::-1]
    (line,) = judged(replace(BASE, hits=Hits(rows=rows, scores=scores)))
    assert line.startswith("answers: ")


@pytest.mark.parametrize(("name", "grown"), [("analytic_bytes", 1.1), ("private_bytes", 1.1)])
def test_grown_memory_is_blamed_and_a_page_is_not(name: str, grown: float) -> None:
    (line,) = judged(replace(BASE, memory={**BASE.memory, name: int(BASE.memory[name] * grown)}))
    assert line.startswith(f"{name}: ")
    assert "+10.0%" in line
    assert judged(replace(BASE, memory={**BASE.memory, "private_bytes": BASE.memory["private_bytes"] + 4096})) == []


def test_noise_asks_for_more_rounds() -> None:
    quiet, loud = (RNG.lognormal(0, s, (PILOT, 2)) for s in (0.01, 0.2))
    assert planned_rounds(quiet[:, 0], quiet[:, 1]) == PILOT
    assert planned_rounds(loud[:, 0], loud[:, 1]) > PILOT


def test_two_calls_in_one_process_are_told_apart() -> None:
    found = measured_in_turns(lambda: time.sleep(0.03), lambda: time.sleep(0.006), rounds=9)
    assert found.word == "worse"
    assert found.change < 0.7
    allowed = measured_in_turns(lambda: time.sleep(0.006), lambda: time.sleep(0.006), slack=9.0, rounds=9)
    assert allowed.word == "better"


SUITE = """
import time

def test_slower(interleaved):
    interleaved(lambda: time.sleep(0.03), against=lambda: time.sleep(0.006))

def test_faster(interleaved):
    assert interleaved(lambda: time.sleep(0.006), against=lambda: time.sleep(0.03)).word == "better"

def test_faster_and_worse(interleaved):
    good, bad = [1.0] * 30, [1.0] * 15 + [0.0] * 15
    same = interleaved(lambda: good, against=lambda: good, quality=list, looks=1, rounds=6, slack=9.0)
    interleaved(lambda: bad, against=lambda: time.sleep(0.01) or good, quality=list, looks=1, rounds=6)
"""


def test_the_plugin_fails_what_is_slower_in_a_suite_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE)
    plugin = "retrieval_bench.regress.plugin"
    known = any(e.value == plugin for e in entry_points(group="pytest11"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable"]
    done = subprocess.run(
        [*command, *([] if known else ["-p", plugin])], cwd=tmp_path, env=dict(os.environ), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "quality: worse: -0.5000" in done.stdout
    assert "speed, measured in turns: worse" in done.stdout


def git(folder: Path, *arguments: str) -> None:
    facts = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *facts, *arguments], check=True, capture_output=True)


def test_a_revision_is_checked_out_and_removed_again(tmp_path: Path) -> None:
    package = tmp_path / "retrieval_bench"
    package.mkdir()
    (package / "__init__.py").write_text("old = True\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "old")
    (package / "__init__.py").write_text("old = False\n")
    with checked_out("HEAD", tmp_path) as place:
        assert (place / "retrieval_bench" / "__init__.py").read_text() == "old = True\n"
    assert not place.exists()
    with pytest.raises(UsageError, match="'nonsense'"), checked_out("nonsense", tmp_path):
        pass
    git(tmp_path, "rm", "-rq", "--cached", "retrieval_bench")
    (tmp_path / "x").write_text("")
    git(tmp_path, "add", "x")
    git(tmp_path, "commit", "-qm", "without")
    with pytest.raises(UsageError, match="holds no package"), checked_out("HEAD", tmp_path):
        pass
