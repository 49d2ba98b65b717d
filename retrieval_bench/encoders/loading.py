"""Loading and saving sentence-transformers models, for encoding and for training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from retrieval_bench.errors import DataError


def open_model(folder: Path, device: torch.device) -> SentenceTransformer:
    """The model of a folder, in float32 or as saved, ready to encode.

    Raises:
        DataError: the folder does not hold a model that can be loaded.
    """
    with no_bars():
        try:
            return SentenceTransformer(str(folder), device=str(device), local_files_only=True).eval()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise DataError(f"{folder}: cannot be loaded as a sentence-transformers model: {reason}") from error


def save_model(model: SentenceTransformer, folder: Path) -> None:
    """Write a model into an existing folder, as ``open_model`` reads it: weights as safetensors, no card."""
    with no_bars():
        model.save(str(folder), create_model_card=False)


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Without the bar that transformers shows while it loads weights."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
