"""The best groups of every query, without a sort: by a tree of maxima."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from retrieval_bench.device.products import GROUP

_FAN = 32  # nodes under one of the next level
_WIDEST = 4096  # maxima from which the best are taken directly


def best_groups(maxima: torch.Tensor, wanted: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The groups with the largest maxima.

    The ``wanted`` largest leaves lie under the ``wanted`` largest nodes of every level above. So only those are opened,
    and what is compared at each level is ``wanted * 32`` numbers rather than all.

    Args:
        maxima: (m, g) float32.
        wanted: groups of each query.

    Returns:
        (m, min(wanted, g)) int64 groups, best first, and (m,) float32: no group that is left out has a larger maximum
        than this (-inf where none is left out).
    """
    groups = maxima.shape[1]
    if groups <= max(_WIDEST, wanted * _FAN):
        best = maxima.topk(min(wanted, groups), dim=1)
        none_left = torch.full((len(maxima),), -torch.inf, device=maxima.device)
        return best.indices, best.values[:, -1] if wanted < groups else none_left
    leaves = pad(maxima, (0, -groups % _FAN), value=-torch.inf)
    nodes, _ = best_groups(leaves.view(len(leaves), -1, _FAN).amax(dim=2), wanted)
    below = (nodes[:, :, None] * _FAN + torch.arange(_FAN, device=maxima.device)).flatten(1)
    best = leaves.gather(1, below).topk(wanted, dim=1)
    return below.gather(1, best.indices), best.values[:, -1]


def members(groups: torch.Tensor, n: int) -> torch.Tensor:
    """(m, g * GROUP) int64 documents of groups; -1 for those beyond the n that there are."""
    inside = (groups[:, :, None] * GROUP + torch.arange(GROUP, device=groups.device)).flatten(1)
    return inside.masked_fill_(inside >= n, -1)


def top(scores: torch.Tensor, rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best rows and scores of each line, padded with -1 and -inf where a line is shorter than k."""
    best = scores.topk(min(k, scores.shape[1]), dim=1)
    return _padded(rows.gather(1, best.indices), best.values, k)


def ranked(scores: torch.Tensor, rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``top``, with equal scores in the order of rows, also where they share the k-th place."""
    rows, order = rows.sort(dim=1)
    scores, order = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return _padded(rows.gather(1, order[:, :k]), scores[:, :k], k)


def _padded(rows: torch.Tensor, scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    short = k - scores.shape[1]
    return (pad(rows, (0, short), value=-1), pad(scores, (0, short), value=-torch.inf)) if short > 0 else (rows, scores)
