"""Recognition of a whole JSON object in a text that comes in pieces."""

from __future__ import annotations

import re

from openpipe_report._report.merge_rules import is_json_object

_BRACKET_OR_QUOTE = re.compile(r"[\[\]{}\"]")
_QUOTE_OR_ESCAPE = re.compile(r"[\"\\]")


class ObjectScanner:
    """
    Finds the end of an object by its brackets, and only then parses the text, once.

    So the time is linear in the text, whatever the size of the pieces and the number of questions.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._in_escape = False
        self._has_ended = False
        self._is_whole: bool | None = None
        """None while that is not known: there is no end yet, or the text was not parsed."""

    def add(self, piece: str) -> None:
        """Add the next piece of the text."""
        if self._is_whole is False or not piece:
            return
        if not self._pieces:
            piece = piece.lstrip()
            if piece and piece[0] != "{":
                self._is_whole = False
        if piece:
            self._pieces.append(piece)
        rest = piece if self._has_ended else piece[self._scan(piece) :]
        if rest.strip():
            self._is_whole = False

    def is_whole(self) -> bool:
        """Return whether the text so far is one whole JSON object."""
        if self._is_whole is None and self._has_ended:
            self._is_whole = is_json_object("".join(self._pieces))
        return bool(self._is_whole)

    def _scan(self, piece: str) -> int:
        """Read a piece as far as the object's end, or to its own; return the index after it."""
        at = 0
        while at < len(piece):
            if self._in_escape:
                self._in_escape = False
                at += 1
                continue
            pattern = _QUOTE_OR_ESCAPE if self._in_string else _BRACKET_OR_QUOTE
            found = pattern.search(piece, at)
            if found is None:
                break
            at = found.end()
            mark = found[0]
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                self._in_escape = True
            else:
                self._depth += 1 if mark in "[{" else -1
                if self._depth <= 0:
                    self._has_ended = True
                    return at
        return len(piece)
