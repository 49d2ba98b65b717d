"""A scorer over the documents of a corpus, every call counted, allowed beforehand, and its result checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import BudgetError, RetrievalBenchError, ScorerError
from retrieval_bench.protocols import KeptDocuments, Scorer
from retrieval_bench.registry import scorers
from retrieval_bench.scorers._texts import Texts
from retrieval_bench.specs import params
from retrieval_bench.types import FloatArray, IntArray, MemoryReport

BLOCK_QUERIES = 256  # read, and held in the scorer's form, together


def load_scorer(name: str, settings: Mapping[str, Any], *, where: str) -> Scorer:
    """Open a scorer by its registered name.

    Args:
        name: of the scorer.
        settings: plain values of its Settings.
        where: names the card or ranker in an error.

    Raises:
        UnknownNameError: no such scorer.
        CardError: it does not have such settings.
        UnavailableError: its package or model cannot be had.
    """
    kind = scorers.get(name)
    return kind.open(params(kind.Settings, settings, where=f"{where}, settings of the scorer {name!r}"))


class Metered:
    """The only way in which rankers call a scorer.

    Attributes:
        scorer: the scorer itself.
    """

    def __init__(self, scorer: Scorer, kept: KeptDocuments) -> None:
        self.scorer, self._kept = scorer, kept

    @classmethod
    def over(cls, scorer: Scorer, documents: Sequence[str]) -> Self:
        """Let the scorer keep what it can of the documents; no pair is scored."""
        keep = getattr(scorer, "keep", None)
        return cls(scorer, Texts(scorer, documents) if keep is None else keep(documents))

    @property
    def calls(self) -> int:
        """Pairs scored so far, as the scorer counts them."""
        return self.scorer.calls

    def sessions(self, queries: Sequence[str], *, allowed: int | None = None) -> Iterator[Session]:
        """Scoring of each query with its own allowance of calls; None is no limit. Blocks of queries are read together.

        Raises:
            ScorerError: the scorer could not read them.
        """
        for start in range(0, len(queries), BLOCK_QUERIES):
            block = queries[start : start + BLOCK_QUERIES]
            try:
                asks = self._kept.ask(block)
            except RetrievalBenchError:
                raise
            except Exception as error:  # a black box may raise anything
                raise ScorerError(
                    f"scorer {self.scorer.name!r}, {len(block)} queries from {block[0][:60]!r} on: raised "
                    f"{type(error).__name__}: {error}"
                ) from error
            for query, ask in zip(block, asks, strict=True):
                yield Session(self.scorer.name, query, ask, allowed)

    def memory(self) -> MemoryReport:
        """Bytes of the model's weights and of what is kept of the documents."""
        return MemoryReport(parts={**self._kept.memory().parts, "scorer": self.scorer.nbytes})

    def save(self, folder: Path) -> None:
        """Write what is kept of the documents; the model is named by the ranker, not copied."""
        self._kept.save(folder)

    @classmethod
    def load(cls, folder: Path, scorer: Scorer) -> Self:
        """Read what ``save`` wrote, for the same scorer."""
        load = getattr(scorer, "load_kept", None)
        return cls(scorer, Texts.load(folder, scorer) if load is None else load(folder))


class Session:
    """One query put to the scorer, in one or several rounds.

    Attributes:
        calls: pairs scored so far in this session.
    """

    def __init__(self, scorer: str, query: str, ask: Callable[[IntArray], FloatArray], allowed: int | None) -> None:
        self._name, self._query, self._ask, self._allowed = scorer, query, ask, allowed
        self.calls = 0

    def score(self, rows: IntArray) -> FloatArray:
        """Scores of the documents of these rows, (len(rows),) float32, all finite.

        Raises:
            BudgetError: that would be more calls than are allowed; none of them was made.
            ScorerError: the scorer raised, or gave another number of scores, or one that is not a finite number.
        """
        about = f"scorer {self._name!r}, query {self._query[:60]!r}"
        if self._allowed is not None and self.calls + len(rows) > self._allowed:
            raise BudgetError(
                f"{about}: {self.calls} calls were made for it, {len(rows)} more are asked for, {self._allowed} are "
                "allowed (scorer_calls)"
            )
        self.calls += len(rows)
        try:
            scores: npt.NDArray[Any] = np.asarray(self._ask(rows))
        except RetrievalBenchError:
            raise
        except Exception as error:  # a black box may raise anything
            raise ScorerError(f"{about}: raised {type(error).__name__}: {error}") from error
        if scores.shape != (len(rows),) or scores.dtype.kind not in "fiu":
            raise ScorerError(
                f"{about}: gave {scores.dtype} {scores.shape} for {len(rows)} documents, not a number each"
            )
        finite = np.isfinite(scores)
        if not finite.all():
            place = int(np.argmin(finite))
            raise ScorerError(f"{about}: gave {scores[place]} for the document of row {rows[place]}")
        return scores.astype(np.float32, copy=False)
