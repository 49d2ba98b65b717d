"""Do the tests see a fault? Draws small changes of the code by a seed, and runs the tests that reach what was changed.

Changes are those of cosmic-ray's operators (a sign, a comparison, a number, a condition ...); what only changes an
annotation, or a guard such as a zip's ``strict``, is none. From each group as many places are drawn, then a change of
the place, so that a long module of many comparisons does not stand for all. Which tests reach a line is measured once
for each group, by coverage with a context per test. A mutant runs in a process forked from one that has the libraries
imported, in a copy of the tree.

    python scripts/mutants.py --sample 300 --out docs/mutants.md
    python scripts/mutants.py --sample 40 --group quality --group choice --out /tmp/mutants.md

An interrupted run goes on from the results beside ``--out``; they hold for one state of a module and its tests.
"""

import argparse
import contextlib
import hashlib
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mutants_drawn import ROOT, Mutant, at_import, change, drawn, mutated, statement

# Modules, and the test files that are to see their faults.
GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "quality": (
        ["quality/*.py"],
        ["unit/test_quality*.py", "unit/test_ties.py", "unit/test_trec_files.py", "unit/test_own_documents.py"],
    ),
    "statistics": (["statistics/*.py"], ["unit/test_statistics*.py"]),
    "budgets": (
        ["budgets.py", "runner/measurements.py", "runner/failure.py", "measure/clock.py", "measure/memory.py"],
        ["unit/test_measure*.py", "unit/test_budget*.py", "unit/test_contention.py", "unit/test_select.py"],
    ),
    "choice": (
        ["runner/select.py", "runner/finals.py", "runner/score.py"],
        ["unit/test_select.py", "unit/test_score.py", "unit/test_finals.py"],
    ),
    "kernels": (["kernels/*.py"], ["unit/test_kernels.py", "unit/test_lvq.py"]),
    "artifact": (
        ["artifact.py", "manifest.py", "arrays.py", "canaries.py"],
        ["unit/test_canaries.py", "integration/test_artifact.py", "integration/test_attacked_artifacts.py"],
    ),
    "readers": (
        ["datasets/*.py"],
        [
            "unit/test_readers_*.py",
            "unit/test_judgments.py",
            "unit/test_own_*.py",
            "unit/test_json_lines.py",
            "unit/test_neighbors.py",
            "unit/test_builtin_datasets.py",
            "unit/test_trec_files.py",
        ],
    ),
}
PRELOADED = ("pytest", "hypothesis.strategies", "numpy", "scipy.stats", "scipy.sparse", "pyarrow.parquet",
             "pyarrow.compute", "pydantic", "duckdb", "typer.testing", "rich.table", "psutil", "pytrec_eval",
             "ir_measures")  # fmt: skip
_OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:retrieval-bench", "--hypothesis-seed=0", "--no-cov", "-W",
            "ignore::pytest.PytestAssertRewriteWarning")  # fmt: skip
MOST_SECONDS = (
    30.0  # of CPU for the tests of one mutant, as they took without one: the quickest that reach the line are run
)


class Reached(NamedTuple):
    """Tests by line of a group's modules ("" where none does), the CPU seconds of each, and their share of a core."""

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]
    share: float

    def tests(self, mutant: Mutant) -> list[str]:
        """The quickest tests that reach the statement; for one that runs at import, those that reach its module."""
        lines = self.lines.get(mutant.module, {})
        found = {test for line in statement(mutant.module, mutant.line) for test in lines.get(line, ())}
        if at_import(mutant.module, mutant.line):
            found = {test for each in lines.values() for test in each}
        ordered = sorted(found - {""}, key=lambda test: (self.seconds.get(test, 0.0), test))
        total = itertools.accumulate(self.seconds.get(test, 0.0) for test in ordered)
        return [test for test, sum_ in zip(ordered, total, strict=True) if sum_ <= MOST_SECONDS] or ordered[:1]


def measured(tree: Path, tests: Sequence[str], folder: Path) -> Reached:
    """Run the tests of a group once, unchanged, with coverage by test.

    Raises:
        SystemExit: they fail as it is.
    """
    from coverage import CoverageData

    told, data = folder / "tests.xml", folder / "coverage"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov=retrieval_bench",
               "--cov-context=test", "--cov-report=", f"--junitxml={told}", "-o", "junit_family=xunit1",
               *tests]  # fmt: skip
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=tree, env={**os.environ, "COVERAGE_FILE": str(data)}, check=False,
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        sys.exit(f"the tests fail without any change:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    share = min(1.0, used / (time.perf_counter() - began))  # of a core: on a busy machine a test takes longer
    seconds = {}
    for case in ET.parse(told).iter("testcase"):  # noqa: S314 - pytest's own file
        seconds[f"{case.get('file')}::{case.get('name')}"] = share * float(case.get("time", 0))
        klass = str(case.get("classname")).rpartition(".")[2]
        seconds[f"{case.get('file')}::{klass}::{case.get('name')}"] = share * float(case.get("time", 0))
    coverage = CoverageData(str(data))
    coverage.read()
    lines = {}
    for file in coverage.measured_files():
        contexts = coverage.contexts_by_lineno(file)
        lines[str(Path(file).relative_to(tree))] = {
            line: sorted({c.rpartition("|")[0] for c in found}) for line, found in contexts.items()
        }
    reached = {test for each in lines.values() for found in each.values() for test in found} - {""}
    while _forked(tree, sorted(reached), 60 + 6 * sum(seconds.values()) / share) != "alive":
        failed = (tree / "failed.txt").read_text(encoding="utf-8").splitlines()
        print(f"left out, for it fails in a forked process without any change: {failed[-1]}", flush=True)
        reached.discard(failed[-1])
    kept = {file: {line: [t for t in found if t in reached] for line, found in each.items()}
            for file, each in lines.items()}  # fmt: skip
    return Reached(kept, seconds, share)


def outcome(tree: Path, mutant: Mutant, tests: Sequence[str], limit: float) -> str:
    """``seen``, ``alive`` or ``timed out`` of the tests run on the mutant, which is put into the tree and taken out."""
    path = tree / mutant.module
    original, times = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(mutated(mutant), encoding="utf-8")
    # Python takes a compiled module for current by time and size; this one's must not be taken.
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**10))
    try:
        return _forked(tree, tests, limit)
    finally:
        path.write_text(original, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


class _Only:
    """A plug-in of pytest: these tests in this order. As arguments, some of their names would not be found."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Name what fails."""
        if report.failed:
            with Path("failed.txt").open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep the tests wanted."""
        items[:] = sorted((i for i in items if i.nodeid in self._place), key=lambda i: self._place[i.nodeid])


def _forked(tree: Path, tests: Sequence[str], limit: float) -> str:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        with (tree / "output.txt").open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        signal.alarm(max(1, int(limit)))
        import hypothesis
        import pytest

        hypothesis.settings.register_profile(
            "mutants", phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate], database=None, deadline=None
        )
        hypothesis.settings.load_profile("mutants")
        code = 3
        try:
            files = dict.fromkeys(test.partition("::")[0] for test in tests)
            code = int(pytest.main([*_OPTIONS, *files], plugins=[_Only(tests)]))
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what the tests have started
    if os.WIFSIGNALED(status):
        return "timed out" if os.WTERMSIG(status) == signal.SIGALRM else "seen"
    return "alive" if os.WEXITSTATUS(status) == 0 else "seen"


def matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files of patterns below a folder, in order."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def text(results: Sequence[dict[str, Any]], seed: int) -> str:
    """The page: how many were seen in each group, and those alive."""
    lines = ["# Faults that the tests see", "",
             f"Made by `python scripts/mutants.py --sample {len(results)} --seed {seed} --out docs/mutants.md`.", "",
             "| group | drawn | seen | alive | share seen |", "|---|---:|---:|---:|---:|"]  # fmt: skip
    groups = [*dict.fromkeys(r["group"] for r in results), "all"]
    for group in groups:
        part = [r for r in results if group in ("all", r["group"])]
        alive = sum(_alive(r) for r in part)
        lines.append(f"| {group} | {len(part)} | {len(part) - alive} | {alive} | {1 - alive / len(part):.0%} |")
    timed = sum(r["outcome"] == "timed out" for r in results)
    lines += ["", f"Seen counts {timed} whose tests did not end in time.", "", "## Alive", ""]
    lines += [f"- {r['module']}:{r['line']}: {r['change']}" for r in results if _alive(r)]
    return "\n".join([*lines, ""])


def _alive(result: dict[str, Any]) -> bool:
    return str(result["outcome"]).startswith("alive")


def state(path: Path, tests: Sequence[Path]) -> str:
    """What the outcome of a module's mutants depends on, as far as it is looked at."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in (path, *tests))).hexdigest()[:16]


def judged(arguments: argparse.Namespace, tree: Path, folder: Path, known: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Draw and try the mutants of each group."""
    groups = arguments.group or list(GROUPS)
    for place, group in enumerate(groups):
        count = (arguments.sample + len(groups) - 1 - place) // len(groups)
        patterns, test_patterns = GROUPS[group]
        modules, tests = matching(ROOT / "retrieval_bench", patterns), matching(ROOT / "tests", test_patterns)
        mutants = drawn(modules, count, random.Random(f"{arguments.seed} {group}"))  # noqa: S311 - not for secrets
        keys = {m: json.dumps([*m, state(ROOT / m.module, tests)]) for m in mutants}
        reached = None
        for mutant in mutants:
            if (key := keys[mutant]) not in known:
                if reached is None:
                    reached = measured(tree, [str(t.relative_to(ROOT)) for t in tests], folder)
                chosen = reached.tests(mutant)
                limit = 60 + 6 * sum(reached.seconds.get(test, 1.0) for test in chosen) / reached.share
                known[key] = outcome(tree, mutant, chosen, limit) if chosen else "alive, not run"
            yield {"group": group, **mutant._asdict(), "outcome": known[key], "change": change(mutant)}


def main(arguments: argparse.Namespace) -> None:
    """Try the sample and write the page, its results beside it."""
    kept = arguments.out.with_suffix(".json")
    known: dict[str, str] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name).resolve()
        tree = folder / "tree"
        for part in (
            "retrieval_bench",
            "tests",
            "datasets",
            "indexes",
            "scripts",
            "docs",
            "pyproject.toml",
            "README.md",
        ):
            place = ROOT / part
            (shutil.copytree if place.is_dir() else shutil.copy)(place, tree / part if place.is_dir() else tree)
        os.environ["PYTHONPATH"] = str(tree)
        for module in PRELOADED:
            importlib.import_module(module)
        results = []
        for result in judged(arguments, tree, folder, known):
            results.append(result)
            kept.write_text(json.dumps(known, indent=0), encoding="utf-8")
            print(
                f"{time.strftime('%X')} {result['outcome']:9} {result['module']}:{result['line']} {result['change']}",
                flush=True,
            )
    arguments.out.write_text(text(results, arguments.seed), encoding="utf-8")
    print(text(results, arguments.seed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=300, help="mutants in all")
    parser.add_argument("--group", action="append", choices=GROUPS, help="of these groups only; repeat for more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="page to write; results go beside it as .json")
    main(parser.parse_args())
