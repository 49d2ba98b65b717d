"""What a training run can be told, shared by all recipes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retrieval_bench.types import Frozen


class Settings(Frozen):
    """Settings of one run; the defaults end within minutes on two CPU cores with the packaged encoder."""

    seed: int = Field(default=0, ge=0, description="of every random choice: the same seed gives the same weights")
    split: Literal["train", "tune"] = Field(
        default="train", description="queries learned from; after learning from tune nothing can be chosen on it"
    )
    epochs: int = Field(default=1, ge=1, description="passes over the training queries")
    batch: int = Field(default=32, ge=2, description="queries in a step; their documents are each other's negatives")
    learning_rate: float = Field(default=2e-5, gt=0, description="at its peak, after the warm-up")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(default=0.01, ge=0, description="of AdamW")
    temperature: float = Field(default=0.05, gt=0, description="cosine similarities are divided by it")
    query_tokens: int = Field(default=32, ge=3, description="tokens kept of a query")
    document_tokens: int = Field(default=64, ge=3, description="tokens kept of a document, in training only")
    negatives: int = Field(default=1, ge=0, description="hard negatives of each query, mined with BM25")
    frozen_layers: int = Field(default=2, ge=0, description="lower transformer layers that stay as they are")
    web_queries: float = Field(default=0.0, ge=0, le=1, description="share of queries rewritten as typed in a browser")
