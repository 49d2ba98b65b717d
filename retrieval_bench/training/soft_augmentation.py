"""Soft data augmentation of code and queries: some tokens are masked, or replaced by what kind of token they are.

CoCoSoDa (Shi et al. 2023, arXiv 2204.03293, section 3.2). Code is changed in one of four ways, drawn for each text:
dynamic masking and dynamic replacement of tokens of all kinds, and both again for tokens of one kind, itself drawn
from those in the text. Queries have no kinds of tokens and are only masked. Which tokens change is drawn anew whenever
a text is seen. The paper works on syntax trees; here tokens are told apart by how they look, so that any language with
names, strings, numbers and operators will do.
"""

from __future__ import annotations

import keyword
import re

import numpy as np

SHARE = 0.15  # of the tokens, over all kinds
SHARE_OF_KIND = 0.5  # of the tokens of the one kind: fewer tokens, so more of them

# Besides Python's: what Java, JavaScript, PHP, Go and Ruby have in common.
_KEYWORDS = frozenset(keyword.kwlist) | {
    "function", "var", "let", "const", "public", "private", "protected", "static", "final", "void", "new", "this",
    "func", "package", "end", "do", "then", "catch", "throw", "switch", "case", "default", "extends", "implements",
    "interface", "struct", "echo", "nil", "null", "true", "false",
}  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<string>\"(?:\\.|[^"\\\n])*\"|'(?:\\.|[^'\\\n])*')|(?P<number>\b\d[\w.]*)|(?P<name>[^\W\d]\w*)"""
    r"""|(?P<operator>[^\w\s"'#]+)"""
)
_WORD = re.compile(r"\w+")


def masked(text: str, mask: str, rng: np.random.Generator, *, share: float = SHARE) -> str:
    """A query with about this share of its words replaced by the mask token."""
    words = list(_WORD.finditer(text))
    drawn = rng.random(len(words)) < share
    return _replaced(text, [(word, mask) for word, change in zip(words, drawn, strict=True) if change])


def softened(code: str, mask: str, rng: np.random.Generator) -> str:
    """Code with some of its tokens masked, or replaced by their kind; code without tokens stays as it is.

    Args:
        code: in any language.
        mask: the tokenizer's mask token.
        rng: of which way, which kind and which tokens.
    """
    found = [(token, kind(token)) for token in _TOKEN.finditer(code)]
    if not found:
        return code
    share = SHARE
    if rng.random() < 0.5:  # one kind only
        one = rng.choice(sorted({kind for _, kind in found}))
        found = [(token, kind) for token, kind in found if kind == one]
        share = SHARE_OF_KIND
    by_kind = rng.random() < 0.5
    drawn = rng.random(len(found)) < share
    changed = [pair for pair, change in zip(found, drawn, strict=True) if change]
    return _replaced(code, [(token, f" {kind} " if by_kind else mask) for token, kind in changed])


def kind(token: re.Match[str]) -> str:
    """What a token is: ``keyword``, ``name``, ``string``, ``number`` or ``operator``."""
    group = token.lastgroup or "name"
    return "keyword" if group == "name" and token.group() in _KEYWORDS else group


def _replaced(text: str, changes: list[tuple[re.Match[str], str]]) -> str:
    parts, end = [], 0
    for token, substitute in changes:
        parts += [text[end : token.start()], substitute]
        end = token.end()
    return "".join([*parts, text[end:]])
