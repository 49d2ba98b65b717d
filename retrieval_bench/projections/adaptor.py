"""A Matryoshka adaptor: a rotation learned so that short prefixes keep the neighbors of the whole vectors.

After Yoon et al. 2024 (Matryoshka-Adaptor, arXiv 2407.20243): similarities to the nearest neighbors and to random
documents are kept at every prefix, and pairs of a query and its document rank above other documents. Two things differ.
The map is a rotation instead of a residual network, so all dimensions together still give the exact score, under inner
product and under distance. And similarities are compared as distributions over candidates (relative entropy), not by
their absolute differences, because their order is what is searched for. Training starts from the principal components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from retrieval_bench.device.choose import choose_device
from retrieval_bench.errors import ArtifactError, DataError, UsageError
from retrieval_bench.files import atomic_file
from retrieval_bench.projections._projection import Projection
from retrieval_bench.projections.pca import fit_pca
from retrieval_bench.types import FloatArray, Metric

Pairs = tuple[FloatArray, FloatArray]
"""Queries (p, D) and the documents (p, D) that answer them, row by row."""

_ANCHORS, _CORPUS = 4096, 16_384  # vectors asked, and documents they are compared with: samples of what is given
_NEIGHBORS = 8
_BATCH, _RANDOM = 64, 256
_STEPS, _CHECK = 300, 50
_RATE = 0.02  # over sqrt(D), the size of a rotation's entries
_HELD_OUT = 10  # one anchor in so many is never trained on, and decides which step is kept
_SOFTNESS = 0.5  # of the distribution over candidates, in standard deviations of a query's scores


def fit_adaptor(
    vectors: FloatArray,
    *,
    dims: Sequence[int],
    pairs: Pairs | None = None,
    queries: FloatArray | None = None,
    metric: Metric = "ip",
    seed: int,
    device: str | None = None,
) -> Projection:
    """Learn a rotation whose prefixes keep neighbors; all D dimensions are returned.

    The step with the least loss on held-out anchors is kept, the start (PCA) among them: where nothing is gained the
    result is PCA. One thread takes about 10 seconds for 384 dimensions, whatever n.

    Args:
        vectors: documents (n, D) float32.
        dims: prefixes to train, ascending, each in 1 to D.
        pairs: supervision, where there is any.
        queries: (m, D) of the distribution to come; None takes documents for queries.
        metric: ``ip`` or ``l2``.
        seed: of every random choice; equal seeds give equal adaptors on one machine with one thread.
        device: None is a GPU where there is one.

    Raises:
        UsageError: a prefix out of range.
        DataError: fewer than three documents, or pairs that do not go together.
        UnavailableError: the device is not there.
    """
    n, d = vectors.shape
    if not dims or min(dims) < 1 or max(dims) > d:
        raise UsageError(f"adaptor: prefixes {list(dims)} must be 1 to {d} dimensions")
    if n < 3:
        raise DataError(f"adaptor: {n} vectors have no neighbors to learn from; at least 3 are needed")
    if pairs is not None and not (len(pairs[0]) == len(pairs[1]) > 0 and pairs[0].shape[1] == pairs[1].shape[1] == d):
        raise DataError(f"adaptor: pairs of shapes {pairs[0].shape} and {pairs[1].shape} must both be (p, {d}), p > 0")
    start = fit_pca(vectors, d, seed=seed)
    task = _task(start, vectors, pairs, queries, metric, seed).to(choose_device(device))
    turn = _trained(task, sorted(set(dims)), seed)
    matrix = np.ascontiguousarray(start.query @ turn)
    return Projection(query=matrix, database=matrix, mean=start.mean)


def prefix_loss(
    projection: Projection, queries: FloatArray, vectors: FloatArray, *, dims: Sequence[int], metric: Metric = "ip"
) -> float:
    """What the adaptor minimises, without pairs: the mean over queries (m, D) and prefixes of the relative entropy.

    Of each query's distribution over the documents (n, D) as a prefix gives it, to that of the whole vectors.
    """
    asked = torch.from_numpy(projection.queries(vectors=queries, metric=metric))
    documents = torch.from_numpy(projection.documents(vectors))
    target = _scores(asked, documents, metric)
    return float(_divergence(asked, documents, target, torch.zeros_like(target), dims, metric))


def save_adaptor(path: Path, projection: Projection) -> None:
    """Write an adaptor as safetensors."""
    with atomic_file(path) as temporary:
        save_file({"matrix": projection.query, "mean": projection.mean}, temporary)


def load_adaptor(path: Path) -> Projection:
    """Read what ``save_adaptor`` wrote.

    Raises:
        ArtifactError: missing, cut short, or not an adaptor.
    """
    try:
        tensors = load_file(path)
        matrix, mean = tensors["matrix"], tensors["mean"]
        return Projection(query=matrix, database=matrix, mean=mean)
    except (OSError, KeyError, SafetensorError, DataError) as error:
        raise ArtifactError(f"{path}: cannot be read as an adaptor: {error}") from error


@dataclass(frozen=True)
class _Task:
    """Tensors in the basis of the start: anchors (a, D), documents (c, D), the neighbors (a, k) of each anchor."""

    anchors: torch.Tensor
    documents: torch.Tensor
    neighbors: torch.Tensor
    own: torch.Tensor  # (a,) the document that an anchor is, or -1
    pairs: tuple[torch.Tensor, torch.Tensor] | None
    metric: Metric

    def to(self, device: torch.device) -> _Task:
        """The same on a device."""
        pairs = None if self.pairs is None else (self.pairs[0].to(device), self.pairs[1].to(device))
        return replace(
            self,
            anchors=self.anchors.to(device),
            documents=self.documents.to(device),
            neighbors=self.neighbors.to(device),
            own=self.own.to(device),
            pairs=pairs,
        )


def _task(
    start: Projection, vectors: FloatArray, pairs: Pairs | None, queries: FloatArray | None, metric: Metric, seed: int
) -> _Task:
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(vectors))[:_CORPUS]
    documents = torch.from_numpy(start.documents(vectors[chosen]))
    asked = vectors[chosen[:_ANCHORS]] if queries is None else queries[rng.permutation(len(queries))[:_ANCHORS]]
    anchors = torch.from_numpy(start.queries(np.asarray(asked), metric=metric))
    own = torch.arange(len(anchors)) if queries is None else torch.full((len(anchors),), -1)
    count = min(_NEIGHBORS, len(documents) - 1)
    found = []
    for first in range(0, len(anchors), _BATCH):
        some = slice(first, first + _BATCH)
        scores = _scores(anchors[some], documents, metric)
        scores[torch.arange(len(documents)) == own[some, None]] = -torch.inf
        found.append(scores.topk(count, dim=1).indices)
    paired = None
    if pairs is not None:
        paired = (
            torch.from_numpy(start.queries(pairs[0], metric=metric)),
            torch.from_numpy(start.documents(pairs[1])),
        )
    return _Task(anchors, documents, torch.cat(found), own, paired, metric)


def _trained(task: _Task, dims: Sequence[int], seed: int) -> FloatArray:
    """The rotation (D, D) float32, relative to the start, of the least held-out loss."""
    generator = torch.Generator().manual_seed(seed)
    trained, kept = _split(len(task.anchors))
    paired, kept_pairs = (None, None) if task.pairs is None else _split(len(task.pairs[0]))
    d, device = task.documents.shape[1], task.documents.device
    random = torch.randint(len(task.documents), (_RANDOM,), generator=generator).to(device)  # same for all checks
    turn = torch.eye(d, requires_grad=True, device=device)
    optimizer = torch.optim.Adam([turn], lr=_RATE / d**0.5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    best, least = turn.detach().clone(), torch.inf
    for step in range(_STEPS + 1):
        if step % _CHECK == 0:
            with torch.no_grad():
                loss = float(_loss(task, turn, kept, random, dims, pairs=kept_pairs))
            if loss < least:
                best, least = turn.detach().clone(), loss
        batch = trained[torch.randint(len(trained), (_BATCH,), generator=generator)]
        drawn = torch.randint(len(task.documents), (_RANDOM,), generator=generator).to(device)
        pairs = None if paired is None else paired[torch.randint(len(paired), (_BATCH,), generator=generator)]
        optimizer.zero_grad()
        _loss(task, turn, batch, drawn, dims, pairs=pairs).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        with torch.no_grad():  # one Newton-Schulz step brings a nearly orthogonal matrix back (Bjorck and Bowie 1971)
            turn.copy_(1.5 * turn - 0.5 * turn @ (turn.T @ turn))
    left, _, right = np.linalg.svd(best.cpu().numpy().astype(np.float64))
    return np.asarray(left @ right, np.float32)


def _split(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Places to train on, and those held out; the same ones where there are too few to hold any out."""
    places = torch.arange(count)
    if count < 2 * _HELD_OUT:
        return places, places
    return places[places % _HELD_OUT != 0], places[::_HELD_OUT][: 4 * _BATCH]


def _loss(
    task: _Task,
    turn: torch.Tensor,
    batch: torch.Tensor,
    random: torch.Tensor,
    dims: Sequence[int],
    *,
    pairs: torch.Tensor | None,
) -> torch.Tensor:
    """Loss of anchors (b,): their neighbors, those of the other anchors and random documents are the candidates."""
    candidates = torch.unique(torch.cat([task.neighbors[batch].flatten(), random]))
    asked, documents = task.anchors[batch], task.documents[candidates]
    target = _scores(asked, documents, task.metric)
    left_out = torch.where(candidates == task.own[batch, None], -torch.inf, 0.0)
    used = turn[:, : dims[-1]]
    loss = _divergence(asked @ used, documents @ used, target, left_out, dims, task.metric)
    if pairs is None or task.pairs is None:
        return loss
    asking, answers = (side[pairs] @ used for side in task.pairs)
    truth = torch.arange(len(pairs), device=asking.device)
    softness = _softness(target)
    for dim in dims:
        scores = _scores(asking[:, :dim], answers[:, :dim], task.metric) / softness
        loss = loss + torch.nn.functional.cross_entropy(scores, truth) / len(dims)
    return loss


def _divergence(
    asked: torch.Tensor,
    documents: torch.Tensor,
    target: torch.Tensor,
    left_out: torch.Tensor,
    dims: Sequence[int],
    metric: Metric,
) -> torch.Tensor:
    """Mean relative entropy of the prefixes' distributions to the target (b, c); ``left_out`` is -inf or 0."""
    softness = _softness(target)
    wanted = torch.softmax(target / softness + left_out, dim=1)
    logs = torch.log(wanted.clamp_min(1e-30))
    total: Any = 0.0
    for dim in dims:
        scores = _scores(asked[:, :dim], documents[:, :dim], metric) / softness + left_out
        given = torch.log_softmax(scores, dim=1)
        gap = torch.where(wanted > 0, wanted * (logs - given), 0.0)
        total = total + gap.sum(dim=1).mean()
    return torch.as_tensor(total / len(dims))


def _softness(target: torch.Tensor) -> torch.Tensor:
    return (_SOFTNESS * target.std(dim=1).mean()).clamp_min(torch.finfo(torch.float32).tiny)


def _scores(asked: torch.Tensor, documents: torch.Tensor, metric: Metric) -> torch.Tensor:
    products = asked @ documents.T
    return 2 * products - (documents**2).sum(dim=1) if metric == "l2" else products
