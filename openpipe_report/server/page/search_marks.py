"""Marks the words of a search in a text: the places that the search index has found it by."""

from __future__ import annotations

from typing import NamedTuple

from openpipe_report.server.store.search_tokens import fold, normalize, split_search

_BEFORE = 50
_LENGTH = 200
_NEAR = 1_000


class Segment(NamedTuple):
    """A piece of a text."""

    text: str
    is_match: bool


def find_snippet(text: str, searched: str) -> list[Segment]:
    """Return a piece of a text around a word of a search; nothing if it has none of the words."""
    terms = [fold(term.text) for term in split_search(searched)]
    folded = fold(normalize(text))
    found = [place for place in map(folded.find, terms) if place >= 0]
    if not found:
        return []
    # Folding changes lengths: the place in the text itself is near this one.
    near = max(min(found) - _NEAR, 0)
    return _mark(text[near : near + 2 * _NEAR + _LENGTH], terms)


def _mark(text: str, terms: list[str]) -> list[Segment]:
    folded, sources = _fold_with_sources(text)
    kept = set(sources)
    is_match = [False] * len(text)
    first: int | None = None
    for term in terms:
        place = folded.find(term)
        while place >= 0:
            start, end = sources[place], sources[place + len(term) - 1] + 1
            while end < len(text) and end not in kept:
                end += 1  # combining characters, which a search leaves out
            is_match[start:end] = [True] * (end - start)
            first = start if first is None else min(first, start)
            place = folded.find(term, place + len(term))
    if first is None:
        return []
    start = max(first - _BEFORE, 0)
    return _segments(text[start : start + _LENGTH], is_match[start : start + _LENGTH])


def _fold_with_sources(text: str) -> tuple[str, list[int]]:
    """Return the folded text, and for each of its characters the index of the one it is from."""
    folded: list[str] = []
    sources: list[int] = []
    for index, character in enumerate(text):
        piece = fold(normalize(character))
        folded.append(piece)
        sources += [index] * len(piece)
    return "".join(folded), sources


def _segments(text: str, is_match: list[bool]) -> list[Segment]:
    segments: list[Segment] = []
    begin = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or is_match[index] != is_match[begin]:
            segments.append(Segment(text[begin:index], is_match[begin]))
            begin = index
    return segments
