"""Encoders and cross-encoders for bench_gpu: rate at length 128, operations of a text, error of the precision."""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from transformers.utils import logging

from retrieval_bench.encoders import load_encoder
from retrieval_bench.encoders._models import find_model
from retrieval_bench.encoders.loading import no_bars
from retrieval_bench.measure.clock import timed
from retrieval_bench.scorers.cross_encoder import CrossEncoderScorer, CrossEncoderSettings

LENGTH, LAYERS, WIDTH = 128, 6, 384
# A layer: four products of width x width, two of width x 4 width, and the attention over the length.
OPERATIONS = LENGTH * LAYERS * (2 * 12 * WIDTH**2 + 4 * LENGTH * WIDTH)
_WORDS = ["index", "vector", "query", "memory", "budget", "recall", "search", "corpus", "of", "the", "a", "fast"]


def texts(count: int, words: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(_WORDS, words)) for _ in range(count)]


def encoding(device: torch.device, count: int) -> tuple[float, float, float]:
    """Documents per second, operations of one, and the largest difference of a value to float32."""
    encoder = load_encoder(None, max_length=LENGTH, device=str(device))
    documents = texts(count, LENGTH, 0)
    encoder.encode(documents[:256])
    seconds = min(timed(lambda: encoder.encode(documents))[1] for _ in range(3))
    plain = load_encoder(None, max_length=LENGTH, device=str(device), precision="float32")
    off = np.abs(encoder.encode(documents[:64]) - plain.encode(documents[:64])).max()
    return count / seconds, OPERATIONS, float(off)


def cross_encoding(device: torch.device, count: int) -> tuple[float, float, float]:
    """As ``encoding``, of pairs: the packaged encoder's layers under a new head, as fast as a trained one."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # that the head is new is meant
        with no_bars():
            CrossEncoder(str(find_model("minilm")), num_labels=1, device="cpu", local_files_only=True).save(folder)
        settings = {"model": folder, "max_length": LENGTH}
        scorer = CrossEncoderScorer(CrossEncoderSettings.model_validate(settings), device=str(device))
        plain = CrossEncoderScorer(
            CrossEncoderSettings.model_validate({**settings, "precision": "float32"}), device=str(device)
        )
        queries, documents = texts(count, 8, 1), texts(count, LENGTH, 2)
        scorer.score(queries[:256], documents[:256])
        seconds = min(timed(lambda: scorer.score(queries, documents))[1] for _ in range(3))
        off = np.abs(scorer.score(queries[:64], documents[:64]) - plain.score(queries[:64], documents[:64])).max()
    return count / seconds, OPERATIONS, float(off)
