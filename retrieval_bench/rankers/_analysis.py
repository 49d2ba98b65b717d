r"""Text to terms, as Lucene's EnglishAnalyzer does it (the default of Anserini), so that figures can be set beside its.

Words follow the rules of Unicode's UAX #29 as Lucene's StandardTokenizer applies them: ``don't``, ``3.14`` and
``snake_case`` stay whole, ``a-b`` and ``x/y`` fall apart, ideographs stand alone. Then the possessive ``'s`` is taken
off, letters are lowered, Lucene's 33 stop words are left out, and words are stemmed. Emoji are not words here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Literal

import bm25s.stopwords
import Stemmer

Stemming = Literal[
    "porter", "english", "danish", "dutch", "french", "german", "italian", "norwegian", "portuguese", "russian",
    "spanish", "swedish", "turkish", "none",
]  # fmt: skip
StopWords = Literal[
    "english", "danish", "dutch", "french", "german", "italian", "norwegian", "portuguese", "russian", "spanish",
    "swedish", "turkish", "none",
]  # fmt: skip

_LUCENE_STOP_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with
"""
STOP_WORDS = frozenset(_LUCENE_STOP_WORDS.split())
_LONGEST = 255  # characters; Lucene cuts longer words into pieces of this length

_ALONE = "\u3041-\u3096\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # hiragana and ideographs
_JOINS_LETTERS = "'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\ufe13\ufe52\ufe55\uff07\uff0e\uff1a"
_JOINS_DIGITS = (
    "'.,;\u037e\u0589\u060c\u060d\u066c\u07f8\u2018\u2019\u2024\u2044\ufe10\ufe14\ufe52\uff07\uff0c\uff0e\uff1b"
)
_POSSESSIVES = ("'s", "\u2019s", "\uff07s")


def _class_of(categories: set[str], *, more: str = "") -> str:
    """The inside of a character class: all characters of these general categories, and ``more``."""
    planes = (*range(0x20000), *range(0xE0100, 0xE01F0))
    runs: list[list[int]] = []
    for code in planes:
        if unicodedata.category(chr(code)) not in categories and chr(code) not in more:
            continue
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)


_ASCII_WORDS = re.compile(r"\w+(?:(?:(?<=[a-z])['.:](?=[a-z])|(?<=\d)['.,;](?=\d))\w+)*")  # of lowered text


def _all_words() -> re.Pattern[str]:
    marks = _class_of(
        {"Mn", "Mc", "Me"}, more="\u200c\u200d"
    )  # with the joiners; they belong to the letter before them
    apart = f"{_ALONE}{_class_of({'No'})}"  # fractions and raised or lowered digits are no part of a word
    run = rf"[^\W{apart}](?:[^\W{apart}]|[{marks}])*"
    letters = rf"(?:(?<=[^\W\d_])|(?<=[{marks}]))[{_JOINS_LETTERS}](?=[^\W\d_])"
    digits = rf"(?<=\d)[{_JOINS_DIGITS}](?=\d)"
    return re.compile(rf"[{_ALONE}][{marks}]*|{run}(?:(?:{letters}|{digits}){run})*")


_ALL_WORDS = _all_words()


def words(text: str) -> list[str]:
    """The words of a text, lowered, possessives taken off, none longer than 255 characters."""
    found = (_ASCII_WORDS if text.isascii() else _ALL_WORDS).findall(text.lower())
    result = []
    for word in found:
        plain = word[:-2] if word.endswith(_POSSESSIVES) else word
        if len(plain) <= _LONGEST:
            result.append(plain)
        else:
            result.extend(plain[i : i + _LONGEST] for i in range(0, len(plain), _LONGEST))
    return result


def term_maker(stemming: Stemming, stop_words: StopWords) -> Callable[[str], str]:
    """The function from a word to the term that is indexed; it gives ``""`` for a stop word.

    Stems are Porter's of 1980 as Lucene has them (``porter``), or those of Snowball for a language; stop words are
    Lucene's for English, those of NLTK for other languages.
    """
    stopped = _stop_words(stop_words)
    if stemming == "none":
        return lambda word: "" if word in stopped else word
    # No cache: what is kept here would not be safe to share between threads.
    stem: Callable[[str], str] = Stemmer.Stemmer(stemming, 0).stemWord
    if stemming == "porter":
        stem = partial(_lucene_porter, stem)
    return lambda word: "" if word in stopped else stem(word)


_MEASURED = re.compile(r"(?:[aeiou]|(?<=[^aeiou])y)[^aeiou]")  # a vowel and a consonant: Porter's m > 0


def _lucene_porter(stem: Callable[[str], str], word: str) -> str:
    """Porter's stem with the three departures from the paper that its author's own program has, and so Lucene's.

    Words of one or two letters stay; ``bli`` becomes ``ble`` also without an ``a`` before it; ``logi`` becomes ``log``.
    """
    if len(word) <= 2:
        return word
    found = stem(word)
    if found.endswith("logi") and _MEASURED.search(found[:-4]):
        return found[:-1]
    if found.endswith("bli") and _MEASURED.search(found[:-3]):
        return stem(f"{found[:-1]}e")
    return found


def _stop_words(language: StopWords) -> frozenset[str]:
    if language == "none":
        return frozenset()
    return STOP_WORDS if language == "english" else frozenset(getattr(bm25s.stopwords, f"STOPWORDS_{language.upper()}"))
