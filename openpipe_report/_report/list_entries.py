"""
Which entries of a delta's lists are pieces of one: tool calls, parts of the content, annotations.

Entries with an `index` are one by index, type and id; tool calls are told apart by what makes a
call another one, since some vendors give every call index 0; parts of a text continue the part
before them. Every other entry is whole, and a list of such entries that comes again is a
repetition.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._report.entry_pieces import (
    EntryPieces,
    begins_another_call,
    id_of,
    index_of,
    is_text_part,
    type_of,
)

Json = dict[str, Any]


def gather_entries(lists: list[list[Any]], *, is_calls: bool) -> list[Any]:
    """
    Gather the entries of the lists that one key of a delta had, in order.

    Args:
        lists: The lists.
        is_calls: The entries are tool calls, also those that have no name or arguments yet.

    Returns:
        EntryPieces for an entry in pieces, the value itself for a whole entry.
    """
    gathering = _Gathering(is_calls=is_calls)
    for entries in lists:
        gathering.add(entries)
    return gathering.in_order()


_Place = tuple["int | None", "str | None", "str | int | None"]


class _Gathering:
    """Collects the entries of a list."""

    def __init__(self, *, is_calls: bool) -> None:
        self._is_calls = is_calls
        self._entries: list[Any] = []
        """EntryPieces for entries in pieces, the values of whole entries."""
        self._latest: dict[_Place, EntryPieces] = {}
        """The last entry by index, type and id; None in a place stands for any."""
        self._whole: list[Any] = []
        """The whole entries among them."""
        self._last_whole: list[Any] = []

    def add(self, entries: list[Any]) -> None:
        """Add the next list."""
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
            self._register(index_of(entry), into)

    def _register(self, index: int | None, entry: EntryPieces) -> None:
        kind, entry_id = entry.type, entry.id
        if (
            self._latest.get((index, None, None)) is entry
            and self._latest.get((index, kind, entry_id)) is entry
        ):
            return
        for place in (
            (index, kind, entry_id),
            (index, kind, None),
            (index, None, entry_id),
            (index, None, None),
        ):
            self._latest[place] = entry

    def in_order(self) -> list[Any]:
        """Return the entries, sorted by index if they have one."""
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
            or index_of(entry) is not None
            or id_of(entry) is not None
            or is_text_part(entry)
        )

    def _is_call(self, entry: Json) -> bool:
        return self._is_calls or any(
            isinstance(entry.get(key), dict) for key in ("function", "custom")
        )

    def _find(self, piece: Json, last: Any) -> EntryPieces | None:
        """Find the entry that a piece continues; None if the piece begins another entry."""
        if self._is_call(piece):
            return self._find_call(piece)
        index, kind, entry_id = index_of(piece), type_of(piece), id_of(piece)
        if index is None and entry_id is None:
            if isinstance(last, EntryPieces) and last.type == kind and last.index is None:
                return last
            return None
        known = self._latest.get((index, kind, entry_id))
        if known is None:
            known = self._latest.get((index, kind, None)) or self._latest.get((index, None, None))
            if known is None or (index is None and entry_id is not None):
                return None
            if (entry_id and known.id) or (kind and known.type and kind != known.type):
                return None
        return None if known.has_other_source(piece) else known

    def _find_call(self, piece: Json) -> EntryPieces | None:
        index, call_id = index_of(piece), id_of(piece)
        known = self._latest.get((index, None, call_id)) or self._latest.get((index, None, None))
        if known is None and index is None and self._entries:
            last = self._entries[-1]
            known = last if isinstance(last, EntryPieces) else None
        if known is None or begins_another_call(known, piece, call_id):
            return None
        return known

    def _add_whole(self, entries: list[Any]) -> None:
        """Append whole entries, without those that repeat earlier ones."""
        size, before = len(entries), self._last_whole
        if not entries or entries == before or self._whole[:size] == entries:
            return
        is_last = bool(before) and self._entries[-len(before) :] == before
        if is_last and size >= len(before) and all(map(_extends, entries, before)):
            del self._entries[-len(before) :], self._whole[-len(before) :]
        elif entries[: len(self._whole)] == self._whole:
            entries = entries[len(self._whole) :]
        self._entries += entries
        self._whole += entries
        self._last_whole = entries


def _extends(new: Any, old: Any) -> bool:
    """Return whether an entry contains all of another one."""
    if isinstance(new, dict) and isinstance(old, dict):
        return bool(old) and old.items() <= new.items()
    return bool(new == old)
