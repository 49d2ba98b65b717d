"""Which systems want the texts encoded, and what becomes of a run whose encoder cannot be had."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval_bench import registry
from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import DataError, UnavailableError, UsageError
from retrieval_bench.runner.prepared import encoded
from retrieval_bench.specs import SystemCard
from retrieval_bench.types import Dataset


def encoded_for(
    data: Dataset, cards: Sequence[SystemCard], encoder: str | None, *, progress: bool = False
) -> tuple[Dataset, str | None]:
    """The data with vectors of its texts where a system takes any, and the encoder's name (None: nothing encoded).

    Raises:
        UsageError: an encoder was named and there is nothing to encode.
        DataError, UnavailableError: the encoder cannot be had.
    """
    if data.corpus.vectors is None and any(_takes_vectors(c) for c in cards):
        model = load_encoder(encoder)
        return encoded(data, model, progress=progress), model.name
    if encoder is not None:
        raise UsageError(f"--encoder {encoder!r} has nothing to do: no text needs to be encoded for these systems")
    return data, None


def encoded_or_why_not(
    data: Dataset, cards: Sequence[SystemCard], encoder: str | None, *, progress: bool = False
) -> tuple[Dataset, str | None, str]:
    """As ``encoded_for``; where the encoder cannot be had, the data as it is, and third the reason (else empty).

    Raises:
        UsageError: an encoder was named and there is nothing to encode.
        DataError, UnavailableError: the encoder cannot be had, and no system can do without it.
    """
    try:
        return *encoded_for(data, cards, encoder, progress=progress), ""
    except (DataError, UnavailableError) as error:
        if all(_needs_encoder(c) for c in cards):
            raise
        return data, None, str(error)


def refusal(card: SystemCard, lacking: str) -> str:
    """Why a system is refused before it is tried, where the data lacks vectors for this reason; empty: it is tried.

    An index needs them. A ranker meets the same error when it loads the encoder, unless it can do without.
    """
    return lacking if card.kind == "index" else ""


def _takes_vectors(card: SystemCard) -> bool:
    return card.kind == "index" or "encoder" in registry.rankers.get(card.backend).BuildParams.model_fields


def _needs_encoder(card: SystemCard) -> bool:
    """Whether a system depends on the run's encoder: it takes vectors and its card names no encoder of its own."""
    return _takes_vectors(card) and "encoder" not in card.build
