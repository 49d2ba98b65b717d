"""Matrix products that keep little: the best of each group of documents, chosen scores, the nearest centre.

Each function has a Triton kernel (``_triton.py``) and a torch form of the same meaning. No form holds the whole matrix
of scores: a block of it lives in registers, or in ``_BLOCK_SCORES`` values.
"""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

import torch
from torch.nn.functional import pad

from retrieval_bench.device.operand import Operand
from retrieval_bench.types import Metric

GROUP = 32  # documents that share one kept score
INTERPRETED = False  # kernels on the CPU too, in Triton's interpreter: for tests
_BLOCK_SCORES = 1 << 22
_BLOCK_VALUES = 1 << 24  # of gathered vectors ...
_BLOCK_DOUBLES = 1 << 20  # ... and in float64


@cache
def _compiled() -> ModuleType | None:
    try:
        from retrieval_bench.device import _triton
    except ImportError:  # torch without Triton: Windows, or a build for the CPU
        return None
    return _triton


def kernels(device: torch.device) -> ModuleType | None:
    """The Triton kernels where they run: on a GPU, unless ``RETRIEVAL_BENCH_NATIVE=0`` asks for plain torch."""
    wanted = device.type == "cuda" or INTERPRETED
    return _compiled() if wanted and os.environ.get("RETRIEVAL_BENCH_NATIVE") != "0" else None


def group_max(queries: Operand, documents: Operand) -> torch.Tensor:
    """The best score of every ``GROUP`` consecutive documents.

    The k documents with the best scores are among the k groups with the best maxima: so a search reads one number in
    ``GROUP``, and never sorts a score.

    Args:
        queries: m rows without bias.
        documents: n rows of the same type and dimension.

    Returns:
        (m, ceil(n / GROUP)) float32.
    """
    native = kernels(queries.values.device)
    if native is not None:
        found: torch.Tensor = native.group_max(queries, documents)
        return found
    m, n = len(queries), len(documents)
    best = torch.empty((m, -(-n // GROUP)), device=queries.values.device)
    step = max(1, _BLOCK_SCORES // max(1, m) // GROUP) * GROUP
    for start in range(0, n, step):
        scores = products(queries, documents[start : start + step])
        if short := -scores.shape[1] % GROUP:
            scores = pad(scores, (0, short), value=-torch.inf)
        best[:, start // GROUP : (start + scores.shape[1]) // GROUP] = scores.view(m, -1, GROUP).amax(dim=2)
    return best


def products(queries: Operand, documents: Operand) -> torch.Tensor:
    """(m, n) float32 scores of all pairs: for blocks of them, and for the tests."""
    scores = queries.values.float() @ documents.values.float().T
    if documents.scale is not None:
        scores *= documents.scale
    if queries.scale is not None:
        scores *= queries.scale[:, None]
    if documents.bias is not None:
        scores += documents.bias
    return scores


def chosen_scores(queries: torch.Tensor, documents: torch.Tensor, slots: torch.Tensor, metric: Metric) -> torch.Tensor:
    """Scores of chosen documents, in float32.

    Args:
        queries: (m, d) float32.
        documents: (n, d) float32, bfloat16 or float16.
        slots: (m, c) int64 documents of each query; a negative one has the score -inf.
        metric: inner product, or under ``l2`` minus the squared distance.

    Returns:
        (m, c) float32.
    """
    native = kernels(queries.device)
    if native is not None:
        found: torch.Tensor = native.chosen_scores(queries, documents, slots, metric == "l2")
        return found
    scores = torch.empty(slots.shape, device=queries.device)
    step = max(1, _BLOCK_VALUES // max(1, slots.shape[1] * documents.shape[1]))
    for start in range(0, len(slots), step):
        part = slice(start, start + step)
        taken, asked = documents[slots[part].clamp_min(0)].float(), queries[part]  # a copy, which is written to
        if metric == "l2":
            taken -= asked[:, None]
            scores[part] = taken.square_().sum(dim=2).neg_()
        else:
            scores[part] = torch.bmm(taken, asked[:, :, None])[:, :, 0]
    return scores.masked_fill_(slots < 0, -torch.inf)


def exact_scores(queries: torch.Tensor, documents: torch.Tensor, slots: torch.Tensor, metric: Metric) -> torch.Tensor:
    """As chosen_scores, in float64: (m, c) of float32 documents, rounded to the 24 bits that float32 has.

    A score depends on its two vectors alone, to the last bit: equal documents get equal scores. So rounded it ranks as
    the float32 that a caller sees, but where float32 would end in 0 or infinity.
    """
    scores = torch.empty(slots.shape, dtype=torch.float64, device=queries.device)
    step = max(1, _BLOCK_DOUBLES // max(1, slots.shape[1] * documents.shape[1]))
    for start in range(0, len(slots), step):
        part = slice(start, start + step)
        taken, asked = documents[slots[part].clamp_min(0)].double(), queries[part, None].double()
        # Sums along each pair's own values, no matrix product: where the pair stands does not matter.
        if metric == "l2":
            taken -= asked
            scores[part] = taken.square_().sum(dim=2).neg_()
        else:
            taken *= asked
            scores[part] = taken.sum(dim=2)
    split = scores * (2.0**29 + 1)  # Dekker's: what is left of 53 bits are the upper 24
    return (split - (split - scores)).masked_fill_(slots < 0, -torch.inf)


def nearest(points: Operand, centres: Operand) -> tuple[torch.Tensor, torch.Tensor]:
    """The centre with the best score for every point; of equal ones the first.

    Args:
        points: n rows without bias.
        centres: rows of the same type; a bias of minus half their squared length makes this the Euclidean nearest.

    Returns:
        (n,) int64 centres and (n,) float32 scores.
    """
    native = kernels(points.values.device)
    if native is not None:
        which, scores = native.nearest(points, centres)
        return which, scores
    step = max(1, _BLOCK_SCORES // max(1, len(centres)))
    found = [products(points[start : start + step], centres).max(dim=1) for start in range(0, len(points), step)]
    if not found:
        return torch.empty(0, dtype=torch.int64), torch.empty(0)
    return torch.cat([best.indices for best in found]), torch.cat([best.values for best in found])
