"""The errors a user can meet: each names what was wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RetrievalBenchError(Exception):
    """Base of every error raised on purpose; the command line prints its text as one line."""


class UsageError(RetrievalBenchError):
    """The call itself is wrong (an option, a name, k > n): exit code 2 on the command line."""


class UnknownNameError(UsageError):
    """A name that is not registered; the text holds the nearest valid names."""

    def __init__(self, kind: str, name: object, known: Iterable[str], *, where: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}unknown {kind} {name!r}; {nearest(str(name), self.known)}")


class CardError(UsageError):
    """A TOML card that does not hold what its kind of card must; names the card and the key."""


class DataError(RetrievalBenchError):
    """Input data that cannot be used; names the file (and line) and the way to mend it."""


class UnavailableError(RetrievalBenchError):
    """Something optional is missing (a package, a file, a network); says how to get it."""


class PluginError(RetrievalBenchError):
    """A plug-in that cannot be loaded, or lacks what one of its kind must have; names it and its entry point."""


class BudgetError(RetrievalBenchError):
    """A system cannot be built within the budget; recorded by the runner as ``refused``."""


class DeviceMemoryError(RetrievalBenchError):
    """A GPU's memory does not hold the work, however small its blocks; recorded as ``over_budget`` or a crash."""


class ScorerError(RetrievalBenchError):
    """A scorer of pairs of texts failed, or gave what is no score; names the scorer and the pair."""


class ArtifactError(RetrievalBenchError):
    """A saved index that fails verification: hash, manifest, version or canary query."""


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Say which known names are closest to ``name``, or all of them when none is close."""
    names = sorted(known)
    close = get_close_matches(name, names, n=limit, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "known: " + (", ".join(names) if names else "none")
