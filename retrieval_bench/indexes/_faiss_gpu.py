"""Which faiss indexes go to a GPU, and how. Without a GPU, or without faiss-gpu, everything stays on the CPU.

Clustering is trained on the GPU for every inverted file. Filling and searching move there for flat, IVF-flat and 8-bit
IVF-PQ indexes (behind a rotation too), and for CAGRA. Fast scan, HNSW and re-ranking stay on the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import faiss

from retrieval_bench.errors import UsageError

_LARGEST_SELECTION = 2048  # hits or lists that faiss's GPU kernels can select
_PQ_BYTES = frozenset({1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96})  # code sizes with a GPU kernel


def available() -> bool:
    """Whether this faiss was built for GPUs and finds one."""
    return hasattr(faiss, "get_num_gpus") and faiss.get_num_gpus() > 0


def has_cuvs() -> bool:
    """Whether this faiss was built with cuVS, which has CAGRA."""
    return "CUVS" in faiss.get_compile_options()


@cache
def resources() -> Any:
    """Streams and scratch memory, one set for the process: each set reserves over a gigabyte."""
    return faiss.StandardGpuResources()


def movable(index: Any) -> bool:
    """Whether faiss can fill and search this index on a GPU."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return movable(index.index)
    if isinstance(index, faiss.IndexIVFPQ):
        return index.pq.nbits == 8 and index.pq.M in _PQ_BYTES
    if isinstance(index, faiss.IndexHNSWCagra):
        return has_cuvs()
    return type(index) in (faiss.IndexFlat, faiss.IndexFlatIP, faiss.IndexFlatL2, faiss.IndexIVFFlat)


def to_device(index: Any) -> tuple[Any, str]:
    """The index where it will be searched, and the name of that device: ``cuda`` or ``cpu``."""
    if available() and movable(index):
        return faiss.index_cpu_to_gpu(resources(), 0, index), "cuda"
    return index, "cpu"


def to_host(index: Any, device: str) -> Any:
    """The index on the CPU: itself when it is there, else a copy that can be saved."""
    return faiss.index_gpu_to_cpu(index) if device == "cuda" else index


@contextlib.contextmanager
def training(index: Any) -> Iterator[None]:
    """Cluster on the GPU while the index is trained; its own seed and settings stay in force."""
    base = index.base_index if isinstance(index, faiss.IndexRefine) else index
    ivf = faiss.try_extract_index_ivf(base) if available() else None
    if ivf is None:
        yield
        return
    clustering = faiss.index_cpu_to_gpu(resources(), 0, faiss.IndexFlat(ivf.d, ivf.metric_type))
    ivf.clustering_index = clustering  # faiss keeps the bare pointer: the name above keeps the object alive
    try:
        yield
    finally:
        ivf.clustering_index = None


def check_limits(k: int, params: Any, built: Any) -> None:
    """Refuse a search that the GPU kernels cannot do.

    Args:
        k: hits asked for.
        params: of the search.
        built: parameters of the index; it scans no more lists than it has.

    Raises:
        UsageError: k or nprobe is too large.
    """
    nprobe = min(getattr(params, "nprobe", 1), getattr(built, "lists", 1))
    for name, value in (("k", k), ("nprobe", nprobe)):
        if value > _LARGEST_SELECTION:
            raise UsageError(f"{name} = {value}: on a GPU faiss selects at most {_LARGEST_SELECTION}; hide the GPU")
