"""Small data sets in the file formats of the readers, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DOCUMENTS = (
    {"_id": "d1", "title": "Cranes", "text": "Birds that dance."},
    {"_id": "d2", "title": "", "text": "Machines that lift."},
    {"_id": "d3", "title": "Herons", "text": "Birds that wait."},
)
QUERIES = ({"_id": "q1", "text": "dancing birds"}, {"_id": "q2", "text": "lifting"}, {"_id": "q3", "text": "waiting"})
QRELS: Mapping[str, Sequence[tuple[str, str, object]]] = {
    "test": [("q1", "d1", 2), ("q1", "d3", 0), ("q2", "d2", 1)],
    "train": [("q3", "d3", 1)],
}


def write_jsonl(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_beir(
    folder: Path,
    *,
    documents: Sequence[Mapping[str, object]] = DOCUMENTS,
    queries: Sequence[Mapping[str, object]] = QUERIES,
    qrels: Mapping[str, Sequence[tuple[str, str, object]]] = QRELS,
) -> Path:
    (folder / "qrels").mkdir(parents=True)
    write_jsonl(folder / "corpus.jsonl", documents)
    write_jsonl(folder / "queries.jsonl", queries)
    for split, rows in qrels.items():
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_vecs(path: Path, rows: npt.NDArray[Any]) -> Path:
    """Write (n, d) rows as TEXMEX does; the suffix tells the type of the values."""
    values = rows.astype({".fvecs": "<f4", ".ivecs": "<i4", ".bvecs": "u1"}[path.suffix])
    header = np.int32(rows.shape[1]).astype("<i4").tobytes()
    path.write_bytes(b"".join(header + row.tobytes() for row in values))
    return path


def write_bin(path: Path, rows: npt.NDArray[Any], distances: npt.NDArray[Any] | None = None) -> Path:
    """Write (n, d) rows as big-ann-benchmarks does, with the distances of a neighbor file behind them."""
    tail = b"" if distances is None else distances.astype("<f4").tobytes()
    path.write_bytes(np.array(rows.shape, "<u4").tobytes() + rows.tobytes() + tail)
    return path


def gaussian(n: int, d: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
