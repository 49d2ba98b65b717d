"""The gate from end to end: two revisions of a copy of this package, built and served from their own trees."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import retrieval_bench
from retrieval_bench.cli import app
from retrieval_bench.comparison import judge_speed
from retrieval_bench.regress import Report, regress

PACKAGE = Path(retrieval_bench.__file__).parent
SEARCH = "        vectors = queries.require_vectors()\n        check_k("
FAULTS = {
    "none": "",
    "slow": "        __import__('time').sleep(0.02)\n",
    "of another query": "        vectors = vectors[::-1].copy()\n",
}


def git(folder: Path, *arguments: str) -> None:
    facts = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *facts, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    np.save(folder / "v.npy", np.random.default_rng(0).normal(size=(2_000, 16)).astype(np.float32))
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "as it is")
    return folder


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [("none", None), ("slow", "speed: worse: 0."), ("of another query", "neighbor_recall@10: worse: -0.")],
)
def test_the_head_is_blamed_for_what_was_done_to_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch, fault: str, complaint: str | None
) -> None:
    monkeypatch.setenv("RETRIEVAL_BENCH_HOME", str(repository / "home"))
    engine = repository / PACKAGE.name / "indexes" / "_faiss.py"
    right = engine.read_text()
    assert SEARCH in right
    engine.write_text(right.replace(SEARCH, SEARCH.replace("        check_k(", f"{FAULTS[fault]}        check_k(")))
    try:
        (report,) = regress(
            "HEAD", dataset=str(repository / "v.npy"), indexes=["flat"], tree=repository, threads=1, seconds=0
        )
    finally:
        engine.write_text(right)
    assert report.system == "flat"
    assert report.speed is not None
    assert report.speed.n >= 15
    found = [line for line in report.complaints if fault == "slow" or not line.startswith("speed")]  # 1 in 40 by chance
    assert bool(found) == (complaint is not None), found
    assert not complaint or found[0].startswith(complaint)


@pytest.mark.parametrize(("complaints", "code"), [([], 0), (["speed: worse: 0.9 times"], 1)])
def test_the_command_fails_where_something_is_worse(
    monkeypatch: pytest.MonkeyPatch, complaints: list[str], code: int
) -> None:
    speed = judge_speed([1.0, 1.1, 1.0], [1.1, 1.0, 1.1])
    report = Report(system="flat", complaints=complaints, speed=speed)
    monkeypatch.setattr(
        retrieval_bench.regress, "regress", lambda _base, **asked: asked["on_report"](report) or [report]
    )
    said = CliRunner().invoke(app, ["regress", "--base", "HEAD"])
    assert said.exit_code == code, said.output
    assert ("WORSE" in said.output) == bool(complaints)
    assert "no difference that this test could see" in said.output
