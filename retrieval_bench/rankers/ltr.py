"""A classical learned ranker: LambdaMART (Burges 2010, MSR-TR-2010-82) by LightGBM over lexical and dense features.

Candidates are the first documents of BM25 and those nearest to the question in the encoder's space. The trees learn on
judged questions that are never those reported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm
import numpy as np
from pydantic import Field

from retrieval_bench.arrays import load_array, save_array
from retrieval_bench.checks import normalised
from retrieval_bench.encoders import encode_queries, encoded_by, load_encoder
from retrieval_bench.errors import ArtifactError
from retrieval_bench.hits import make_hits
from retrieval_bench.quality import is_own
from retrieval_bench.rankers._examples import Judged, grades_of, judged
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.rankers._text_features import FEATURES, Terms
from retrieval_bench.rankers._trees import load_trees, plain, save_trees
from retrieval_bench.rankers.bm25 import Bm25, Bm25Params
from retrieval_bench.registry import rankers
from retrieval_bench.types import (
    Budget,
    Corpus,
    Examples,
    FloatArray,
    Frozen,
    Hits,
    IntArray,
    MemoryReport,
    Params,
    Queries,
)

_HELD_OUT = 5  # every fifth question says when to stop
_PATIENCE = 30  # trees without a gain there
_WIDTH = len(FEATURES) + 1  # the likeness of the vectors is the last
_TREES, _VECTORS = "trees", "vectors.npy"


class LtrParams(Params):
    """Build parameters."""

    encoder: str = Field(default="minilm", description="packaged name, local folder, or model of the Hugging Face hub")
    depth: int = Field(default=100, ge=1, le=10_000, description="candidates of BM25, and as many of the encoder")
    trees: int = Field(default=300, ge=1, le=10_000, description="at most; held-out questions say when to stop")
    leaves: int = Field(default=15, ge=2, le=1024, description="of a tree")
    learning_rate: float = Field(default=0.05, gt=0, le=1, description="weight of each tree")
    least: int = Field(default=20, ge=1, le=10_000, description="candidates in a leaf, at least")


class _Saved(Frozen):
    params: LtrParams
    encoder_revision: str


@rankers.register("ltr")
class Ltr:
    """Candidates of BM25 and of an encoder, ordered by boosted trees. Documents that are no candidates are no hits."""

    name: ClassVar[str] = "ltr"
    BuildParams: ClassVar[type[Params]] = LtrParams
    params: LtrParams

    def build(
        self, corpus: Corpus, params: LtrParams, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        """Index the texts and learn the order of the examples' candidates.

        Raises:
            DataError: there are no judged examples, no document holds a term, or vectors that were given are not of
                the encoder's dimension.
            UnavailableError: the encoder cannot be had on this machine.
        """
        learn = judged(examples, what="ltr", instead="name another ranker")
        self.params = params
        self._terms = Terms.of(corpus.require_texts())
        self._first = Bm25()
        self._first.build(corpus, Bm25Params(), budget)
        self._encoder = load_encoder(params.encoder)
        self._vectors = _unit(encoded_by(self._encoder, corpus).require_vectors())
        self._trees, self._arrays = plain(self._learned(learn, seed), _WIDTH)

    def _learned(self, learn: Judged, seed: int) -> lightgbm.Booster:
        candidates, features = self._candidates(learn.queries)
        real = (candidates >= 0) & ~is_own(candidates, learn.queries.own_rows)
        grades = np.where(real, grades_of(candidates, learn.qrels), 0)
        useful = np.flatnonzero((grades > 0).any(axis=1))  # a question without a relevant candidate teaches nothing
        held = useful[_HELD_OUT - 1 :: _HELD_OUT]
        best = int(grades.max(initial=1))

        def part(questions: IntArray, reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
            chosen = real[questions]
            return lightgbm.Dataset(
                features[questions][chosen],
                grades[questions][chosen],
                group=chosen.sum(axis=1),
                reference=reference,
                params={"verbose": -1},
            )

        train = part(np.setdiff1d(useful, held), None)
        settings: dict[str, Any] = {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [10],
            "num_leaves": self.params.leaves,
            "learning_rate": self.params.learning_rate,
            "min_data_in_leaf": self.params.least,
            "label_gain": [2**grade - 1 for grade in range(best + 1)],
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }
        stop: list[Callable[..., Any]] = [lightgbm.early_stopping(_PATIENCE, verbose=False)] if len(held) else []
        valid = [part(held, train)] if len(held) else []
        return lightgbm.train(settings, train, self.params.trees, valid_sets=valid, callbacks=stop)

    def _candidates(self, queries: Queries) -> tuple[IntArray, FloatArray]:
        """Rows (m, 2 depth), -1 where there are fewer, and their features (m, 2 depth, f)."""
        texts = queries.require_texts()
        depth = min(self.params.depth, len(self._vectors))
        lexical = self._first.rank(queries, depth).rows
        asked = _unit(encode_queries(self._encoder, texts))
        rows = np.full((len(texts), 2 * depth), -1, np.int64)
        features = np.zeros((len(texts), 2 * depth, _WIDTH), np.float32)
        for i, text in enumerate(texts):
            likeness = self._vectors @ asked[i]
            near = np.argpartition(-likeness, depth - 1)[:depth]
            found = np.union1d(lexical[i][lexical[i] >= 0], near)
            rows[i, : len(found)] = found
            features[i, : len(found), :-1] = self._terms.features(text, found)
            features[i, : len(found), -1] = likeness[found]
        return rows, features

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k candidates of greatest predicted gain for each query."""
        candidates, features = self._candidates(queries)
        real = candidates >= 0
        scores = np.full(candidates.shape, -np.inf, np.float32)
        scores[real] = np.asarray(self._trees.predict(features[real], num_threads=1))
        rows, scores = _padded(candidates, scores, k)
        order = np.lexsort((rows.view(np.uint64), -scores), axis=-1)[:, :k]
        return make_hits(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))

    def memory(self) -> MemoryReport:
        """Parts of BM25, the term counts, the vectors, the encoder and the trees."""
        lexical = {f"bm25.{name}": held for name, held in self._first.memory().parts.items()}
        own = {"vectors": self._vectors.nbytes, "encoder": self._encoder.nbytes}
        trees = {"trees": len(self._trees.model_to_string().encode())}
        return MemoryReport(parts={**lexical, **self._terms.nbytes, **own, **trees})

    def save(self, folder: Path) -> None:
        """Write every part; the encoder is named with its revision, not copied."""
        for name, part in (("bm25", self._first), ("terms", self._terms)):
            (folder / name).mkdir()
            part.save(folder / name)
        save_array(folder / _VECTORS, self._vectors)
        (folder / _TREES).mkdir()
        save_trees(folder / _TREES, self._arrays)
        save_params(folder, _Saved(params=self.params, encoder_revision=self._encoder.revision))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, and load the encoder.

        Raises:
            ArtifactError: the encoder of that name has other weights now, or the files cannot be read.
            UnavailableError: the encoder cannot be had on this machine.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker.params = saved.params
        ranker._encoder = load_encoder(saved.params.encoder)
        if ranker._encoder.revision != saved.encoder_revision:
            raise ArtifactError(
                f"{folder}: was built with the encoder {saved.params.encoder!r} of revision {saved.encoder_revision}, "
                f"here it is {ranker._encoder.revision}: bring back that model, or build again"
            )
        ranker._first = Bm25.load(folder / "bm25")
        n = ranker._first.documents
        ranker._terms = Terms.load(folder / "terms", n)
        ranker._vectors = load_array(folder / _VECTORS, np.float32, (n, ranker._encoder.dim), mapped=True)
        ranker._trees, ranker._arrays = load_trees(folder / _TREES, _WIDTH)
        return ranker


def _unit(vectors: FloatArray) -> FloatArray:
    """Rows of length 1; zero rows stay."""
    empty = ~np.any(vectors, axis=1, keepdims=True)
    if not empty.any():
        return normalised(vectors)
    return np.where(empty, np.float32(0), normalised(vectors + empty.astype(np.float32)))


def _padded(rows: IntArray, scores: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    short = max(0, k - rows.shape[1])
    return (
        np.pad(rows, ((0, 0), (0, short)), constant_values=-1),
        np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf),
    )
