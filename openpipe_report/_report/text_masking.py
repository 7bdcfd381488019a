"""
Masking text so that JSON in it stays JSON.

The whole text, or a part of it, may be JSON. Each string in it is decoded, masked and encoded
again, and so is JSON inside of such a string. A masked number becomes a string. All other text is
kept byte for byte.
"""

from __future__ import annotations

import json
import re

from openpipe_report._report.secrets_in_text import mask_named_value, mask_secrets

_PIECE = 256 * 1024
"""Characters of a string that are decoded or encoded at once: for a few milliseconds."""
_START = re.compile(r'[\[{][ \t\r\n]*["\[{0-9tfnNI-]')
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|(?P<colon>:)|(?P<string>\")"
    r"|(?P<number>-?[0-9][0-9.eE+-]*(?=[ \t\r\n]*[,\]}]))|(?P<word>true|false|null|NaN|-?Infinity))"
)
_COLON = re.compile(r"[ \t\r\n]*:")
_CHARACTERS = re.compile(r"(?:[^\\]|\\(?:u.{4}|.)?){1,16384}", re.DOTALL)
"""A piece of a string that ends with no part of an escape."""


def mask_text(text: str, name: str = "") -> str:
    """
    Replace e-mail addresses, card numbers, bearer tokens and API keys with their kind.

    Args:
        text: Any text; JSON in it remains valid JSON.
        name: The key of the text.
    """
    text = mask_named_value(name, text) if name else text
    masked = mask_secrets(text)
    if masked == text:
        return text
    parts: list[str] = []
    done = at = 0
    if text.lstrip()[:1] == '"' and text.rstrip()[-1:] == '"':
        scan = _JsonMasker(text, text.index('"'))
        if scan.end == len(text.rstrip()):
            return scan.masked + text[scan.end :]
    while (start := _START.search(text, at)) is not None:
        scan = _JsonMasker(text, start.start())
        at = max(scan.stopped, start.start() + 1)
        if scan.is_masked or "\\u" in scan.masked:
            parts += (mask_secrets(text[done : start.start()]), scan.masked)
            done = scan.end
    if not parts:
        return masked
    return "".join([*parts, mask_secrets(text[done:])])


class _JsonMasker:
    """
    Masks the JSON value at an index of a text.

    If the text stops being JSON in the middle of a value, its last complete member is the end.
    """

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._parts: list[str] = []
        self._done = start
        self._name = ""
        self.stopped = start
        """Index of the value's end, or of the first error."""
        self.end = self._read(start)
        """Index after the part that is JSON."""
        self.is_masked = bool(self._parts)
        self.masked = "".join([*self._parts, text[self._done : self.end]])
        """That part, masked."""

    def _read(self, start: int) -> int:
        depth = 0
        expected = {"open", "string"}
        safe, safe_parts, safe_done = start, 0, start
        at = start
        while (token := _TOKEN.match(self._text, at)) is not None:
            kind = str(token.lastgroup)
            if kind not in expected:
                break
            at = token.end()
            expected = _AFTER_VALUE
            if kind == "string":
                end = self._read_string(at)
                if end < 0:
                    break
                at = end
                expected = _AFTER_STRING
            elif kind == "number":
                self._edit(token.start(kind), at, self._masked_number(token[kind]))
            elif kind in {"open", "comma"}:
                expected = _AFTER_OPEN if kind == "open" else _VALUES
                depth += kind == "open"
                safe, safe_parts, safe_done = at, len(self._parts), self._done
                self._name = ""
            elif kind == "colon":
                expected = _VALUES
            elif kind == "close":
                depth -= 1
            if depth == 0 and kind in {"close", "string"}:
                self.stopped = at
                return at
        self.stopped = at
        del self._parts[safe_parts:]
        self._done = safe_done
        return safe

    def _read_string(self, begin: int) -> int:
        """Mask the string whose first character is at `begin`; return the index after it, or -1."""
        end = _end_of_string(self._text, begin)
        if end < 0:
            return -1
        raw = self._text[begin:end]
        is_name = _COLON.match(self._text, end + 1) is not None
        try:
            value = _decode(raw)
        except ValueError:
            self._edit(begin, end, mask_secrets(raw))
            value = raw
        else:
            masked = mask_text(value, "" if is_name else self._name)
            if masked != value:
                self._edit(begin, end, _encode(masked, in_ascii=raw.isascii()))
        self._name = value if is_name else ""
        return end + 1

    def _masked_number(self, number: str) -> str:
        masked = mask_text(number, self._name)
        return number if masked == number else json.dumps(masked)

    def _edit(self, begin: int, end: int, masked: str) -> None:
        if masked != self._text[begin:end]:
            self._parts += (self._text[self._done : begin], masked)
            self._done = end


_VALUES = {"open", "string", "number", "word"}
_AFTER_OPEN = _VALUES | {"close"}
_AFTER_VALUE = {"comma", "close"}
_AFTER_STRING = {"comma", "close", "colon"}


def _end_of_string(text: str, begin: int) -> int:
    """Return the index of the quote that ends a JSON string, -1 if there is none."""
    at = text.find('"', begin)
    while at >= 0:
        before = at - 1
        while before >= begin and text[before] == "\\":
            before -= 1
        if (at - before) % 2:
            return at
        at = text.find('"', at + 1)
    return -1


def _decode(raw: str) -> str:
    """
    Return the text of the inside of a JSON string.

    Raises:
        ValueError: It contains an unknown escape.
    """
    if "\\" not in raw:
        return raw
    pieces = [raw] if len(raw) <= _PIECE else (piece[0] for piece in _CHARACTERS.finditer(raw))
    return "".join(json.loads(f'"{piece}"', strict=False) for piece in pieces)


def _encode(text: str, *, in_ascii: bool) -> str:
    """Return the inside of a JSON string."""
    return "".join(
        json.dumps(text[start : start + _PIECE], ensure_ascii=in_ascii)[1:-1]
        for start in range(0, len(text), _PIECE)
    )
