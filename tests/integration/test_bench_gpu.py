"""scripts/bench_gpu.py at its small size: what it checks is right, and the table reaches a run's report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_gpu.py"


def test_the_quick_bench_checks_itself_and_is_kept_with_a_run(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--device", "cpu", "--out", str(tmp_path / "out")]
    command += ["--run", str(tmp_path / "run")]
    command += [word for part in ("knn", "kmeans", "peers", "growth") for word in ("--only", part)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert len(facts["lines"]) == 7
    assert all(line["right"] and line["seconds"] > 0 and line["met"] is None for line in facts["lines"])
    assert facts["bandwidth"] > 0
    assert facts["rate"] > 0
    batch = facts["lines"][0]
    assert batch["operations"] == 2 * 20_000 * 64 * 64
    assert batch["error"] < 1e-5
    assert "again 0.0%" in batch["note"]
    (section,) = (tmp_path / "run" / "sections").glob("*.json")
    assert "exact k-NN" in section.read_text()
