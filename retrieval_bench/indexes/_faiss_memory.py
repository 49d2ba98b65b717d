"""Analytic bytes of a faiss index, read off its structure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import faiss

LIST_BYTES = 48  # two vector headers, of the codes and of the ids, that each inverted list has beside its content
_BLOCK = 32  # vectors that a fast scan handles together; the last block of a list is padded


def bytes_by_part(index: Any) -> dict[str, int]:
    """Bytes of all that answering a query needs.

    Args:
        index: a faiss index on the host: flat, scalar, IVF flat or PQ, HNSW, and these behind a transform or a refine.

    Returns:
        Bytes by part: ``codes`` (original vectors too, where they are what is scanned), ``ids``, ``centroids`` of the
        lists, ``lists`` (their headers), ``codebooks``, ``rotation``, ``graph``, ``originals`` kept for re-ranking.

    Raises:
        TypeError: a kind of index that is not known here.
    """
    index = faiss.downcast_index(index)
    parts: Counter[str] = Counter()
    match index:
        case faiss.IndexRefine():
            kept = bytes_by_part(index.refine_index)
            parts.update(bytes_by_part(index.base_index))
            parts.update({"originals": kept.pop("codes"), **kept})
        case faiss.IndexPreTransform():
            parts.update(bytes_by_part(index.index))
            for i in range(index.chain.size()):
                matrix = faiss.downcast_VectorTransform(index.chain.at(i))
                parts["rotation"] += 4 * (matrix.A.size() + matrix.b.size())
        case faiss.IndexHNSW():
            graph = index.hnsw
            links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
            parts.update(bytes_by_part(index.storage))
            parts["graph"] += links
        case faiss.IndexFlat() | faiss.IndexScalarQuantizer():
            parts["codes"] += index.ntotal * index.code_size
            if isinstance(index, faiss.IndexScalarQuantizer) and index.sq.trained.size():
                parts["codebooks"] += 4 * index.sq.trained.size()
        case faiss.IndexIVF() | faiss.IndexIVFFastScan():
            parts.update(_inverted_file(index))
        case _:
            raise TypeError(f"no memory model for {type(index).__name__}")
    return dict(parts)


def _inverted_file(index: Any) -> dict[str, int]:
    sizes = [index.invlists.list_size(i) for i in range(index.nlist)]
    stored = sizes
    if isinstance(index, faiss.IndexIVFFastScan):
        stored = [-(-size // _BLOCK) * _BLOCK for size in sizes]
    parts = {
        "codes": sum(stored) * index.code_size,
        "ids": 8 * sum(sizes),
        "centroids": 4 * index.nlist * index.d,
        "lists": LIST_BYTES * index.nlist,
    }
    if hasattr(index, "pq"):
        parts["codebooks"] = 4 * index.pq.centroids.size()
    if hasattr(index, "precomputed_table") and index.precomputed_table.size():
        parts["tables"] = 4 * index.precomputed_table.size()
    return parts


def fast_scan_rows(n: int, lists: int) -> int:
    """The most rows that the padded lists of a fast-scan index of n vectors can hold."""
    return min(n * _BLOCK, n + (_BLOCK - 1) * lists)
