"""The README's Python runs, and its command lines are ones that the program takes."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer

import retrieval_bench as rb
from retrieval_bench.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("retrieval-bench ")
]


@pytest.mark.parametrize("block", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = ["parse a date", "open a file", "sort a list", "read a line", "join strings", "hash bytes", "walk a tree",
             "split a path", "send mail", "copy a folder", "count words"]  # fmt: skip
    rb.build("bm25", texts=texts).save("my-index")
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - our own README


def test_there_are_blocks() -> None:
    assert len(PYTHON) >= 3
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_command_lines_parse(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    group = typer.main.get_command(app)
    command = group.commands[name]  # type: ignore[attr-defined]
    command.make_context(name, list(arguments))  # raises on an unknown option or a missing argument


def test_vectors_of_other_types_are_taken() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 8))
    searcher = rb.build("flat", vectors.astype(np.float16), metric="l2")
    assert searcher.search(vectors[:2], k=1).ids == (("0",), ("1",))
