"""Queries stored with a built system, and the answers it gave: asked again wherever it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retrieval_bench.errors import ArtifactError, DataError
from retrieval_bench.types import FloatArray, Hits, IntArray, Queries

_FILE = "canaries.parquet"
_SCORE_TOLERANCE = 2e-2  # share of the canary's score range: other processors round bf16 and SIMD sums differently


def write_canaries(folder: Path, queries: Queries, hits: Hits, *, vectors: bool) -> None:
    """Store queries and their hits in the folder; their vectors too where the system is asked by vectors."""
    columns: dict[str, Any] = {
        "id": list(queries.ids),
        "rows": hits.rows.tolist(),
        "scores": hits.scores.tolist(),
    }
    if queries.texts is not None:
        columns["text"] = list(queries.texts)
    if queries.vectors is not None and vectors:
        columns["vector"] = queries.vectors.tolist()
    pq.write_table(pa.table(columns), folder / _FILE)


def read_canaries(folder: Path) -> tuple[Queries, Hits] | None:
    """What was stored in the folder; None where nothing was.

    Raises:
        ArtifactError: the file holds something else.
    """
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
        rows = np.array(table["rows"].to_pylist(), np.int64)
        hits = Hits(rows=rows, scores=np.array(table["scores"].to_pylist(), np.float32))
        vectors = np.array(table["vector"].to_pylist(), np.float32) if "vector" in table.column_names else None
        texts = table["text"].to_pylist() if "text" in table.column_names else None
        return Queries(ids=table["id"].to_pylist(), texts=texts, vectors=vectors), hits
    except (KeyError, ValueError, TypeError, pa.ArrowException, DataError) as error:
        raise ArtifactError(f"{path}: does not hold canary queries; export the index again") from error


def same_answer(rows: IntArray, scores: FloatArray, new_rows: IntArray, new_scores: FloatArray) -> bool:
    """Equal hits, where rows whose scores are within rounding of each other may trade places or leave the end."""
    if (rows >= 0).sum() != (new_rows >= 0).sum():
        return False
    valid = rows >= 0
    if not valid.any():
        return True
    known = scores[valid].astype(np.float64)
    tolerance = _SCORE_TOLERANCE * max(float(known.max() - known.min()), 1e-3 * float(np.abs(known).max()))
    if not np.allclose(known, new_scores[valid], rtol=0, atol=tolerance):
        return False
    lost = ~np.isin(rows[valid], new_rows)
    return bool((known[lost] <= known[-1] + tolerance).all())
