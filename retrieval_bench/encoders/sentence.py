"""Encoders by sentence-transformers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from retrieval_bench.device.choose import choose_device
from retrieval_bench.encoders._bar import progress_bar
from retrieval_bench.encoders._models import content_hash, find_model
from retrieval_bench.encoders._text_model import TextModel, chosen_precision
from retrieval_bench.encoders._tokens import Tokens, encodable
from retrieval_bench.encoders.loading import open_model
from retrieval_bench.errors import UsageError
from retrieval_bench.types import FloatArray, IntArray

# Padded tokens in one batch. Activations that stay in a CPU's cache gain it 8 %, a GPU needs more to be busy.
_BATCH_TOKENS = {"cpu": 1 << 10, "cuda": 1 << 16}
_LONGEST = 512  # tokens kept where a model that has a limit does not name it
_NO_LIMIT = 1 << 20  # tokens: more than a text has; where a limit is unknown, transformers says some 1e30

Kind = Literal["document", "query"]


class SentenceEncoder:
    """A sentence-transformers model as an Encoder.

    Under bfloat16 the transformer's weights and activations are bfloat16; pooling and whatever follows stay float32,
    so that a model that normalises gives rows of length 1.

    Attributes:
        name: the name it was asked for by.
        precision: ``float32`` or ``bfloat16``, as used.
        dim: dimensions of its vectors.
        max_length: tokens kept of a text.
        notes: one line for each thing that did not go as asked: smaller batches, another precision.
    """

    def __init__(
        self,
        name: str,
        *,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        max_length: int | None = None,
        device: str | None = None,
    ) -> None:
        self.name = name
        self._folder = find_model(name)
        self.notes: list[str] = []
        chosen, what = choose_device(device), f"encoder {name!r}"
        self.precision = chosen_precision(precision, chosen, what, self.notes)
        self._model = open_model(self._folder, chosen)
        if self.precision == "bfloat16":
            transformer: torch.nn.Module = self._model[0]
            transformer.to(torch.bfloat16).register_forward_hook(_widen)
        self.max_length = _set_limit(self._model, max_length, name)
        self._texts = TextModel(self._model, chosen, _BATCH_TOKENS, what, self.notes)
        self.dim = int(self._model.get_embedding_dimension() or 0)

    @cached_property
    def revision(self) -> str:
        """Hash of the model's files, ``max_length`` and precision: one revision gives one vector, up to rounding."""
        digest = blake2b(content_hash(self._folder), digest_size=12)
        digest.update(f"max_length={self.max_length} precision={self.precision}".encode())
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights as held in memory."""
        return self._texts.nbytes

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
        """Vectors of documents: (len(texts), dim) float32 in the order given, normalised if the model does so.

        Texts of like length share a batch, and a batch holds a fixed number of tokens rather than of texts. The same
        texts give the same vectors; a text alone and within a list can differ by rounding.

        Args:
            texts: cut off at ``max_length`` tokens.
            progress: show a bar on standard error.
        """
        return self._encode(texts, "document", progress=progress)

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """As ``encode``, with the model's prompt for queries where it defines one."""
        return self._encode(texts, "query")

    def encode_tokens(
        self, texts: Sequence[str], *, queries: bool = False, progress: bool = False
    ) -> tuple[FloatArray, IntArray]:
        """Vectors of every token, as the transformer gives them, for late interaction.

        Args:
            texts: cut off at ``max_length`` tokens.
            queries: take the model's prompt for queries.
            progress: show a bar on standard error.

        Returns:
            ``vectors`` (t, d) float32 of all texts' tokens, marks of begin and end among them, and ``starts``
            (len(texts) + 1,): text i has ``vectors[starts[i]:starts[i + 1]]``, one row at least.
        """
        found: list[FloatArray] = [np.empty((0, 0), np.float32)] * len(texts)
        counts = np.zeros(len(texts), np.int64)
        kind: Kind = "query" if queries else "document"
        for rows, vectors in self._run(texts, kind, counts, progress=progress):
            for row, own in zip(rows, np.split(vectors, np.cumsum(counts[rows])[:-1]), strict=True):
                found[row] = own
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return (np.concatenate(found) if found else np.empty((0, self.dim), np.float32)), starts

    def _encode(self, texts: Sequence[str], kind: Kind, *, progress: bool = False) -> FloatArray:
        vectors = np.empty((len(texts), self.dim), np.float32)
        for rows, found in self._run(texts, kind, progress=progress):
            vectors[rows] = found
        return vectors

    def _run(
        self, texts: Sequence[str], kind: Kind, counts: IntArray | None = None, *, progress: bool
    ) -> Iterator[tuple[list[int], FloatArray]]:
        """Rows and their vectors, or those of their tokens below each other, with their numbers put into ``counts``."""

        def by_tokens(model: Any, tokens: Tokens, own: list[int]) -> torch.Tensor:
            features = model(tokens.features(own, self._texts.device), task=kind)
            if counts is None:
                found: torch.Tensor = features["sentence_embedding"]
                return found
            counts[own] = np.maximum(tokens.lengths[own], 1)
            found = features["token_embeddings"].flatten(0, 1)
            return found.index_select(0, tokens.places(own, self._texts.device))

        def by_texts(model: Any, batch: list[str], own: list[int]) -> torch.Tensor:
            encode = model.encode_query if kind == "query" else model.encode_document
            if counts is None:
                found: torch.Tensor = encode(
                    batch, batch_size=len(batch), show_progress_bar=False, convert_to_tensor=True
                )
                return found
            made = encode(batch, batch_size=len(batch), show_progress_bar=False, output_value="token_embeddings")
            counts[own] = [len(vectors) for vectors in made]
            return torch.cat(list(made))

        clean = [encodable(text) for text in texts]
        waiting = None if counts is None else 1  # vectors of tokens are too many to gather
        with progress_bar(shown=progress) as bar:
            task = bar.add_task("encoding", total=len(texts))
            for rows, found in self._texts.run(clean, by_tokens, by_texts, longest=self.max_length, waiting=waiting):
                yield rows, found
                bar.advance(task, len(rows))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the tokens of each text, cut off at ``max_length``, without the marks of begin and end."""
        if not texts:
            return []
        clean = [encodable(text) for text in texts]
        read = self._texts.tokenizer(
            clean, truncation=True, max_length=self.max_length, return_attention_mask=False, add_special_tokens=False
        )
        found: list[list[int]] = read["input_ids"]
        return found

    def token_vectors(self) -> FloatArray:
        """(v, d) float32: what the model knows of each token by itself, before any context."""
        transformer: Any = self._model[0]
        weights: torch.Tensor = transformer.auto_model.get_input_embeddings().weight
        vectors: FloatArray = weights.detach().float().cpu().numpy()
        return vectors


def _widen(module: torch.nn.Module, inputs: Any, features: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    return {k: v.float() if getattr(v, "dtype", None) == torch.bfloat16 else v for k, v in features.items()}


def _set_limit(model: SentenceTransformer, asked: int | None, name: str) -> int:
    """Set and return the tokens to keep; one long text shows whether the model has positions for as many as asked."""
    own = model.max_seq_length or _LONGEST
    if asked is None and own == math.inf:  # word-level models read texts whole
        return _NO_LIMIT
    try:
        model.max_seq_length = asked or (own if own < _NO_LIMIT else _LONGEST)
        if asked is not None:
            if asked < 3:
                raise ValueError("two tokens are the marks of begin and end")
            model.encode("a " * asked, show_progress_bar=False)
    except (AttributeError, IndexError, RuntimeError, ValueError) as error:
        raise UsageError(f"max_length = {asked}: the encoder {name!r} cannot read that; its own is {own}") from error
    return int(model.max_seq_length)
