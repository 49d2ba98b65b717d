"""Queries stored with a built system, and the answers it gave: asked again wherever it is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retrieval_bench.arrays import load_array, load_strings, save_array, save_strings
from retrieval_bench.types import FloatArray, Hits, IntArray, Queries

_FOLDER = "canaries"
_SCORE_TOLERANCE = 2e-2  # share of the canary's score range: other processors round bf16 and SIMD sums differently


def write_canaries(folder: Path, queries: Queries, hits: Hits, *, vectors: bool) -> None:
    """Store queries and their hits in the folder; their vectors too where the system is asked by vectors."""
    own = folder / _FOLDER
    own.mkdir()
    save_strings(own, "ids", list(queries.ids))
    save_array(own / "rows.npy", hits.rows)
    save_array(own / "scores.npy", np.where(hits.rows < 0, np.float32(0), hits.scores))  # -inf is no value of a file
    if queries.texts is not None:
        save_strings(own, "texts", queries.texts)
    if queries.vectors is not None and vectors:
        save_array(own / "vectors.npy", queries.vectors)


def read_canaries(folder: Path, documents: int) -> tuple[Queries, Hits] | None:
    """What was stored in the folder of an index of so many documents; None where nothing was.

    Raises:
        ArtifactError: the files hold something else.
    """
    own = folder / _FOLDER
    if not own.exists():
        return None
    ids = load_strings(own, "ids")
    sizes = {"m": len(ids)}
    rows = load_array(own / "rows.npy", np.int64, ("m", "k"), sizes, low=-1, high=documents)
    scores = load_array(own / "scores.npy", np.float32, ("m", "k"), sizes)
    vectors, texts = own / "vectors.npy", own / "texts.npy"
    queries = Queries(
        ids=ids,
        texts=load_strings(own, "texts", len(ids)) if texts.exists() else None,
        vectors=load_array(vectors, np.float32, ("m", "d"), sizes) if vectors.exists() else None,
    )
    return queries, Hits(rows=rows, scores=np.where(rows < 0, np.float32(-np.inf), scores))


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
