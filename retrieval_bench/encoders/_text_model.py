"""A sentence-transformers model of any kind over any number of texts: what encoders and cross-encoders share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from sentence_transformers.base.modules import Transformer

from retrieval_bench.device.choose import native_bfloat16
from retrieval_bench.encoders._batches import Batches
from retrieval_bench.encoders._tokens import Tokens, lengths_of, own_tokenizer
from retrieval_bench.types import FloatArray, IntArray

_FEATURES = {"input_ids", "token_type_ids", "attention_mask"}
_TASKS = {"feature-extraction", "fill-mask", "sequence-classification"}
_HALF = {torch.float16, torch.bfloat16}
_OWN_LENGTHS = ("processing_kwargs", "query_length", "document_length", "query_expansion", "can_flatten_inputs")

ByTokens = Callable[[Any, Tokens, list[int]], torch.Tensor]
ByTexts = Callable[[Any, list[Any], list[int]], torch.Tensor]


class TextModel:
    """Runs a model over texts, or pairs of texts, that share batches by length.

    Args:
        model: ready to compute, on ``device``; its length limit may still change before the first text.
        device: where it is.
        batch_tokens: padded tokens of a batch, by kind of device.
        what: names the model in notes and errors.
        notes: one line for each thing that did not go as asked; added to.
    """

    def __init__(
        self, model: Any, device: torch.device, batch_tokens: Mapping[str, int], what: str, notes: list[str]
    ) -> None:
        self.model, self.device = model, device
        self.batches = Batches(device, batch_tokens, what, notes)
        self.takes_tokens = takes_tokens(model)
        # Some of the weights are float16 or bfloat16, so that what they compute may overflow.
        self._half = any(weights.dtype in _HALF for weights in model.parameters())

    def run(
        self,
        texts: Sequence[str] | Sequence[tuple[str, str]],
        by_tokens: ByTokens,
        by_texts: ByTexts,
        *,
        longest: int,
        waiting: int | None = None,
    ) -> Iterator[tuple[list[int], FloatArray]]:
        """Rows of ``texts`` and their results, in batches from the longest to the shortest.

        Args:
            texts: without lone surrogates.
            by_tokens: the result of some rows, of the model (in float32, after an overflow) and the tokens of all.
            by_texts: the same of the texts of these rows, for models that make more of texts than their tokens.
            longest: tokens, or characters of a word-level model, that a text can count for.
            waiting: see Batches.run.

        Raises:
            DeviceMemoryError, DataError: see Batches.run.
        """
        tokens = Tokens(self.tokenizer, texts) if self.takes_tokens else None
        lengths: IntArray = lengths_of(self.tokenizer, texts, longest) if tokens is None else tokens.lengths

        def work(rows: list[int], wide: bool) -> torch.Tensor:
            model = self._wide if wide else self.model
            if tokens is None:
                return by_texts(model, [texts[row] for row in rows], rows)
            with torch.inference_mode():
                return by_tokens(model, tokens, rows)

        return self.batches.run(lengths, work, half=self._half, waiting=waiting)

    @property
    def nbytes(self) -> int:
        """Bytes of the weights as held in memory."""
        held = [*self.model.parameters(), *self.model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    @cached_property
    def tokenizer(self) -> Any:
        """A tokenizer that nobody else changes; None where the model's is not called with texts."""
        return own_tokenizer(self.model)

    @cached_property
    def _wide(self) -> Any:
        """A copy that computes in float32, for texts that overflow in half precision."""
        return copy.deepcopy(self.model).float()


def takes_tokens(model: Any) -> bool:
    """Whether ``Tokens.features`` are all that the model makes of texts before its modules run.

    It is not so with prompts, chat templates, images, lengths by task, padding on the left, and word-level models.
    """
    first, tokenizer = model[0], model.tokenizer
    if getattr(type(first), "preprocess", None) is not Transformer.preprocess or not callable(tokenizer):
        return False
    return (
        first.processor is tokenizer
        and first.transformer_task in _TASKS
        and list(first.modality_config) == ["text"]
        and not any(getattr(first, name, None) for name in _OWN_LENGTHS)
        and not any(model.prompts.values())
        and getattr(model, "truncate_dim", None) is None
        and tokenizer.padding_side == "right"
        and tokenizer.pad_token_id is not None
        and set(tokenizer.model_input_names) <= _FEATURES
    )


def chosen_precision(
    asked: Literal["auto", "float32", "bfloat16"], device: torch.device, what: str, notes: list[str]
) -> Literal["float32", "bfloat16"]:
    """What the transformer computes in; a GPU that would emulate bfloat16 gets float32, and ``notes`` say so."""
    native = native_bfloat16(device)
    if asked == "auto":
        return "bfloat16" if native else "float32"
    if asked == "bfloat16" and device.type == "cuda" and not native:
        notes.append(f"{what}: bfloat16 was asked for, the GPU does not have it; computed in float32.")
        return "float32"
    return asked
