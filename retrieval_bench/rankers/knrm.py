"""Interaction-based neural rankers, trained here and small: K-NRM and Conv-KNRM over the first documents of BM25.

Of the kinds that "A Deep Look into Neural Ranking Models" (Guo et al. 2020, arXiv 1903.06902) tells apart, ``dense`` is
the representation-based one; this is the interaction-based one. See ``_kernel_net`` for the network and its sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from retrieval_bench.arrays import load_array, save_array
from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import ArtifactError
from retrieval_bench.files import atomic_file
from retrieval_bench.hits import make_hits
from retrieval_bench.quality import evaluate, ranked, with_places, without_own
from retrieval_bench.rankers._examples import Judged, grades_of, judged
from retrieval_bench.rankers._fusing import scaled
from retrieval_bench.rankers._kernel_net import KernelNet
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.rankers._tiers import below
from retrieval_bench.rankers.bm25 import Bm25, Bm25Params
from retrieval_bench.registry import rankers
from retrieval_bench.types import (
    Budget,
    Corpus,
    Examples,
    Frozen,
    Hits,
    IntArray,
    MemoryReport,
    Params,
    Queries,
)

_HELD_OUT = 5  # every fifth question says which epoch was best
_BATCH, _SCORED = 32, 256  # pairs of documents learned from, and documents scored, together
_QUERY_TOKENS = 64
_NET, _TOKENS = "net.safetensors", "tokens.npy"


class KnrmParams(Params):
    """Build parameters."""

    vectors: str = Field(default="minilm", description="encoder whose word vectors are matched")
    ngrams: int = Field(default=1, ge=1, le=3, description="1: K-NRM; 2 or 3: Conv-KNRM")
    depth: int = Field(
        default=50, ge=1, le=10_000, description="documents of BM25 to order; further ones stay below in its order"
    )
    document_tokens: int = Field(default=128, ge=8, le=4096, description="kept of a document")
    filters: int = Field(default=128, ge=4, le=384, description="dimensions of a projected word or n-gram")
    kernels: int = Field(default=10, ge=2, le=100, description="soft-match kernels, besides the exact one")
    epochs: int = Field(default=3, ge=0, le=1000, description="passes over the examples")
    negatives: int = Field(default=4, ge=1, le=100, description="of each relevant document and epoch")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="of Adam")


class _Saved(Frozen):
    params: KnrmParams
    encoder_revision: str


@rankers.register("knrm")
class Knrm:
    """The first documents of BM25, ordered by a network that counts soft matches of words, above BM25's others."""

    name: ClassVar[str] = "knrm"
    BuildParams: ClassVar[type[Params]] = KnrmParams
    params: KnrmParams

    def build(
        self, corpus: Corpus, params: KnrmParams, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        """Index the texts and train the network on the examples' documents of BM25; the best epoch is kept.

        Raises:
            DataError: there are no judged examples, or no document holds a term.
            UnavailableError: the encoder cannot be had on this machine.
        """
        learn = judged(examples, what="knrm", instead="name another ranker")
        self._first = Bm25()
        self._first.build(corpus, Bm25Params(), budget)
        self._open(params)
        texts = corpus.require_texts()
        self._documents = _table(self._encoder.tokens(texts), params.document_tokens)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net = self._fresh()
            self._train(learn, with_places(corpus), np.random.default_rng(seed))

    def _open(self, params: KnrmParams) -> None:
        self.params = params
        self._encoder = load_encoder(params.vectors)
        self._vectors = torch.from_numpy(self._encoder.token_vectors())

    def _fresh(self) -> KernelNet:
        params = self.params
        return KernelNet(self._vectors, ngrams=params.ngrams, filters=params.filters, kernels=params.kernels)

    def _train(self, learn: Judged, corpus: Corpus, rng: np.random.Generator) -> None:
        held = np.arange(_HELD_OUT - 1, len(learn.queries), _HELD_OUT)
        taught = np.setdiff1d(np.arange(len(learn.queries)), held)
        depth = min(self.params.depth, len(self._documents))
        first = without_own(scaled(self._first.rank(learn.queries, depth)), learn.queries.own_rows, depth)
        asked = _table(self._encoder.tokens(learn.queries.require_texts()), _QUERY_TOKENS)
        relevant = grades_of(first.rows, learn.qrels) > 0
        optimizer = torch.optim.Adam(self._net.parameters(), self.params.learning_rate)
        best, kept = self._held_out(learn, corpus, held, first, asked), _state(self._net)
        for _ in range(self.params.epochs):
            for batch in _pairs(taught, relevant, first.rows >= 0, self.params.negatives, rng):
                question, better, worse = batch.T
                margin = self._scores(asked[question], first, question, better) - self._scores(
                    asked[question], first, question, worse
                )
                loss = torch.relu(1 - margin).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            reached = self._held_out(learn, corpus, held, first, asked)
            if reached > best or not len(held):
                best, kept = reached, _state(self._net)
        self._net.load_state_dict(kept)

    def _scores(self, asked: IntArray, first: Hits, question: IntArray, place: IntArray) -> torch.Tensor:
        asked, documents = _cut(asked), _cut(self._documents[first.rows[question, place]])
        scores: torch.Tensor = self._net(
            torch.from_numpy(asked),
            torch.from_numpy(documents),
            torch.from_numpy(first.scores[question, place]),
        )
        return scores

    def _held_out(self, learn: Judged, corpus: Corpus, held: IntArray, first: Hits, asked: IntArray) -> float:
        if not len(held):
            return 0.0
        order = self._ordered(first.take(held), asked[held])
        judged = evaluate(ranked(order, corpus), learn.qrels.take(held), ["nDCG@10"])
        return float(np.nanmean(judged["nDCG@10"]))

    def _ordered(self, first: Hits, asked: IntArray) -> Hits:
        question, place = np.nonzero(first.rows >= 0)
        scores = np.full(first.rows.shape, -np.inf, np.float32)
        with torch.inference_mode():
            for start in range(0, len(question), _SCORED):
                q, p = question[start : start + _SCORED], place[start : start + _SCORED]
                scores[q, p] = self._scores(asked[q], first, q, p).numpy()
        order = np.lexsort((first.rows.view(np.uint64), -scores), axis=-1)
        return make_hits(np.take_along_axis(first.rows, order, 1), np.take_along_axis(scores, order, 1))

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k best documents for each query, padded where BM25 finds fewer; how many are asked for orders nothing."""
        found = self._first.rank(queries, max(self.params.depth, k))
        first = scaled(found.first(self.params.depth))  # as the network has learned
        ordered = self._ordered(first, _table(self._encoder.tokens(queries.require_texts()), _QUERY_TOKENS))
        return below(ordered, found.rows, k)

    def memory(self) -> MemoryReport:
        """Parts of BM25, the tokens of the documents, the word vectors and the network."""
        net = sum(tensor.numel() * tensor.element_size() for tensor in self._net.parameters())
        parts = {f"bm25.{name}": held for name, held in self._first.memory().parts.items()}
        return MemoryReport(
            parts={**parts, "tokens": self._documents.nbytes, "encoder": self._encoder.nbytes, "net": net}
        )

    def save(self, folder: Path) -> None:
        """Write BM25, the tokens and the network; the encoder is named with its revision, not copied."""
        (folder / "bm25").mkdir()
        self._first.save(folder / "bm25")
        save_array(folder / _TOKENS, self._documents)
        with atomic_file(folder / _NET) as path:
            save_file(_state(self._net), path)
        save_params(folder, _Saved(params=self.params, encoder_revision=self._encoder.revision))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, and load the word vectors.

        Raises:
            ArtifactError: the encoder of that name has other weights now, or the files cannot be read.
            UnavailableError: the encoder cannot be had on this machine.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker._open(saved.params)
        if ranker._encoder.revision != saved.encoder_revision:
            raise ArtifactError(
                f"{folder}: was built with the vectors of {saved.params.vectors!r} of revision "
                f"{saved.encoder_revision}, here it is {ranker._encoder.revision}: bring it back, or build again"
            )
        ranker._first = Bm25.load(folder / "bm25")
        ranker._net = ranker._fresh()
        shape = (ranker._first.documents, saved.params.document_tokens)
        ranker._documents = load_array(folder / _TOKENS, np.int64, shape, low=0, high=len(ranker._vectors), mapped=True)
        try:
            ranker._net.load_state_dict(load_file(folder / _NET))
        except (OSError, ValueError, EOFError, RuntimeError, SafetensorError) as error:
            raise ArtifactError(f"{folder}: cannot be read as a K-NRM ranker: {error}") from error
        return ranker


def _table(tokens: list[list[int]], width: int) -> IntArray:
    """(n, width) token numbers, cut off or padded with 0."""
    table = np.zeros((len(tokens), width), np.int64)
    for row, numbers in enumerate(tokens):
        table[row, : len(numbers)] = numbers[:width]
    return table


def _cut(table: IntArray) -> IntArray:
    """The table without columns that only pad; one column stays."""
    return table[:, : max(1, int((table != 0).sum(axis=1).max(initial=1)))]


def _state(net: KernelNet) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def _pairs(
    questions: IntArray, relevant: np.ndarray, real: np.ndarray, negatives: int, rng: np.random.Generator
) -> Iterator[IntArray]:
    """Batches of (question, place of a relevant document, place of another), in random order."""
    triples = []
    for question in questions:
        others = np.flatnonzero(real[question] & ~relevant[question])
        if len(others):
            for good in np.flatnonzero(relevant[question]):
                triples += [(question, good, bad) for bad in rng.choice(others, negatives)]
    order = np.array(triples, np.int64).reshape(-1, 3)
    rng.shuffle(order)
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]
