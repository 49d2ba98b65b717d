"""A scorer whose scores are a matrix of rank 5, and which goes wrong in one way if asked to; needs no engine.

Texts are the names of rows: query ``q3`` and document ``d7``.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np

from retrieval_bench.registry import scorers
from retrieval_bench.types import Corpus, FloatArray, Params, Queries

RANK, ITEMS = 5, 300


class LowRankSettings(Params):
    wrong: Literal["no", "nan", "short", "raise", "kill", "text"] = "no"
    after: int = 0  # calls that go well before the one that goes wrong
    version: str = "1"
    log: str = ""  # file that a line is written to for every call of the scorer


@scorers.register("low_rank")
class LowRank:
    name: ClassVar[str] = "low_rank"
    Settings: ClassVar[type[Params]] = LowRankSettings

    def __init__(self, settings: LowRankSettings | None = None) -> None:
        self.settings = settings or LowRankSettings()
        self.calls = 0

    @classmethod
    def open(cls, settings: LowRankSettings) -> Self:
        return cls(settings)

    @property
    def revision(self) -> str:
        return f"low-rank-{self.settings.version}"

    @property
    def nbytes(self) -> int:
        return 0

    def score(self, query_texts: Sequence[str], document_texts: Sequence[str]) -> FloatArray:
        settings = self.settings
        if settings.log:
            with Path(settings.log).open("a") as log:
                log.write(f"{len(query_texts)}\n")
        bad = self.calls >= settings.after
        self.calls += len(query_texts)
        if bad and settings.wrong == "raise":
            raise RuntimeError("the model fell over")
        if bad and settings.wrong == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        scores = np.array([exact(q, [d])[0] for q, d in zip(query_texts, document_texts, strict=True)], np.float32)
        if bad and settings.wrong == "nan":
            scores[-1] = np.nan
        if bad and settings.wrong == "text":
            return scores.astype(str)
        return scores[:-1] if bad and settings.wrong == "short" else scores


def vector(name: str) -> FloatArray:
    """The factors behind a name; the same in every process."""
    seed = [ord(name[0]), int(name[1:])]
    return np.random.default_rng(seed).standard_normal(RANK).astype(np.float32)


def exact(query: str, documents: Sequence[str]) -> FloatArray:
    return np.stack([vector(name) for name in documents]) @ vector(query)


def collection(items: int = ITEMS) -> Corpus:
    names = [f"d{i}" for i in range(items)]
    return Corpus(ids=names, texts=names)


def asked(first: int, count: int, split: str = "test") -> Queries:
    names = [f"q{i}" for i in range(first, first + count)]
    return Queries(ids=names, texts=names, split=split)
