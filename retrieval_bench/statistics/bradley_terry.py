"""Ranking systems by whom they beat, over many data sets whose figures cannot be averaged with meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.samples import Float64Array, check_resamples, check_share

_STEPS, _CONVERGED = 1_000, 1e-9


@dataclass(frozen=True, kw_only=True)
class Strength:
    """One system's place.

    Attributes:
        strength: log-odds against the average system; a system beats another with odds ``exp`` of their difference.
        low: lower end of its interval over data sets; None where fewer than two decide, for one says nothing of others.
        high: upper end.
        wins: data sets won against each other system, a tie counting half, in all.
        games: comparisons made.
        mean: plain mean of its values over the data sets that it has a value for.
    """

    strength: float
    low: float | None
    high: float | None
    wins: float
    games: int
    mean: float


def pairwise_wins(values: npt.ArrayLike, *, tie: float = 0.0) -> Float64Array:
    """(s, s) how often the row's system beat the column's.

    Args:
        values: (data sets, s), higher is better; NaN where a system was not run, which is no game.
        tie: differences up to this count half a win to each.
    """
    table = np.asarray(values, np.float64)
    difference = table[:, :, None] - table[:, None, :]
    won = (difference > tie) + 0.5 * (np.abs(difference) <= tie)
    wins: Float64Array = np.where(np.isnan(difference), 0.0, won).sum(axis=0)
    np.fill_diagonal(wins, 0.0)
    return wins


def strengths(wins: npt.ArrayLike, *, prior: float = 0.1) -> Float64Array:
    """(s,) log-strengths of mean 0 by the MM algorithm (Bradley and Terry 1952; Hunter 2004).

    Args:
        wins: (s, s) as ``pairwise_wins`` gives them.
        prior: wins added to both sides of every pair, which keeps a system that always won at a finite strength.

    Raises:
        UsageError: not a square table of counts, or prior <= 0.
    """
    table = np.asarray(wins, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not (table >= 0).all():
        raise UsageError(f"wins must be a square table of counts, not of shape {table.shape}")
    if not prior > 0:
        raise UsageError(f"prior = {prior} must be above 0: without it a system that never lost has no finite strength")
    table = table + prior
    np.fill_diagonal(table, 0.0)
    games, won = table + table.T, table.sum(axis=1)
    ability = np.ones(len(table))
    for _ in range(_STEPS):
        new = won / (games / (ability[:, None] + ability[None, :])).sum(axis=1)
        new /= np.exp(np.log(new).mean())
        converged = float(np.abs(np.log(new) - np.log(ability)).max()) < _CONVERGED
        ability = new
        if converged:
            break
    return np.log(ability)


def bradley_terry(
    values: Mapping[str, npt.ArrayLike],
    *,
    tie: float = 0.0,
    level: float = 0.95,
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Strength]:
    """Rank systems by pairwise wins, with percentile bootstrap intervals over data sets.

    Args:
        values: by system, one value per data set (the same data sets, higher is better, NaN where it was not run).
        tie: differences up to this are ties.
        level: confidence of the intervals.
        resamples: of the data sets.
        seed: of the resampling.

    Returns:
        By system, strongest first.

    Raises:
        UsageError: fewer than two systems, or different numbers of data sets.
    """
    check_share("level", level)
    check_resamples(resamples)
    columns = [np.asarray(v, np.float64) for v in values.values()]
    if len(columns) < 2 or len({c.shape for c in columns}) != 1 or columns[0].ndim != 1 or not len(columns[0]):
        raise UsageError("a tournament needs two or more systems with a value (or NaN) for each of the same data sets")
    table = np.stack(columns, axis=1)
    wins = pairwise_wins(table, tie=tie)
    found = strengths(wins)
    low, high = _interval(table, tie, level, resamples, seed)
    games = wins + wins.T
    ranked = sorted(range(len(columns)), key=lambda i: -found[i])
    names = list(values)
    return {
        names[i]: Strength(
            strength=float(found[i]),
            low=low[i],
            high=high[i],
            wins=float(wins[i].sum()),
            games=round(games[i].sum()),
            mean=float(np.nanmean(table[:, i])) if not np.isnan(table[:, i]).all() else float("nan"),
        )
        for i in ranked
    }


def _interval(
    table: Float64Array, tie: float, level: float, resamples: int, seed: int
) -> tuple[list[float | None], list[float | None]]:
    """Lower and upper ends for each of the systems of a (data sets, s) table."""
    s = table.shape[1]
    if ((~np.isnan(table)).sum(axis=1) > 1).sum() < 2:  # whatever is drawn is the one data set again
        return [None] * s, [None] * s
    rng = np.random.default_rng(seed)
    drawn = np.stack(
        [strengths(pairwise_wins(table[rng.integers(len(table), size=len(table))], tie=tie)) for _ in range(resamples)]
    )
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low.tolist(), high.tolist()
