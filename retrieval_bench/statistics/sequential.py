"""Comparing several systems as their measurements come in, stopping early, with the family-wise error held.

AdaStop (Mathieu, Della Vecchia, Shilova, Centa de Medeiros, Kohler, Maillard and Preux 2023, arXiv 2306.10882): a
group-sequential permutation test whose boundaries spend the error evenly over the looks, and which steps down through
the pairs as Romano and Wolf do. Here measurements come in rounds that hold one value of every system, so labels are
exchanged within a round only: a sign flip of its differences. A pair's statistic is the sum of its signed ranks
(Wilcoxon), which a slow spell of the machine cannot carry away as it can a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.samples import Float64Array, check_resamples, check_share

Pair = tuple[str, str]
_ROUNDING = 1e-9  # assignments that tie with the observed one in exact arithmetic must count as ties


class GroupSequential:
    """A comparison of all pairs of systems in at most ``looks`` looks at the data.

    Example:
        test = GroupSequential(["a", "b", "c"], looks=5)
        while not test.finished:
            test.look(rounds_of_log_seconds)   # (n, 3): n more rounds
        test.decided                           # {("a", "b"): -0.21, ...}: pairs that differ

    Args:
        systems: names, two or more.
        looks: most looks; the error is spent evenly over them.
        level: probability of calling any pair different that is not.
        resamples: sign assignments drawn; the observed one counts as one of them.
        seed: of the draws.

    Raises:
        UsageError: fewer than two systems or a name twice, looks < 1, a level outside (0, 1).
    """

    def __init__(
        self, systems: Sequence[str], *, looks: int = 5, level: float = 0.05, resamples: int = 2_000, seed: int = 0
    ) -> None:
        check_share("level", level)
        check_resamples(resamples)
        if len(systems) < 2 or len(set(systems)) != len(systems):
            raise UsageError(f"systems must be two or more different names, not {list(systems)}")
        if looks < 1:
            raise UsageError(f"looks = {looks}: at least 1 is needed")
        self.systems, self.looks, self.level = tuple(systems), looks, level
        self.pairs: tuple[Pair, ...] = tuple(combinations(self.systems, 2))
        self.looked = 0
        self.decided: dict[Pair, float] = {}
        self._draws, self._rng = resamples, np.random.default_rng(seed)
        self._differences = np.empty((0, len(self.pairs)))
        self._signs = np.empty((resamples + 1, 0))  # assignments so far, the observed one first
        self._statistics: list[Float64Array] = []  # by look, (draws + 1, pairs)

    @property
    def undecided(self) -> tuple[Pair, ...]:
        """Pairs not told apart so far."""
        return tuple(p for p in self.pairs if p not in self.decided)

    @property
    def finished(self) -> bool:
        """Whether every pair is decided, or all looks are used: then the rest cannot be told apart by this test."""
        return not self.undecided or self.looked == self.looks

    def look(self, rounds: npt.ArrayLike) -> tuple[Pair, ...]:
        """Add rounds and decide what can be decided.

        Args:
            rounds: (n, systems) one value of every system per round; seconds should come as logarithms.

        Returns:
            The pairs decided by this look; ``decided`` holds the median difference first minus second.

        Raises:
            UsageError: all looks are used, another number of columns, or a value that is not finite.
        """
        values = np.asarray(rounds, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.systems) or not np.isfinite(values).all():
            raise UsageError(f"rounds must be finite and of shape (n, {len(self.systems)}), not {values.shape}")
        if self.looked == self.looks:
            raise UsageError(f"all {self.looks} looks are used: a further one would exceed the error allowed")
        first, second = np.array(list(combinations(range(len(self.systems)), 2))).T
        self._differences = np.concatenate([self._differences, values[:, first] - values[:, second]])
        signs = self._rng.choice(np.array([-1.0, 1.0]), size=(self._draws + 1, len(values)))
        signs[0] = 1.0
        self._signs = np.concatenate([self._signs, signs], axis=1)
        ranks = np.sign(self._differences) * (np.abs(self._differences).argsort(axis=0).argsort(axis=0) + 1)
        self._statistics.append(np.abs(self._signs @ ranks))
        self.looked += 1
        return self._step_down()

    def _step_down(self) -> tuple[Pair, ...]:
        found: list[Pair] = []
        while open_pairs := [i for i, p in enumerate(self.pairs) if p not in self.decided]:
            boundary = self._boundary(open_pairs)
            observed = self._statistics[-1][0, open_pairs]
            beyond = [i for i, value in zip(open_pairs, observed, strict=True) if value > boundary + _ROUNDING]
            if not beyond:
                break
            for i in beyond:
                self.decided[self.pairs[i]] = float(np.median(self._differences[:, i]))
                found.append(self.pairs[i])
        return tuple(found)

    def _boundary(self, open_pairs: list[int]) -> float:
        """The last look's boundary for the greatest statistic of these pairs.

        By look k at most ``level * k / looks`` of all assignments have crossed any boundary. It is computed anew for
        every set of pairs, since an assignment that crossed early through a decided pair has not for the rest.
        """
        alive = np.ones(self._draws + 1, bool)
        boundary = np.inf
        for k, statistic in enumerate(self._statistics, start=1):
            greatest = statistic[:, open_pairs].max(axis=1)
            allowed = int(self.level * k / self.looks * len(alive) + _ROUNDING) - int((~alive).sum())
            ordered = np.sort(greatest[alive])[::-1]
            boundary = float(ordered[allowed]) if allowed < len(ordered) else 0.0
            alive &= greatest <= boundary + _ROUNDING
        return boundary
