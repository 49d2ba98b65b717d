"""Data sets: one reader per file format or source, found by the file's name (see ``registry``).

Readers are asked for through ``load_dataset`` alone, so that everything that enters has passed the same checks.
"""

from __future__ import annotations

from retrieval_bench.datasets._asked import notes_of
from retrieval_bench.datasets._detect import holds_beir
from retrieval_bench.datasets._fingerprint import fingerprint
from retrieval_bench.datasets._load import load_dataset, local_copy, place_name
from retrieval_bench.datasets._neighbors import cached_neighbors, exact_neighbors
from retrieval_bench.datasets._own import own_rows
from retrieval_bench.datasets._query_file import read_queries
from retrieval_bench.datasets._reviews import Representation, Review

__all__ = [
    "Representation",
    "Review",
    "cached_neighbors",
    "exact_neighbors",
    "fingerprint",
    "holds_beir",
    "load_dataset",
    "local_copy",
    "notes_of",
    "own_rows",
    "place_name",
    "read_queries",
]
