"""Inverted lists of torch tensors as a faiss index of the CPU, and back: what one trains the other can serve."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import torch

from retrieval_bench.device.choose import choose_device
from retrieval_bench.device.exact import half_squares
from retrieval_bench.device.product_code import CODEWORDS
from retrieval_bench.errors import UsageError
from retrieval_bench.indexes._faiss import METRICS
from retrieval_bench.indexes.torch_ivf import TorchIvf
from retrieval_bench.types import Metric


def to_faiss(index: TorchIvf) -> Any:
    """An IndexIVFFlat, or an IndexIVFPQ, behind its rotation where it has one, with the same lists and codes.

    Vectors kept besides are not handed over.

    Raises:
        UsageError: the index reduces its vectors, or scans them in other than float32, which faiss's lists do not.
    """
    parts = {name: tensor.cpu() for name, tensor in index.tensors.items()}
    if index.params.dim != "all" or ("values" in parts and parts["values"].dtype != torch.float32):
        raise UsageError("only lists of float32 vectors or of product codes, of all dimensions, can be handed to faiss")
    metric = METRICS[index.metric]
    d = parts["centres"].shape[1]
    rotation = parts.get("rotation")
    centres = parts["centres"] if rotation is None else parts["centres"] @ rotation
    quantizer = faiss.IndexFlat(d, metric)
    quantizer.add(centres.numpy())
    if "codes" in parts:
        lists = faiss.IndexIVFPQ(quantizer, d, len(centres), parts["codes"].shape[1], 8, metric)
        faiss.copy_array_to_vector(parts["codewords"].numpy().ravel(), lists.pq.centroids)
        stored = parts["codes"].numpy()
    else:
        lists = faiss.IndexIVFFlat(quantizer, d, len(centres), metric)
        stored = parts["values"].numpy().view(np.uint8)
    lists.own_fields = bool(quantizer.this.disown() or True)  # the lists keep and free their quantizer
    lists.is_trained, lists.ntotal = True, len(stored)
    rows, ends = parts["rows"].numpy().astype(np.int64), parts["sizes"].cumsum(0).tolist()
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        ids, codes = np.ascontiguousarray(rows[start:end]), np.ascontiguousarray(stored[start:end])
        lists.invlists.add_entries(number, end - start, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
    if rotation is None:
        return lists
    turn = faiss.LinearTransform(d, d, False)
    faiss.copy_array_to_vector(rotation.T.contiguous().numpy().ravel(), turn.A)
    turn.is_trained = turn.is_orthonormal = True
    return faiss.IndexPreTransform(turn, lists)


def from_faiss(index: Any, *, device: str | None = None) -> TorchIvf:
    """The lists of an IndexIVFFlat or an 8-bit IndexIVFPQ of residuals, on a device.

    Raises:
        UsageError: another kind of index.
    """
    lists = faiss.downcast_index(index)
    flat, coded = isinstance(lists, faiss.IndexIVFFlat), isinstance(lists, faiss.IndexIVFPQ)
    if not flat and not (coded and lists.pq.nbits == 8 and lists.by_residual):
        raise UsageError(
            f"{type(lists).__name__}: only IndexIVFFlat and 8-bit IndexIVFPQ of residuals can be taken over"
        )
    metric: Metric = "l2" if lists.metric_type == faiss.METRIC_L2 else "ip"
    sizes = [lists.invlists.list_size(number) for number in range(lists.nlist)]
    pairs = [_entries(lists.invlists, number) for number in range(lists.nlist)]
    rows, stored = (np.concatenate(column) for column in zip(*pairs, strict=True))
    tensors = {
        "centres": torch.from_numpy(lists.quantizer.reconstruct_n(0, lists.nlist)),
        "sizes": torch.tensor(sizes, dtype=torch.int64),
        "rows": torch.from_numpy(rows.astype(np.int32)),
    }
    settings: dict[str, Any] = {"lists": lists.nlist, "precision": "float32", "keep": "float32", "rotate": False}
    if flat:
        tensors["values"] = torch.from_numpy(stored.view(np.float32))
        documents = tensors["values"]
    else:
        words = faiss.vector_to_array(lists.pq.centroids).reshape(lists.pq.M, CODEWORDS, -1)
        tensors |= {"codes": torch.from_numpy(stored), "codewords": torch.from_numpy(words)}
        settings |= {"code_bytes": lists.pq.M, "keep": "none"}
        documents = _decoded(tensors)
    if metric == "l2":
        tensors["bias"] = half_squares(documents)
    taken = TorchIvf()
    taken.device = choose_device(device)
    taken.params = TorchIvf.BuildParams.model_validate(settings)
    taken.take(lists.ntotal, lists.d, metric, {name: t.contiguous().to(taken.device) for name, t in tensors.items()})
    return taken


def _entries(invlists: Any, number: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Ids and codes of a list, as copies."""
    size, width = invlists.list_size(number), invlists.code_size
    if not size:
        return np.empty(0, np.int64), np.empty((0, width), np.uint8)
    ids = faiss.rev_swig_ptr(invlists.get_ids(number), size).copy()
    return ids, faiss.rev_swig_ptr(invlists.get_codes(number), size * width).reshape(size, width).copy()


def _decoded(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    of_slot = torch.repeat_interleave(torch.arange(len(tensors["sizes"])), tensors["sizes"])
    spaces = torch.arange(len(tensors["codewords"]))
    return tensors["codewords"][spaces, tensors["codes"].long()].flatten(1) + tensors["centres"][of_slot]
