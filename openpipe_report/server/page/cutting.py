"""Bounds what a page shows: a browser freezes on 5 MB of text, and a report may have 60."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from openpipe_report.server.page.markup import Stopwatch, to_code, to_json_text, to_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

MAX_TEXT = 20_000
"""Characters that are shown of one text."""
MAX_PAGE = 400_000
"""Characters that are shown of all texts of a page."""
MAX_TURNS = 200
"""Turns that are shown of one conversation."""

_AT_LEAST = 300
_MAX_STRING = 2_000
_MAX_ENTRIES = 1_000
_MAX_DEPTH = 60
_FIRST_TURNS = 5


class Cut(NamedTuple):
    """The beginning of a text."""

    text: str
    left_out: int
    """Characters that are not in it."""


class Budget:
    """The characters that one page may still show."""

    def __init__(self) -> None:
        self._left = MAX_PAGE
        self._stopwatch = Stopwatch()

    def cut(self, text: str) -> Cut:
        """Return what may be shown of a text: a few words of it in any case."""
        length = min(MAX_TEXT, max(self._left, _AT_LEAST))
        shown = text[:length]
        self._left -= len(shown)
        return Cut(shown, len(text) - len(shown))

    def to_markdown(self, text: str) -> Markup:
        """Return a text as Markdown."""
        return to_markdown(text, self._stopwatch)

    def to_code(self, text: str, language: str) -> Markup:
        """Return code with its tokens told apart."""
        return to_code(text, language, self._stopwatch)

    def cut_json(self, value: Any) -> Cut:
        """Return what may be shown of a value as indented JSON text."""
        return self.cut(to_json_text(shorten(value)))


class Shown(NamedTuple):
    """Some turns of a conversation."""

    first: Sequence[Any]
    left_out: int
    """Turns between the first and the last ones."""
    last: Sequence[Any]


def choose_turns(turns: Sequence[Any]) -> Shown:
    """Return the turns that are shown: of many, the first few and the last ones."""
    if len(turns) <= MAX_TURNS:
        return Shown(turns, 0, ())
    left_out = len(turns) - MAX_TURNS
    return Shown(turns[:_FIRST_TURNS], left_out, turns[_FIRST_TURNS + left_out :])


def shorten(value: Any, depth: int = 0) -> Any:
    """Return a value in which long strings, arrays and deep levels are cut."""
    if isinstance(value, str):
        return _shorten_text(value)
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        if depth >= _MAX_DEPTH:
            return f"... ({len(entries):,} names)"
        kept = list(entries.items())[:_MAX_ENTRIES]
        found = {_shorten_text(name): shorten(one, depth + 1) for name, one in kept}
        return found | _rest(len(entries) - len(kept))
    if isinstance(value, list):
        items = value
        if depth >= _MAX_DEPTH:
            return f"... ({len(items):,} entries)"
        kept_items = [shorten(one, depth + 1) for one in items[:_MAX_ENTRIES]]
        more = len(items) - len(kept_items)
        return [*kept_items, f"... ({more:,} more)"] if more else kept_items
    return value


def _shorten_text(text: str) -> str:
    if len(text) <= _MAX_STRING:
        return text
    return f"{text[:_MAX_STRING]}... ({len(text) - _MAX_STRING:,} more characters)"


def _rest(count: int) -> dict[str, Any]:
    return {"...": f"{count:,} more"} if count else {}
