"""A collection with the vectors of one encoder: those that it has where they are of that encoder, else new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from retrieval_bench.encoders.cache import cached_encode
from retrieval_bench.errors import DataError
from retrieval_bench.protocols import Encoder
from retrieval_bench.types import Corpus, EncoderInfo, Queries

Part = TypeVar("Part", bound=Corpus | Queries)


def encoded_by(encoder: Encoder, part: Part, *, progress: bool = False) -> Part:
    """The collection with vectors of its texts by this encoder.

    Two encoders of one dimension make vectors that cannot be compared, so the vectors of another one do not serve.
    Vectors that were given as data do: nobody knows what made them, and the caller says by the encoder's name.

    Args:
        encoder: asked by way of the cache (see ``cached_encode``).
        part: documents, or queries, which are encoded as such.
        progress: show a bar on standard error.

    Raises:
        DataError: given vectors are not of the encoder's dimension, or there are no texts to encode.
    """
    given, maker = part.vectors, part.encoder
    if given is None or (maker is not None and maker.revision != encoder.revision):
        made = cached_encode(encoder, part.require_texts(), queries=isinstance(part, Queries), progress=progress)
        return replace(part, vectors=made, encoder=EncoderInfo(name=encoder.name, revision=encoder.revision))
    if given.shape[1] != encoder.dim:
        raise DataError(
            f"there are vectors of {given.shape[1]} dimensions, the encoder {encoder.name!r} makes {encoder.dim}; "
            "name the encoder that they come from"
        )
    return part
