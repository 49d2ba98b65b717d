"""Every index backend at one setting each, for the benches: its first card, at the middle of the card's settings."""

from __future__ import annotations

from retrieval_bench.errors import UnavailableError
from retrieval_bench.registry import indexes
from retrieval_bench.specs import SystemCard, system_cards


def backends() -> tuple[list[SystemCard], dict[str, str]]:
    """One card for each backend that can run here, with a single search setting; and why the others cannot."""
    by_backend: dict[str, SystemCard] = {}
    for card in system_cards("index").values():
        chosen = by_backend.setdefault(card.backend, card)
        if card.name == card.backend != chosen.name:
            by_backend[card.backend] = card
    found, absent = [], {}
    for name in indexes.names():
        try:
            indexes.get(name)
        except UnavailableError as error:
            absent[name] = str(error)
            continue
        if name not in by_backend:  # a plug-in without a card: its defaults
            by_backend[name] = SystemCard(name=name, summary="", kind="index", backend=name, source="", default=False)
        settings = by_backend[name].settings()
        found.append(by_backend[name].model_copy(update={"search": settings[len(settings) // 2]}))
    return found, absent


def markdown(rows: list[dict[str, str]]) -> str:
    """A table with one column for each key of the first row."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([row.get(head, "") for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
