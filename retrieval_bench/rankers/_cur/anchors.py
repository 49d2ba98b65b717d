"""Anchor queries, and their scores kept on disk row by row, so that an interrupted build goes on where it stopped."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from retrieval_bench.encoders._bar import steps
from retrieval_bench.files import atomic_file, home
from retrieval_bench.rankers._cur.factors import Known
from retrieval_bench.scorers import Metered
from retrieval_bench.scorers._digest import digest
from retrieval_bench.types import Examples, IntArray

_LONGEST = 200  # characters of a pseudo-query
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")


def anchor_queries(examples: Examples | None, documents: Sequence[str]) -> list[str]:
    """Texts to choose anchors from: the examples' questions or, where there are none, first sentences of documents."""
    if examples is not None and examples.queries.texts is not None:
        texts = examples.queries.texts
    else:
        texts = [_SENTENCE_END.split(text.strip(), maxsplit=1)[0][:_LONGEST] for text in documents]
    return [text for text in dict.fromkeys(texts) if text.strip()]


def scored(scorer: Metered, documents: Sequence[str], queries: Sequence[str], rows: Sequence[IntArray]) -> list[Known]:
    """The scores of each anchor query with its rows, found in the cache below ``$RETRIEVAL_BENCH_HOME`` or made.

    Every query's scores are a file of their own, named by the content of all that made them and written as soon as
    they are there: at most one query's calls are lost, and systems with the same anchors share the scores.
    """
    folder = home() / "scores" / scorer.scorer.revision / digest(documents)
    found = []
    with steps("scoring anchors", len(queries)) as advance:
        for query, chosen in zip(queries, rows, strict=True):
            path = folder / f"{digest(query, chosen.astype('<i8').tobytes().hex())}.npy"
            try:
                scores = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError):
                scores = None
            if scores is None or scores.shape != chosen.shape or scores.dtype != np.float32:
                (session,) = scorer.sessions([query])
                scores = session.score(chosen)
                with atomic_file(path) as temporary:
                    np.save(temporary, scores)
            found.append(Known(chosen, scores))
            advance(1)
    return found
