"""
Which entries of a delta's lists are pieces of one: tool calls, parts of the content, annotations.

Entries with an `index` are one by index, type and id; tool calls are told apart by what makes a
call another one, since some vendors give every call index 0; parts of a text continue the part
before them. Every other entry is whole, and a list of such entries that comes again is a
repetition.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._report.merge_rules import is_json_object, is_text

Json = dict[str, Any]


class EntryPieces:
    """The pieces of one entry, as far as they have come."""

    def __init__(self, piece: Json) -> None:
        self.index = _index_of(piece)
        self.pieces: list[Json] = []
        self.id: object = None
        self.type: object = None
        self.name = ""
        self.arguments: list[str] = []
        self._is_whole = False
        self._looked_at = 0
        self.add(piece)

    def add(self, piece: Json) -> None:
        self.pieces.append(piece)
        self.id = self.id or piece.get("id")
        self.type = self.type or piece.get("type")
        name, arguments = _read_call(piece)
        self.name = self.name or name
        if arguments:
            self.arguments.append(arguments)

    def is_whole(self) -> bool:
        """Whether the arguments so far are a whole JSON object; looked at once a state."""
        if self._looked_at != len(self.arguments):
            self._looked_at = len(self.arguments)
            self._is_whole = is_json_object("".join(self.arguments))
        return self._is_whole


def gather_entries(lists: list[list[Any]], *, is_calls: bool) -> list[Any]:
    """
    Gather the entries of the lists that one key of a delta had, in order.

    Args:
        lists: The lists.
        is_calls: The entries are tool calls, also those that have no name or arguments yet.

    Returns:
        EntryPieces for an entry that came in pieces, the value itself for one that came whole.
    """
    gathering = _Gathering(is_calls=is_calls)
    for entries in lists:
        gathering.add(entries)
    return gathering.in_order()


class _Gathering:
    """The entries of a list, as far as they have come."""

    def __init__(self, *, is_calls: bool) -> None:
        self._is_calls = is_calls
        self._entries: list[Any] = []
        """An EntryPieces for what comes in pieces, the value itself for what comes whole."""
        self._latest: dict[tuple[object, object, object], EntryPieces] = {}
        """By index, type and id, each of them null for any: the entry that came last."""
        self._whole: list[Any] = []
        """The entries that came whole."""
        self._last_whole: list[Any] = []

    def add(self, entries: list[Any]) -> None:
        if not any(self._is_piece(entry) for entry in entries):
            self._add_whole(entries)
            return
        last = self._entries[-1] if self._entries else None
        for position, entry in enumerate(entries):
            if not self._is_piece(entry):
                self._entries.append(entry)
                continue
            into = self._find(entry, last if position == 0 else None)
            if into is None:
                into = EntryPieces(entry)
                self._entries.append(into)
            else:
                into.add(entry)
            index, kind, entry_id = _index_of(entry), into.type, into.id
            for place in (
                (index, kind, entry_id),
                (index, kind, None),
                (index, None, entry_id),
                (index, None, None),
            ):
                self._latest[place] = into

    def in_order(self) -> list[Any]:
        """Return the entries by their index, where they have one."""
        indexes = [
            entry.index if isinstance(entry, EntryPieces) else None for entry in self._entries
        ]
        if self._is_calls or None not in indexes:
            order = sorted(range(len(indexes)), key=lambda at: indexes[at] or 0)
            return [self._entries[at] for at in order]
        return self._entries

    def _is_piece(self, entry: Any) -> bool:
        if not isinstance(entry, dict):
            return False
        return (
            self._is_call(entry)
            or _index_of(entry) is not None
            or bool(entry.get("id"))
            or _is_text_part(entry)
        )

    def _is_call(self, entry: Json) -> bool:
        return self._is_calls or any(
            isinstance(entry.get(key), dict) for key in ("function", "custom")
        )

    def _find(self, piece: Json, last: Any) -> EntryPieces | None:
        """Find the entry that a piece continues; None where it begins another."""
        index, entry_id, kind = _index_of(piece), piece.get("id") or None, piece.get("type") or None
        if not isinstance(entry_id, (str, int)):
            entry_id = None
        if not isinstance(kind, str):
            kind = None
        if self._is_call(piece):
            known = self._latest.get((index, None, entry_id))
            if known is None:
                known = self._latest.get((index, None, None))
            if known is None and index is None and self._entries:
                final = self._entries[-1]
                known = final if isinstance(final, EntryPieces) else None
            if known is None or _is_another_call(known, piece, entry_id):
                return None
            return known
        if index is None and entry_id is None:
            same = isinstance(last, EntryPieces) and last.type == kind and last.index is None
            return last if same else None
        known = self._latest.get((index, kind, entry_id))
        if known is None:
            known = self._latest.get((index, kind, None)) or self._latest.get((index, None, None))
            if known is not None and not (
                (entry_id is None or not known.id or index is None is known.id)
                and (kind is None or not known.type or known.type == kind)
            ):
                known = None
        return known

    def _add_whole(self, entries: list[Any]) -> None:
        """Append entries, unless the list repeats the ones before, or repeats and extends them."""
        size, before = len(entries), self._last_whole
        if not entries or entries == before or self._whole[:size] == entries:
            return
        if before and size >= len(before) and all(map(_extends, entries, before)):
            del self._entries[-len(before) :], self._whole[-len(before) :]
        elif entries[: len(self._whole)] == self._whole:
            entries = entries[len(self._whole) :]
        self._entries += entries
        self._whole += entries
        self._last_whole = entries


def _extends(new: Any, old: Any) -> bool:
    """Whether an entry repeats all of another one."""
    if isinstance(new, dict) and isinstance(old, dict):
        return bool(old) and old.items() <= new.items()
    return bool(new == old)


def _index_of(entry: Any) -> int | None:
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if isinstance(index, int) else None


def _is_text_part(entry: Json) -> bool:
    """Whether an entry holds a text under its own type, as `{"type": "text", "text": ...}`."""
    kind = entry.get("type")
    if not isinstance(kind, str):
        return False
    key = kind.rpartition(".")[2]
    if key not in entry:
        key = key.rpartition("_")[2]
    return is_text(key) and isinstance(entry.get(key), (str, list))


def _read_call(piece: Json) -> tuple[str, str]:
    """Return the name and the arguments in a piece of a call, "" for what is not there."""
    inner = piece.get("function") or piece.get("custom") or piece
    if not isinstance(inner, dict):
        return "", ""
    name, arguments = inner.get("name"), inner.get("arguments") or inner.get("input")
    return (
        name if isinstance(name, str) else "",
        arguments if isinstance(arguments, str) else "",
    )


def _is_another_call(known: EntryPieces, piece: Json, call_id: object) -> bool:
    if call_id and known.id == call_id:
        return False
    name, arguments = _read_call(piece)
    if call_id and known.id:
        if name or _index_of(piece) is None:
            return True
        return not arguments and known.is_whole()
    if not name:
        return False
    if not known.arguments:
        return bool(known.name) and name != known.name and _index_of(piece) is None
    if name != known.name:
        return True
    return is_json_object(arguments) and known.is_whole()
