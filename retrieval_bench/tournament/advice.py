"""One sentence for each budget, made of what its table shows and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrieval_bench.records import Turns
from retrieval_bench.runner.finals import near_the_fastest
from retrieval_bench.tournament.standings import QUALITY, Standing

_RECALL = QUALITY[-1]


def advised(
    budget: float,
    found: Sequence[Standing],
    exact: Standing,
    in_turns: Callable[[Sequence[Standing]], Turns | str] = lambda _near: "",
) -> tuple[str | None, str, Turns | None]:
    """Which method to use, and why: the fastest of those tied for the best in every figure of quality.

    Where no method is tied in all figures, of those tied in neighbor recall, which tells methods apart more sharply
    than judgments do.

    Args:
        budget: bytes per vector.
        found: the standings of the round.
        exact: that of exact search over the vectors as they are.
        in_turns: measures those that may be the fastest side by side; or says why it does not.

    Returns:
        The method's name, None where no method fits, the sentence, and the speeds that decided where they did.
    """
    at = f"At {budget:g} bytes per vector"
    usable = [s for s in found if s.outcome == "ok" and any(m.value for m in s.quality.values())]
    if not usable:
        return None, f"{at} no method fits this collection.", None
    leaders = [s for s in usable if s.leads] or [s for s in usable if _RECALL in s.tied]
    choice, lead, first = max(leaders, key=lambda s: s.qps or 0.0), "", "the fastest"
    near = [leaders[place] for place in near_the_fastest([s.qps or 0.0 for s in leaders])]
    measured = in_turns(near) if len(near) > 1 else ""
    if isinstance(measured, Turns):
        choice, rival = (next(s for s in near if s.trial_id == trial) for trial in (measured.fastest, measured.rival))
        lead = f"; {measured.said(rival.method)}"
    elif len(near) > 1:
        rivals = ", ".join(s.method for s in near if s is not choice)
        lead = f"; not told from {rivals} in speed: not measured in turns{f' ({measured})' if measured else ''}"
    if len(near) > 1 and not (isinstance(measured, Turns) and measured.told):
        first = "one of the fastest"
    others = [s.method for s in leaders if s is not choice]
    among = f"{first} of those tied for the best (with {', '.join(others)})" if others else "the best"
    figures = [f"{name} {m.value:.3f}{_share(m.value, exact, name)}" for name, m in choice.quality.items()]
    sentence = f"{at} use {choice.method}, {among}: {', '.join(figures)}, {choice.qps or 0:,.0f} QPS{lead}."
    sentence += _doubt(choice, usable)
    return choice.method, sentence, measured if isinstance(measured, Turns) else None


def _doubt(choice: Standing, usable: Sequence[Standing]) -> str:
    """What the test queries say against a choice that other queries made; empty where they do not."""
    better = [
        f"{max(usable, key=lambda s: s.quality[name].value).method} has the better {name}"
        for name in choice.quality
        if name not in choice.tied
    ]
    return f" The test queries contradict it, beyond chance: {' and '.join(better)} there." if better else ""


def _share(value: float, exact: Standing, name: str) -> str:
    """How much of the exact search's figure this is; nothing for the recall, which is such a share itself."""
    whole = exact.quality.get(name)
    return "" if name == _RECALL or whole is None or not whole.value else f" ({value / whole.value:.1%} of exact)"
