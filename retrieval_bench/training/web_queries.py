"""Docstring summaries rewritten as people type questions about code into a browser.

"Return a list of the names." becomes "python get list of names" or "how to get a list of the names in python": the
summary's first sentence, in lower case, without punctuation, some function words dropped, the language named as web
queries name it (CoSQA, Huang et al. 2021, arXiv 2105.13239, section 3). It teaches an encoder that
such words say nothing about which function is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_FUNCTION_WORDS = frozenset(
    ["a", "an", "the", "of", "to", "in", "on", "for", "and", "or", "is", "are", "be", "it", "its", "this", "that",
     "with", "by", "from", "as", "at", "if"]
)  # fmt: skip
_DROPPED = 0.5  # share of function words
_LONGEST = 12  # words
_ASKED = {
    "return": "get",
    "returns": "get",
    "gets": "get",
    "checks": "check",
    "converts": "convert",
    "creates": "create",
}
_FRAMES = (
    ("python {}", 0.3), ("{} python", 0.2), ("how to {} in python", 0.2), ("{} in python", 0.1),
    ("python how to {}", 0.05), ("{}", 0.15),
)  # fmt: skip


def rewritten(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """The texts, about this share of them, drawn at random, as web queries."""
    chosen = rng.random(len(texts)) < share
    return [web_query(text, rng) if change else text for text, change in zip(texts, chosen, strict=True)]


def web_query(text: str, rng: np.random.Generator) -> str:
    """One text as a web query; a text without a word stays as it is."""
    sentence = re.split(r"\.\s|\n", text.lower(), maxsplit=1)[0]
    words = re.findall(r"\w+", sentence)
    if not words:
        return text
    words[0] = _ASKED.get(words[0], words[0])
    kept = [word for word in words if word not in _FUNCTION_WORDS or rng.random() >= _DROPPED] or words
    frames, shares = zip(*_FRAMES, strict=True)
    return str(rng.choice(frames, p=shares)).format(" ".join(kept[:_LONGEST]))
