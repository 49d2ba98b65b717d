"""faiss against the torch indexes for bench_gpu: the same vectors and lists, in turns; faiss-gpu where it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import faiss
import numpy as np
import torch

from retrieval_bench.indexes import _faiss_gpu as gpu
from retrieval_bench.indexes._torch_faiss import to_faiss
from retrieval_bench.indexes.torch_flat import TorchFlat
from retrieval_bench.indexes.torch_ivf import TorchIvf
from retrieval_bench.measure.clock import timed
from retrieval_bench.types import Budget, Corpus, Queries, RowIds

K, ROUNDS, NPROBE, RECALL = 10, 7, 32, 0.99


def against_faiss(
    vectors: torch.Tensor, queries: torch.Tensor, device: torch.device
) -> Iterator[tuple[str, float, float, float, float]]:
    """Work, our seconds, faiss's seconds, our recall, and how many times faster ours is wanted to be."""
    x, q = vectors.cpu().numpy(), queries.cpu().numpy()
    corpus, asked = Corpus(ids=RowIds(len(x)), vectors=x), Queries(ids=RowIds(len(q)), vectors=q)
    where = "faiss-gpu" if gpu.available() else "faiss on the CPU"
    flat = faiss.IndexFlatIP(x.shape[1])
    flat, _ = gpu.to_device(flat)
    flat.add(x)
    _, exact = flat.search(q, K)

    reduced = built(TorchFlat, corpus, device, dim=x.shape[1] // 4, precision="int8", projection="pca")
    for groups in (16, 24, 32, 64, 128, 256):
        wanted = reduced.SearchParams.model_validate({"groups": groups})
        if recall(reduced.search(asked, K, wanted).rows, exact) >= RECALL:
            break
    ours, theirs, rows = in_turns(lambda: reduced.search(asked, K, wanted).rows, lambda: flat.search(q, K)[1])
    yield f"reduced search, {groups} groups, against Flat ({where})", ours, theirs, recall(rows, exact), 2.0

    lists = built(TorchIvf, corpus, device, keep="none", precision="float32")
    peer, _ = gpu.to_device(to_faiss(lists))
    setting = lists.SearchParams.model_validate({"nprobe": NPROBE})
    peer_setting = faiss.SearchParametersIVF(nprobe=NPROBE)
    ours, theirs, rows = in_turns(
        lambda: lists.search(asked, K, setting).rows, lambda: peer.search(q, K, params=peer_setting)[1]
    )
    _, same = peer.search(q, K, params=peer_setting)
    yield f"IVF, the same lists, nprobe {NPROBE} ({where})", ours, theirs, recall(rows, same), 1.0


def built(kind: type[Any], corpus: Corpus, device: torch.device, **settings: Any) -> Any:
    index = kind()
    wanted = kind.BuildParams.model_validate({**settings, "device": device.type})
    index.build(corpus, wanted, Budget(), metric="ip")
    return index


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float, Any]:
    rows = ours()
    theirs()
    pairs = [(timed(ours)[1], timed(theirs)[1]) for _ in range(ROUNDS)]
    return median(p[0] for p in pairs), median(p[1] for p in pairs), rows


def recall(rows: Any, expected: Any) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(expected, rows, strict=True)]))
