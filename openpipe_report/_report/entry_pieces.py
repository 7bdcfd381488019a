"""One entry of a delta's list in pieces, and whether another piece belongs to it."""

from __future__ import annotations

from typing import Any

from openpipe_report._report.merge_rules import is_json_object, is_text
from openpipe_report._report.object_scanner import ObjectScanner

Json = dict[str, Any]

_SOURCES = frozenset({"url", "uri", "title"})
"""Last words of keys that are never cut: another value means another entry."""


class EntryPieces:
    """Collects the pieces of one entry."""

    def __init__(self, piece: Json) -> None:
        self.index = index_of(piece)
        self.pieces: list[Json] = []
        self.id: str | int | None = None
        self.type: str | None = None
        self.name = ""
        self.arguments: list[str] = []
        """JSON of a function's arguments. The input of a custom tool is any text, not JSON."""
        self.is_repeated = False
        """Whether a piece repeats a key that is never cut: each piece is then a snapshot."""
        self._sources: Json = {}
        self._scanner = ObjectScanner()
        self.add(piece)

    def add(self, piece: Json) -> None:
        """Add a piece."""
        self.pieces.append(piece)
        self.id = self.id or id_of(piece)
        self.type = self.type or type_of(piece)
        name, arguments = _read_call(piece)
        self.name = self.name or name
        if arguments:
            self.arguments.append(arguments)
            self._scanner.add(arguments)
        for key, value in _sources_of(piece):
            self.is_repeated = self.is_repeated or key in self._sources
            self._sources[key] = value

    def has_other_source(self, piece: Json) -> bool:
        """Return whether a piece has another value for a key that is never cut."""
        return any(self._sources.get(key, value) != value for key, value in _sources_of(piece))

    def is_whole(self) -> bool:
        """Return whether the arguments so far are a whole JSON object."""
        return self._scanner.is_whole()


def index_of(entry: Any) -> int | None:
    """Return the `index` of an entry, None if it has none."""
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if isinstance(index, int) else None


def id_of(entry: Json) -> str | int | None:
    """Return the `id` of an entry, None if it has none or an empty one."""
    entry_id = entry.get("id")
    return entry_id if isinstance(entry_id, (str, int)) and entry_id != "" else None


def type_of(entry: Json) -> str | None:
    """Return the `type` of an entry, None if it has none or an empty one."""
    kind = entry.get("type")
    return kind if isinstance(kind, str) and kind else None


def _sources_of(entry: Json) -> list[tuple[str, Any]]:
    return [
        (key, value)
        for key, value in entry.items()
        if key.rpartition("_")[2] in _SOURCES and value is not None
    ]


def is_text_part(entry: Json) -> bool:
    """Return whether the entry's type is the key of its text: `{"type": "text", "text": ...}`."""
    kind = entry.get("type")
    if not isinstance(kind, str):
        return False
    key = kind.rpartition(".")[2]
    if key not in entry:
        key = key.rpartition("_")[2]
    return is_text(key) and isinstance(entry.get(key), (str, list))


def _read_call(piece: Json) -> tuple[str, str]:
    """Return the name and the arguments in a piece of a call, "" for either if it is absent."""
    inner = piece.get("function") or piece.get("custom") or piece
    if not isinstance(inner, dict):
        return "", ""
    name, arguments = inner.get("name"), inner.get("arguments")
    return (
        name if isinstance(name, str) else "",
        arguments if isinstance(arguments, str) else "",
    )


def begins_another_call(known: EntryPieces, piece: Json, call_id: str | int | None) -> bool:
    """
    Return whether a piece at the place of a known call begins another call.

    Vendors give every call index 0, leave out ids, repeat the name in each piece, send the name in
    pieces, or give each piece an id of its own.
    """
    if call_id and known.id == call_id:
        return False
    name, arguments = _read_call(piece)
    if call_id and known.id:
        if name or index_of(piece) is None:
            return True
        return not arguments and known.is_whole()
    if not name:
        return False
    if not known.arguments:
        return bool(known.name) and name != known.name and index_of(piece) is None
    if name != known.name:
        return True
    return is_json_object(arguments) and known.is_whole()
