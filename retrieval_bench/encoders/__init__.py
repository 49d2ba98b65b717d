"""Text to vectors. Importing this package imports no engine: torch comes with ``load_encoder``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from retrieval_bench.encoders.cache import cached_encode, encode_queries
from retrieval_bench.encoders.encoded import encoded_by
from retrieval_bench.registry import missing

if TYPE_CHECKING:
    from retrieval_bench.encoders.sentence import SentenceEncoder

__all__ = ["cached_encode", "encode_queries", "encoded_by", "load_encoder"]


def load_encoder(
    name: str | None = None,
    *,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    max_length: int | None = None,
    device: str | None = None,
) -> SentenceEncoder:
    """Load a sentence-transformers model.

    Args:
        name: ``minilm`` (None means the same): all-MiniLM-L6-v2 as packaged for offline use; or a local folder;
            or a model of the Hugging Face hub such as ``intfloat/e5-small-v2``, downloaded unless it is at hand.
        precision: of the weights. ``auto`` is bfloat16 where the machine computes in it natively, else float32.
        max_length: tokens kept of a text; None is the model's own limit (256 for ``minilm``).
        device: ``cpu``, ``cuda`` or ``cuda:1``; None is a GPU where there is one.

    Raises:
        UnavailableError: the packages, the model or the device cannot be had; says how to get them.
        DataError: the folder does not hold a model that can be loaded.
        UsageError: ``max_length`` is longer than the model can read.
    """
    try:
        from retrieval_bench.encoders.sentence import SentenceEncoder
    except ModuleNotFoundError as error:
        raise missing("encoding text", error) from error
    return SentenceEncoder(name or "minilm", precision=precision, max_length=max_length, device=device)
