"""Any sentence-transformers CrossEncoder, by name or folder, and those that ``train cross-encoder`` makes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer

from retrieval_bench.device.choose import choose_device
from retrieval_bench.encoders._models import content_hash, find_model
from retrieval_bench.encoders._text_model import TextModel, chosen_precision
from retrieval_bench.encoders._tokens import Tokens, encodable
from retrieval_bench.encoders.loading import no_bars
from retrieval_bench.errors import DataError
from retrieval_bench.registry import scorers
from retrieval_bench.scorers._calls import Calls
from retrieval_bench.scorers._joint_similarity import JointSimilarity
from retrieval_bench.types import FloatArray, Params

# Padded tokens in one batch; 1 << 12 take a fifth longer on a CPU, whose cache then does not hold the activations.
_BATCH_TOKENS = {"cpu": 1 << 10, "cuda": 1 << 16}
_LONGEST = 512  # tokens of a pair where the model names no limit
_LOGITS = torch.nn.Identity()


class CrossEncoderSettings(Params):
    """Settings."""

    model: str = Field(description="local folder, or model of the Hugging Face hub; train one: `train cross-encoder`")
    max_length: int | None = Field(default=None, ge=8, le=8192, description="tokens kept of a pair; None: the model's")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="auto: bfloat16 where native")


@scorers.register("cross_encoder")
class CrossEncoderScorer:
    """Scores are the model's raw outputs (logits), which order as its probabilities do but do not saturate.

    Attributes:
        notes: one line for each thing that did not go as asked: smaller batches, another precision.
    """

    name: ClassVar[str] = "cross_encoder"
    Settings: ClassVar[type[Params]] = CrossEncoderSettings

    def __init__(self, settings: CrossEncoderSettings, *, device: str | None = None) -> None:
        self.settings = settings
        self._calls = Calls()
        self.notes: list[str] = []
        chosen, what = choose_device(device), f"cross-encoder {settings.model!r}"
        self._folder = find_model(settings.model)
        self._model = open_cross_encoder(self._folder, chosen)
        if settings.max_length is not None:
            self._model.max_seq_length = settings.max_length
        self._bfloat16 = chosen_precision(settings.precision, chosen, what, self.notes) == "bfloat16"
        if self._bfloat16:
            self._model[0].to(torch.bfloat16)
        self._texts = TextModel(self._model, chosen, _BATCH_TOKENS, what, self.notes)

    @classmethod
    def open(cls, settings: CrossEncoderSettings) -> Self:
        """Load the model.

        Raises:
            UnavailableError: the model cannot be had.
            DataError: the folder does not hold a cross-encoder with one output.
        """
        return cls(settings)

    @property
    def calls(self) -> int:
        """Pairs scored so far."""
        return self._calls.total

    @cached_property
    def revision(self) -> str:
        """Hash of the model's files, its length and precision."""
        digest = blake2b(content_hash(self._folder), digest_size=12)
        digest.update(f"max_length={self._model.max_seq_length} bfloat16={self._bfloat16}".encode())
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self._texts.nbytes

    def score(self, query_texts: Sequence[str], document_texts: Sequence[str]) -> FloatArray:
        """(len(query_texts),) float32 logits; pairs of like length share a batch.

        Raises:
            DeviceMemoryError: one pair alone does not fit on the device.
            DataError: the model gives NaN or infinity.
        """

        def by_tokens(model: Any, tokens: Tokens, places: list[int]) -> torch.Tensor:
            found: torch.Tensor = model(tokens.features(places, self._texts.device))["scores"]
            return found.reshape(len(places))

        def by_texts(model: Any, batch: list[tuple[str, str]], _: list[int]) -> torch.Tensor:
            found: torch.Tensor = model.predict(
                batch, batch_size=len(batch), activation_fn=_LOGITS, show_progress_bar=False, convert_to_tensor=True
            )
            return found.reshape(len(batch))

        pairs = [
            (encodable(query), encodable(document)) for query, document in zip(query_texts, document_texts, strict=True)
        ]
        longest = 5 * (self._model.max_seq_length or _LONGEST)  # characters: those beyond are cut off by the tokenizer
        scores = np.empty(len(pairs), np.float32)
        for places, found in self._texts.run(pairs, by_tokens, by_texts, longest=longest):
            scores[places] = found
            self._calls.add(len(places))
        return scores


def open_cross_encoder(folder: Path, device: torch.device) -> CrossEncoder:
    """The model of a folder, ready to score.

    Raises:
        DataError: the folder does not hold a cross-encoder with one output.
    """
    with no_bars():
        try:
            head = _own_head(folder)
            given: dict[str, Any] = {"local_files_only": True} if head is None else {"modules": head}
            model: CrossEncoder = CrossEncoder(str(folder) if head is None else None, device=str(device), **given)
            model.eval()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise DataError(f"{folder}: cannot be loaded as a cross-encoder: {reason}") from error
    if model.num_labels != 1:
        raise DataError(f"{folder}: has {model.num_labels} outputs; a scorer needs a cross-encoder with one")
    return model


def _own_head(folder: Path) -> list[torch.nn.Module] | None:
    """Transformer and head of a model made here; None for any other, which sentence-transformers loads alone."""
    listed = folder / "modules.json"
    modules = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []
    place = next((m["path"] for m in modules if m["type"].endswith(f".{JointSimilarity.__name__}")), None)
    return (
        None
        if place is None
        else [Transformer.load(str(folder), local_files_only=True), JointSimilarity.restored(folder / place)]
    )
