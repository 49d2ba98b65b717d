"""Which sources of a figure's spread the runs at hand can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def told_apart(labels: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The factors that leave something for ``statistics.variance_components`` to find.

    Left out are a factor that does not vary, one that varies with every value, and one whose groups differ in nothing
    that coarser factors do not know already: where each machine made one run, the run is the machine. Of two that are
    one the first stays. Where every seed was run on every machine the run stays, for some runs may differ more than
    machine and seed together explain; without it that would be laid to the machine and the seed.

    Args:
        labels: by factor, the group of each of n values.

    Returns:
        Those that stay, in the order given.
    """
    sizes = {name: len(set(groups)) for name, groups in labels.items()}
    stays: list[str] = []
    known, rank = np.ones((len(next(iter(labels.values()))), 1)), 1
    for name in sorted(labels, key=lambda name: sizes[name]):
        groups = np.unique(labels[name], return_inverse=True)[1]
        wider = np.hstack([known, np.eye(sizes[name])[groups]])
        if sizes[name] < len(groups) and (more := int(np.linalg.matrix_rank(wider))) > rank:
            stays.append(name)
            known, rank = wider, more
    return {name: labels[name] for name in labels if name in stays}
