"""A file of queries alone: one a line, or JSON lines as in BEIR's ``queries.jsonl``; plain or gzipped."""

from __future__ import annotations

from pathlib import Path

from retrieval_bench.datasets._lines import numbered_lines
from retrieval_bench.datasets.beir import jsonl_queries
from retrieval_bench.errors import DataError


def read_queries(path: Path) -> list[str]:
    """Texts of the queries, in the order of the file; empty lines are none.

    Args:
        path: JSON lines where its name ends in ``.jsonl`` or ``.jsonl.gz``, else one query a line.

    Raises:
        DataError: there is no such file, no query in it, or a line that cannot be read; names the file and line.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; give one query a line, or a queries.jsonl as BEIR has it")
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return list(jsonl_queries(path)[0].values())
    texts = [line.strip() for _, line in numbered_lines(path) if line.strip()]
    if not texts:
        raise DataError(f"{path}: holds no query")
    return texts
