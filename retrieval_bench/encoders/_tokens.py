"""Texts as numbers of tokens: read once, then padded batch by batch as sentence-transformers would pad them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from retrieval_bench.types import IntArray

_CHUNK = 4096  # texts whose tokens are Python lists at the same time, which take ten times the memory of arrays


class Tokens:
    """Tokens of n texts, or of n pairs of texts, cut off at the tokenizer's limit.

    Args:
        tokenizer: one that nobody else changes (see ``own_tokenizer``).
        texts: texts, or pairs of texts, without lone surrogates.

    Attributes:
        lengths: (n,) int64 tokens of each, marks of begin and end among them.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str] | Sequence[tuple[str, str]]) -> None:
        found: dict[str, list[IntArray]] = {"input_ids": []}
        lengths: list[int] = []
        for start in range(0, len(texts), _CHUNK):
            part = list(texts[start : start + _CHUNK])
            read = tokenizer(part, truncation="longest_first", return_attention_mask=False)
            lengths += map(len, read["input_ids"])
            for name, rows in read.items():
                found.setdefault(name, []).append(np.fromiter(chain.from_iterable(rows), np.int32))
        self.lengths = np.array(lengths, np.int64)
        self._starts = np.cumsum([0, *lengths])
        pads = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
        self._columns = {name: (np.concatenate(parts), pads.get(name) or 0) for name, parts in found.items() if parts}

    def features(self, rows: Sequence[int], device: torch.device) -> dict[str, Any]:
        """What a model's first module takes: (len(rows), longest) int64 tensors, padded on the right."""
        there = self._there(rows)
        features: dict[str, Any] = {"attention_mask": moved(there.astype(np.int64), device), "modality": "text"}
        for name, (values, pad) in self._columns.items():
            padded = np.full(there.shape, pad, np.int64)
            padded[there] = np.concatenate([values[self._starts[row] : self._starts[row + 1]] for row in rows])
            features[name] = moved(padded, device)
        return features

    def places(self, rows: Sequence[int], device: torch.device) -> torch.Tensor:
        """Places of the tokens in the flattened batch of ``features``, text by text; one for a text without tokens."""
        kept = self._there(rows)
        kept[:, 0] = True
        return moved(np.flatnonzero(kept), device)

    def _there(self, rows: Sequence[int]) -> Any:
        lengths = self.lengths[list(rows)]
        return np.arange(max(1, int(lengths.max()))) < lengths[:, None]


def moved(array: IntArray, device: torch.device) -> torch.Tensor:
    """The array on the device; a GPU copies it while Python goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def own_tokenizer(model: Any) -> Any:
    """A copy of the model's tokenizer, or None where it has none that is called with texts.

    The model's own pads; asking it not to would change it under threads that are encoding.
    """
    if not callable(model.tokenizer):
        return None
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer(["a"], truncation="longest_first")  # sets it to cut off now: no thread may do so while another reads
    return tokenizer


def lengths_of(tokenizer: Any, texts: Sequence[str] | Sequence[tuple[str, str]], most: int) -> IntArray:
    """(n,) tokens of texts or pairs that are not read here; characters stand for them in word-level models."""
    if tokenizer is not None:
        return Tokens(tokenizer, texts).lengths
    return np.array([min(len(text if isinstance(text, str) else "".join(text)), most) for text in texts], np.int64)


def encodable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
