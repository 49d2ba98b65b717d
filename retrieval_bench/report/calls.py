"""After how many queries the scorer calls of a build have paid: two systems at equal calls per query hide them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from retrieval_bench.report.rows import Row, finite


def paid_after(build: float, calls: float, instead: float) -> float:
    """Queries after which a build's calls are fewer than those it saves.

    Args:
        build: scorer calls of the build.
        calls: of each query after it.
        instead: of each query of a system that needs no calls at its build.

    Returns:
        Queries, a whole number; infinite where no calls are saved.
    """
    return math.ceil(build / (instead - calls)) if instead > calls else math.inf


def calls_lines(shown: Sequence[Row], primary: str) -> list[str]:
    """One sentence for each system whose build called a scorer: what that is beside its queries, and when it pays.

    Compared with scoring every document, and with the systems that are at least as good without such a build.

    Args:
        shown: rows of a run.
        primary: measurement that says which system is as good.
    """
    lines = []
    for row in shown:
        trial = row.trial
        build, calls = finite(trial, "build_scorer_calls"), finite(trial, "scorer_calls")
        if not build or calls is None or trial.outcome != "ok":
            continue
        quality = finite(trial, primary) or 0.0
        rivals = {"scoring every document": float(trial.documents)} | {
            other.trial.system: finite(other.trial, "scorer_calls") or 0.0
            for other in shown
            if not finite(other.trial, "build_scorer_calls")
            and other.trial.outcome == "ok"
            and other.trial.kind == trial.kind
            and (finite(other.trial, primary) or 0.0) >= quality
        }
        each = f"{trial.system}: {build:,.0f} scorer calls at its build and {calls:,.4g} a query"
        lines.append(f"{each}; {', '.join(_against(name, build, calls, rival) for name, rival in rivals.items())}")
    return lines


def _against(name: str, build: float, calls: float, instead: float) -> str:
    after = paid_after(build, calls, instead)
    if math.isinf(after):
        return f"never fewer than {name} ({instead:,.4g} a query, at least as good)"
    return f"fewer than {name} ({instead:,.4g} a query) from {after:,.0f} queries on"
