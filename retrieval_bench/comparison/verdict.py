"""What a comparison says, in words that a reader without statistics can act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval_bench.statistics import (
    Equivalence,
    detectable_difference,
    detectable_ratio,
    difference_interval,
    paired_ratio,
    randomization_test,
)

Word = Literal["better", "worse", "no difference"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure of A against that of B.

    Attributes:
        what: name of the measurement.
        kind: whether ``change`` is a difference (A minus B) or a ratio (A over B); higher is better for A.
        a: A's figure; for a speed, in 1/s.
        b: B's figure.
        change: the difference or ratio.
        low: lower end of its 95 % interval.
        high: upper end.
        p: of "A and B do not differ".
        detectable: the smallest true change that a comparison of this size shows in 8 of 10 cases; of a ratio, within
            one pair of processes.
        n: queries or rounds.
        different: whether the change is claimed. Test and interval must agree; where speeds were compared in several
            looks, the sequential test decides, for it alone knows of the looks.
        processes: pairs of processes that were measured; the interval is over them where there are several (see
            ``comparison.again``).
    """

    what: str
    kind: Literal["difference", "ratio"]
    a: float
    b: float
    change: float
    low: float
    high: float
    p: float
    detectable: float
    n: int
    different: bool
    processes: int = 1

    @property
    def word(self) -> Word:
        """``better`` or ``worse`` (A than B), or ``no difference`` that this test could see."""
        if not self.different:
            return "no difference"
        return "better" if self.change > (0.0 if self.kind == "difference" else 1.0) else "worse"

    @property
    def text(self) -> str:
        """One line: what, by how much, how sure, and how small a change would have been seen."""
        said = "no difference that this test could see" if self.word == "no difference" else self.word
        sure = f"p = {self.p:.2g}" if self.p >= 0.0001 else "p < 0.0001"
        if self.kind == "difference" and self.n < 2:
            return f"{self.what}: {self.a:.4f} and {self.b:.4f} on {self.n} query, which tells nothing of others"
        if self.kind == "difference" and not self.detectable > 0:
            same = "the same on" if self.change == 0 else f"{self.change:+.4f} on each of"
            return f"{self.what}: {said}: {same} {self.n:,} queries ({self.a:.4f} and {self.b:.4f}), {sure}"
        if self.kind == "difference":
            by, ends = f"{self.change:+.4f}", f"{self.low:+.4f} to {self.high:+.4f}"
            figures, least = f"{self.a:.4f} and {self.b:.4f}", f"{self.detectable:.4f}"
            size = f"{self.n:,} queries"
        else:
            by, ends = f"{self.change:.3f} times", f"{self.low:.3f} to {self.high:.3f}"
            figures, least = f"{self.a:,.0f}/s and {self.b:,.0f}/s", f"{100 * (self.detectable - 1):.1f} %"
            size = f"{self.n:,} rounds of one pair of processes"
        if self.processes > 1:  # what one pair can show says nothing of them
            return f"{self.what}: {said}: {by} ({ends} over {self.processes} pairs of processes), {sure}; {figures}"
        return (
            f"{self.what}: {said}: {by} ({ends}), {sure}; {figures}; {size} show a change of {least} in 8 of 10 cases"
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether A is better than B.

    Attributes:
        a: name of A.
        b: name of B.
        quality: what the per-query values say.
        speed: what measuring in turns says; None where it was not measured so.
        equivalence: whether A is as good as B within a margin; None where that was not asked.
    """

    a: str
    b: str
    quality: Finding
    speed: Finding | None = None
    equivalence: Equivalence | None = None

    @property
    def word(self) -> Literal["better", "worse", "no difference", "better and worse"]:
        """Of quality and speed together; ``better and worse`` where each favours another.

        It errs hardly more often than quality alone: a speed is claimed only where new processes agree (``again``).
        """
        words = {f.word for f in (self.quality, self.speed) if f is not None} - {"no difference"}
        if len(words) == 2:
            return "better and worse"
        return words.pop() if words else "no difference"

    @property
    def lines(self) -> tuple[str, ...]:
        """The verdict, then its evidence, as plain text."""
        first = f"{self.a} against {self.b}: "
        if self.word == "no difference":
            first += "no difference that this test could see"
        elif self.word == "better and worse":
            assert self.speed is not None  # noqa: S101 - it took both for them to disagree
            first += f"{self.quality.word} quality, {'faster' if self.speed.word == 'better' else 'slower'}"
        else:
            seen = [n for n, f in (("quality", self.quality), ("speed", self.speed)) if f and f.different]
            first += f"{self.word} in {' and '.join(seen)}"
        lines = [first, self.quality.text]
        if self.speed is not None:
            lines.append(self.speed.text)
        if (found := self.equivalence) is not None:
            shown = "shown" if found.not_worse else "not shown"
            lines.append(f"as good within {100 * found.margin:g} %: {shown}, p = {found.p_not_worse:.2g}")
        return tuple(lines)


def judge_quality(
    what: str, a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.05, resamples: int = 10_000, seed: int = 0
) -> Finding:
    """Compare per-query values, higher is better, by a paired randomization test and a paired bootstrap interval.

    Args:
        what: name of the measurement.
        a: (n,) values of A; a query where either is NaN is left out.
        b: (n,) values of B for the same queries.
        level: error allowed to a claim.
        resamples: of the test; the interval takes at most 2,000.
        seed: of both.

    Raises:
        UsageError: infinite values, vectors of different lengths.
    """
    p = randomization_test(a, b, resamples=resamples, seed=seed)
    low, high = difference_interval(a, b, level=1 - level, resamples=min(resamples, 2_000), seed=seed)
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    there = ~np.isnan(first - second)
    mean_a, mean_b = (float(v[there].mean()) if there.any() else float("nan") for v in (first, second))
    return Finding(
        what=what, kind="difference", a=mean_a, b=mean_b, change=mean_a - mean_b, low=low, high=high, p=p,
        detectable=detectable_difference(a, b, level=level), n=int(there.sum()),
        different=bool(p <= level and (low > 0 or high < 0)),
    )  # fmt: skip


def judge_speed(
    seconds_a: npt.ArrayLike,
    seconds_b: npt.ArrayLike,
    *,
    per: int = 1,
    level: float = 0.05,
    decided: bool | None = None,
    what: str = "speed",
) -> Finding:
    """Compare seconds measured in turns, by the signed-rank test of log-ratios.

    Args:
        seconds_a: (n,) of A.
        seconds_b: (n,) of B, of the same rounds.
        per: queries answered in those seconds, for the figures shown.
        level: error allowed to a claim.
        decided: what a group-sequential test said, where the rounds were made in several looks.
        what: name of the measurement.

    Raises:
        UsageError: seconds that are not above 0, different numbers of rounds.
    """
    ratio = paired_ratio(seconds_b, seconds_a, level=1 - level)
    return Finding(
        what=what, kind="ratio", a=_rate(per, seconds_a), b=_rate(per, seconds_b),
        change=ratio.value, low=ratio.low, high=ratio.high, p=ratio.p,
        detectable=detectable_ratio(seconds_a, seconds_b, level=level), n=ratio.rounds,
        different=ratio.p <= level if decided is None else decided,
    )  # fmt: skip


def _rate(per: int, seconds: npt.ArrayLike) -> float:
    return per / float(np.median(np.asarray(seconds)))
