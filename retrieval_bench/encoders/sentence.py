"""Encoders by sentence-transformers."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from retrieval_bench.device.choose import choose_device, native_bfloat16
from retrieval_bench.encoders._bar import progress_bar
from retrieval_bench.encoders._models import content_hash, find_model
from retrieval_bench.encoders.loading import open_model
from retrieval_bench.errors import UsageError
from retrieval_bench.types import FloatArray, IntArray

# Padded tokens in one batch. Activations that stay in a CPU's cache gain it 8 %, a GPU needs more to be busy.
_BATCH_TOKENS = {"cpu": 1 << 10, "cuda": 1 << 16}
_LONGEST = 512  # tokens kept where a model that has a limit does not name it
_NO_LIMIT = 1 << 20  # tokens: more than a text has; where a limit is unknown, transformers says some 1e30


class SentenceEncoder:
    """A sentence-transformers model as an Encoder.

    Under bfloat16 the transformer's weights and activations are bfloat16; pooling and whatever follows stay float32,
    so that a model that normalises gives rows of length 1.

    Attributes:
        name: the name it was asked for by.
        precision: ``float32`` or ``bfloat16``, as used.
        dim: dimensions of its vectors.
        max_length: tokens kept of a text.
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
        self._device = choose_device(device)
        self.precision: Literal["float32", "bfloat16"]
        if precision == "auto":
            self.precision = "bfloat16" if native_bfloat16(self._device) else "float32"
        else:
            self.precision = precision
        self._model = open_model(self._folder, self._device)
        if self.precision == "bfloat16":
            transformer: torch.nn.Module = self._model[0]
            transformer.to(torch.bfloat16).register_forward_hook(_widen)
        self.max_length = _set_limit(self._model, max_length, name)
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
        held = [*self._model.parameters(), *self._model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

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
        encode = self._model.encode_query if queries else self._model.encode_document
        found: list[FloatArray] = [np.empty((0, 0), np.float32)] * len(texts)
        with progress_bar(shown=progress) as bar:
            task = bar.add_task("encoding tokens", total=len(texts))
            clean = [_encodable(text) for text in texts]
            for rows in self._batches(clean):
                batch = [clean[row] for row in rows]
                made = encode(batch, batch_size=len(batch), show_progress_bar=False, output_value="token_embeddings")
                for row, vectors in zip(rows, made, strict=True):
                    found[row] = vectors.float().cpu().numpy()
                bar.advance(task, len(batch))
        starts = np.cumsum([0, *map(len, found)], dtype=np.int64)
        return (np.concatenate(found) if found else np.empty((0, self.dim), np.float32)), starts

    def _encode(
        self, texts: Sequence[str], kind: Literal["document", "query"], *, progress: bool = False
    ) -> FloatArray:
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        vectors = np.empty((len(texts), self.dim), np.float32)
        with progress_bar(shown=progress) as bar:
            task = bar.add_task("encoding", total=len(texts))
            clean = [_encodable(text) for text in texts]
            for rows in self._batches(clean):
                batch = [clean[row] for row in rows]
                vectors[rows] = encode(batch, batch_size=len(batch), show_progress_bar=False)
                bar.advance(task, len(batch))
        return vectors

    def _batches(self, texts: list[str]) -> Iterator[list[int]]:
        budget = _BATCH_TOKENS.get(self._device.type, _BATCH_TOKENS["cpu"])
        lengths = self._lengths(texts)
        batch: list[int] = []
        for row in np.argsort(-lengths, kind="stable").tolist():  # longest first: a lack of memory shows at once
            if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _lengths(self, texts: list[str]) -> IntArray:
        # Tokenised here to count and again by the model: about 1 % of the time of encoding on a CPU.
        if len(texts) < 2:
            return np.ones(len(texts), np.int64)
        if not callable(self._model.tokenizer):  # word-level models: characters stand for tokens
            return np.array([min(len(text), self.max_length) for text in texts], np.int64)
        return np.array([max(len(ids), 1) for ids in self._tokens(texts, marks=True)], np.int64)

    def _tokens(self, texts: list[str], *, marks: bool) -> list[list[int]]:
        tokenizer: Any = self._own_tokenizer
        tokens = tokenizer(
            texts,
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
            add_special_tokens=marks,
        )
        found: list[list[int]] = tokens["input_ids"]
        return found

    @cached_property
    def _own_tokenizer(self) -> Any:
        # The model's own pads; asking it not to would change it under threads that are encoding.
        return copy.deepcopy(self._model.tokenizer)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the tokens of each text, cut off at ``max_length``, without the marks of begin and end."""
        return self._tokens([_encodable(text) for text in texts], marks=False) if texts else []

    def token_vectors(self) -> FloatArray:
        """(v, d) float32: what the model knows of each token by itself, before any context."""
        transformer: Any = self._model[0]
        weights: torch.Tensor = transformer.auto_model.get_input_embeddings().weight
        vectors: FloatArray = weights.detach().float().cpu().numpy()
        return vectors


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


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
