"""k-means on a device: Lloyd's rounds, seeded, of one set of points or of many at once."""

from __future__ import annotations

import numpy as np
import torch

from retrieval_bench.device.choose import Precision
from retrieval_bench.device.exact import half_squares
from retrieval_bench.device.operand import as_operand
from retrieval_bench.device.products import nearest
from retrieval_bench.errors import DataError

_SPLIT = 1.0 / 1024  # relative distance of the halves of a cluster that is split, as faiss has it


def kmeans(
    points: torch.Tensor, count: int, *, rounds: int, seed: int, precision: Precision = "float32"
) -> torch.Tensor:
    """Centres of clusters by Lloyd's algorithm, from ``count`` different points drawn with the seed.

    A cluster that loses all points takes one half of a large one. On the CPU the seed alone decides the result; on a
    GPU sums are added in varying order, so that centres differ by rounding.

    Args:
        points: (n, d) float32.
        count: of clusters.
        rounds: of assignment and averaging.
        seed: of the first centres.
        precision: of the products that assign points; averages are taken in float32.

    Returns:
        (count, d) float32.

    Raises:
        DataError: fewer points than clusters.
    """
    check_enough(len(points), count)
    first = np.random.default_rng(seed).choice(len(points), count, replace=False)
    centres = points[torch.from_numpy(np.sort(first)).to(points.device)]
    rounded = as_operand(points, precision)
    for _ in range(rounds):
        which, _ = nearest(rounded, as_operand(centres, precision, half_squares(centres)))
        sizes = torch.bincount(which, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, which, points)
        centres = _split(sums / sizes.clamp_min(1)[:, None], sizes)
    return centres


def assign(points: torch.Tensor, centres: torch.Tensor, precision: Precision = "float32") -> torch.Tensor:
    """(n,) int64: the nearest centre of each point."""
    return nearest(as_operand(points, precision), as_operand(centres, precision, half_squares(centres)))[0]


def without_empty(centres: torch.Tensor, of_point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The centres (c, d) that some point has, and (n,) int64 the number among them of each point's centre.

    Fewer different points than centres leave some without any; a search that probed those would find nothing.
    """
    kept, numbers = torch.unique(of_point, return_inverse=True)
    return centres[kept], numbers


def check_enough(n: int, count: int) -> None:
    """Refuse fewer points than clusters, with a DataError."""
    if n < count:
        raise DataError(f"{n} vectors are too few to train {count} clusters; use fewer, or an exhaustive search")


def kmeans_many(points: torch.Tensor, count: int, *, rounds: int, start: torch.Tensor) -> torch.Tensor:
    """Lloyd's rounds for several sets of points at once: the sub-spaces of a product quantizer.

    Args:
        points: (s, n, d) float32.
        count: clusters of each set.
        rounds: as in ``kmeans``.
        start: (s, count, d) first centres.

    Returns:
        (s, count, d) float32.
    """
    sets, _, d = points.shape
    centres = start
    shift = torch.arange(sets, device=points.device)[:, None] * count
    for _ in range(rounds):
        which = assign_many(points, centres) + shift
        sizes = torch.bincount(which.flatten(), minlength=sets * count)
        sums = torch.zeros((sets * count, d), device=points.device)
        sums.index_add_(0, which.flatten(), points.flatten(0, 1))
        means = (sums / sizes.clamp_min(1)[:, None]).view(sets, count, d)
        centres = torch.stack([_split(c, s) for c, s in zip(means, sizes.view(sets, count), strict=True)])
    return centres


def assign_many(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """(s, n) int64: the nearest of (s, count, d) centres for each of (s, n, d) points."""
    bias = -0.5 * centres.square().sum(dim=2)
    step = max(1, (1 << 24) // (points.shape[0] * centres.shape[1]))
    parts = [
        torch.baddbmm(bias[:, None], points[:, start : start + step], centres.transpose(1, 2)).argmax(dim=2)
        for start in range(0, points.shape[1], step)
    ]
    return torch.cat(parts, dim=1)


def _split(centres: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    empty = torch.nonzero(sizes == 0)[:, 0]
    if len(empty):
        large = sizes.argsort(descending=True, stable=True)[: len(empty)]
        large = large.repeat(-(-len(empty) // max(1, len(large))))[: len(empty)]
        sign = torch.ones(centres.shape[1], device=centres.device)
        sign[1::2] = -1
        centres[empty] = centres[large] * (1 + _SPLIT * sign)
        centres[large] = centres[large] * (1 - _SPLIT * sign)
    return centres
