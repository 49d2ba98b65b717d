"""A Matryoshka adaptor supervised by a data set's judgments, in a file that the AdANNS backends take.

``nesting = "adaptor"`` alone learns from vectors; what a judged split adds is which documents answer its queries
(arXiv 2407.20243, section 4.2). The split is ``train``, or ``tune`` where there is no other: never the reported one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.projections import Projection
from retrieval_bench.projections.adaptor import Pairs, fit_adaptor, save_adaptor
from retrieval_bench.types import Corpus, Dataset, Examples


def train_adaptor(dataset: Dataset, *, dims: Sequence[int], seed: int = 0, out: Path | None = None) -> Projection:
    """Learn a rotation from the vectors and judgments of a data set.

    Args:
        dataset: with vectors, prepared for search (under ``cos`` normalised, as ``ip``).
        dims: prefixes to train.
        seed: of every random choice.
        out: where to write it as safetensors, for ``adaptor`` among the build parameters.

    Raises:
        DataError: no split to learn from, no judgments of it, or no vectors.
    """
    split = next((split for split in ("train", "tune") if split in dataset.queries), None)
    if split is None or split not in dataset.qrels:
        raise DataError(f"{dataset.name}: no judged split 'train' or 'tune' to learn from; fit_adaptor needs none")
    examples = Examples(queries=dataset.queries[split], qrels=dataset.qrels[split])
    projection = fit_adaptor(
        dataset.corpus.require_vectors(),
        dims=dims,
        pairs=pairs_of(dataset.corpus, examples),
        queries=examples.queries.require_vectors(),
        metric=dataset.metric,
        seed=seed,
    )
    if out is not None:
        save_adaptor(out, projection)
    return projection


def pairs_of(corpus: Corpus, examples: Examples) -> Pairs:
    """Each judged query beside each document that is relevant to it and in the corpus: two arrays (p, d).

    Raises:
        DataError: there is no such pair.
    """
    qrels = examples.qrels
    if qrels is None:
        raise DataError("pairs need judgments")
    query = np.repeat(np.arange(len(qrels)), np.diff(qrels.offsets))
    relevant = (qrels.grades > 0) & (qrels.rows < len(corpus))
    if not relevant.any():
        raise DataError("no judged query has a relevant document in the corpus")
    asked, documents = examples.queries.require_vectors(), corpus.require_vectors()
    return np.asarray(asked[query[relevant]]), np.asarray(documents[qrels.rows[relevant]])
