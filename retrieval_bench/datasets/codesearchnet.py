"""CodeSearchNet (Husain et al. 2019, arXiv 1909.09436): functions and the docstrings that ask for them, one language.

A language's folder as it is handed out, ``LANGUAGE/final/jsonl/{train,valid,test}/*.jsonl.gz``, or any folder with such
files; plain files are read too. A line has ``code_tokens`` and ``docstring_tokens``, of which document and query are
made (``code`` still holds the docstring), and ``partition``, or else that of the folder its file is in. As in the
original, a query's one relevant document is its own function, and documents are those of the partition that is asked:
``valid`` and ``test`` form one corpus here, and ``train`` is left out unless the card's options name it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from retrieval_bench.datasets._json_lines import json_lines
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard, validated
from retrieval_bench.types import Corpus, Dataset, Frozen, Qrels, Queries

Partition = Literal["train", "valid", "test"]
LANGUAGES = ("python", "java", "javascript", "go", "ruby", "php")
_SPLITS: dict[Partition, str] = {"train": "train", "valid": "tune", "test": "test"}


class Options(Frozen):
    """Settings of the reader."""

    partitions: tuple[Partition, ...] = ("valid", "test")


class Function(NamedTuple):
    """One line: where it stands, its partition, its docstring and its code, both as tokens with blanks between."""

    id: str
    partition: str
    docstring: str
    code: str


@readers.register("codesearchnet")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read one language; functions without a docstring are documents that nobody asks for.

    Raises:
        DataError: no file, no function of the partition ``test``, or a line that cannot be read; names file and line.
    """
    options = validated(Options, card.options, where=f"dataset card {card.name!r}")
    if path is None or not path.is_dir():
        raise DataError(f"{path or card.name}: CodeSearchNet is a folder of .jsonl or .jsonl.gz files per language")
    files = files_of(path)
    if not files:
        raise DataError(f"{path}: holds no .jsonl or .jsonl.gz file of functions")
    found = [
        function for file in files for function in _functions(file, path) if function.partition in options.partitions
    ]
    queries, qrels = {}, {}
    for partition in options.partitions:
        rows = [row for row, f in enumerate(found) if f.partition == partition and f.docstring]
        if not rows:
            continue
        split = _SPLITS[partition]
        queries[split] = Queries(
            ids=[f"docstring:{found[row].id}" for row in rows],
            texts=[found[row].docstring for row in rows],
            split=split,
        )
        qrels[split] = Qrels(
            offsets=np.arange(len(rows) + 1, dtype=np.int64),
            rows=np.array(rows, np.int64),
            grades=np.ones(len(rows), np.int64),
        )
    if "test" not in queries:
        raise DataError(f"{path}: has no function of the partition 'test' with a docstring")
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=Corpus(ids=[f.id for f in found], texts=[f.code for f in found]),
        queries=queries,
        qrels=qrels,
        metric=card.metric or "cos",
    )


def files_of(folder: Path) -> list[Path]:
    """Files of functions below a folder, in the order of their names."""
    return sorted(file for pattern in ("*.jsonl", "*.jsonl.gz") for file in folder.rglob(pattern))


def _functions(file: Path, root: Path) -> Iterator[Function]:
    name = file.relative_to(root).as_posix().partition(".jsonl")[0]
    for number, row in json_lines(file):
        where = f"{file}:{number}"
        partition = row.get("partition", file.parent.name) if isinstance(row, dict) else None
        if partition not in _SPLITS:
            raise DataError(f"{where}: the key 'partition' must be one of {', '.join(_SPLITS)} (got {partition!r:.40})")
        code = _tokens(row, "code_tokens", where)
        if not code:
            raise DataError(f"{where}: the function has no code tokens; remove the line")
        yield Function(f"{name}:{number}", partition, _tokens(row, "docstring_tokens", where), code)


def _tokens(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, list) or not all(isinstance(token, str) for token in value):
        raise DataError(f"{where}: needs the key {key!r} with a list of texts (got {value!r:.40})")
    return " ".join(value).strip()
