"""
Splits text into what a search index compares: words, and pairs of characters.

Chinese, Japanese, Korean, Thai and their neighbours do not set words apart by spaces. A run of such
characters is indexed as each pair of neighbours and the last character alone, so that any part of
the run is found: two characters are one pair, and one is the beginning of a pair.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

MAX_WORDS = 50
"""Words of a search that count; the others are left out."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007"
    "\u3021-\u30ff\u3100-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff]+"
)
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


class Term(NamedTuple):
    """A part of a search that must be found: a word, or a run of pairs."""

    text: str
    is_unspaced: bool


def split_text(text: str) -> tuple[str, str]:
    """Return a text without its unspaced runs, and the pairs of those runs, apart by spaces."""
    text = normalize(text)
    if text.isascii():
        return text, ""
    pairs: list[str] = []
    for run in _UNSPACED.findall(text):
        pairs += pairs_of(run)
    return (_UNSPACED.sub(" ", text), " ".join(pairs)) if pairs else (text, "")


def split_search(text: str) -> list[Term]:
    """Return the terms of what a user searches for; none if it has no letter and no digit."""
    terms: list[Term] = []
    for word in normalize(text).split():
        terms += [Term(run, is_unspaced=True) for run in _UNSPACED.findall(word)]
        spaced = _UNSPACED.sub(" ", word).split()
        terms += [Term(one, is_unspaced=False) for one in spaced if any(map(str.isalnum, one))]
    return terms[:MAX_WORDS]


def pairs_of(run: str) -> list[str]:
    """Return each two neighbours of a run, and the last character."""
    return [run[i : i + 2] for i in range(len(run))]


def normalize(text: str) -> str:
    """Compose characters, widths and ligatures (NFKC); drop what no database can hold."""
    if text.isascii():
        return text.replace("\0", " ")
    text = _UNUSABLE.sub(" ", text)
    return unicodedata.normalize("NFKC", text)


def fold(text: str) -> str:
    """Return a text without case and diacritics, for comparison without an index."""
    if text.isascii():
        return text.lower()
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in split if not "\u0300" <= one <= "\u036f")
