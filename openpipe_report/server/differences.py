"""
The differences of two texts, for reading them side by side.

Comparing takes time in proportion to the product of the lengths in the worst case, so what is
compared is bounded: what both texts begin and end with is found first, in linear time, and what is
left is compared word by word, or line by line, or not at all if it has too many of them.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PIECES = 2_000
"""Most words or lines of a text that are compared with those of another."""
MAX_CHARACTERS = 200_000
"""Characters of a text that are looked at."""

_LONGEST_WORD = 50
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


class Part(NamedTuple):
    """A part of one text."""

    text: str
    is_different: bool
    """Whether the other text does not have it there."""


class Sides(NamedTuple):
    """Both texts in parts; those that do not differ are the same on both sides."""

    left: list[Part]
    right: list[Part]

    @property
    def are_equal(self) -> bool:
        """Whether nothing differs."""
        return not any(part.is_different for part in (*self.left, *self.right))


def compare(left: str, right: str) -> Sides:
    """
    Return both texts in parts that are the same and parts that differ.

    Args:
        left: A text; what is beyond `MAX_CHARACTERS` is left out, and so counts for neither.
        right: The other one.

    """
    left, right = left[:MAX_CHARACTERS], right[:MAX_CHARACTERS]
    begin = _common_prefix(left, right)
    end = _common_prefix(left[begin:][::-1], right[begin:][::-1])
    middles = (left[begin : len(left) - end], right[begin : len(right) - end])
    sides = _compare_pieces(*middles)
    first = [Part(left[:begin], is_different=False)]
    last = [Part(left[len(left) - end :], is_different=False)]
    return Sides(*(_join([*first, *parts, *last]) for parts in sides))


def _compare_pieces(left: str, right: str) -> Sides:
    for pattern in (_WORDS, _LINES):
        pieces = (_split(pattern, left), _split(pattern, right))
        if max(map(len, pieces)) <= MAX_PIECES:
            return _match(*pieces)
    return Sides([Part(left, is_different=True)], [Part(right, is_different=True)])


def _split(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return the pieces of a text, one more than are compared at most."""
    found: list[str] = []
    for match in pattern.finditer(text):
        found.append(match[0])
        if len(found) > MAX_PIECES:
            break
    return found


def _match(left: Sequence[str], right: Sequence[str]) -> Sides:
    # `autojunk` looks up no piece that is in more than a hundredth of the places: without it, texts
    # of one word repeated would take minutes.
    matcher = SequenceMatcher(None, left, right, autojunk=True)
    sides = Sides([], [])
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        sides.left.append(Part("".join(left[i1:i2]), tag != "equal"))
        sides.right.append(Part("".join(right[j1:j2]), tag != "equal"))
    return sides


def _join(parts: Sequence[Part]) -> list[Part]:
    """Return the parts without empty ones, and neighbours of a kind as one."""
    found: list[Part] = []
    for part in parts:
        if not part.text:
            continue
        if found and found[-1].is_different == part.is_different:
            found[-1] = Part(found[-1].text + part.text, part.is_different)
        else:
            found.append(part)
    return found


def _common_prefix(left: str, right: str) -> int:
    """Return how many characters both texts begin with, up to the begin of a word."""
    length = _count_equal(left, right)
    if length == len(left) == len(right):
        return length
    start = length
    while start and left[start - 1].isalnum() and length - start < _LONGEST_WORD:
        start -= 1
    return start


def _count_equal(left: str, right: str) -> int:
    """Return how many characters are equal from the first on."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (one, other) in pairs if one != other), min(len(left), len(right)))
