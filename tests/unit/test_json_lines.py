"""JSON lines that Python cannot hold are refused by file and line, by every reader of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_files import write_beir

from retrieval_bench.datasets import load_dataset
from retrieval_bench.datasets.screening import read_topics
from retrieval_bench.errors import DataError

BAD = {"[" * 100_000: "nested too deep", "1" * 5_000: "not valid JSON", '{"a": ': "at column 7"}


@pytest.mark.parametrize("line", BAD, ids=["deep", "long number", "cut"])
def test_every_reader_refuses_them(tmp_path: Path, line: str) -> None:
    folder = write_beir(tmp_path / "birds")
    (folder / "corpus.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=rf"corpus\.jsonl:2: .*{BAD[line]}"):
        load_dataset(str(folder))
    (tmp_path / "topics.jsonl").write_text(line)
    with pytest.raises(DataError, match=rf"topics\.jsonl:1: .*{BAD[line]}"):
        read_topics(tmp_path)
    functions = tmp_path / "code" / "final" / "jsonl"
    functions.mkdir(parents=True)
    (functions / "test.jsonl").write_text(line)
    with pytest.raises(DataError, match=rf"test\.jsonl:1: .*{BAD[line]}"):
        load_dataset(str(tmp_path / "code"))
