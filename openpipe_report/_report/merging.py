"""
How the values of one key are merged, by rule: what a vendor adds is kept.

All values of a key in the chunks of a stream are collected first, in order (a column), and merged
at once, so that the time is linear in the bytes. There are two kinds of columns. The values of
*deltas* add up: texts are joined, entries of lists are appended. *Snapshots* repeat earlier values,
as `usage` does: the last one counts.
"""

from __future__ import annotations

from itertools import chain, pairwise
from operator import itemgetter
from typing import Any

from openpipe_report._report.entry_pieces import EntryPieces
from openpipe_report._report.list_entries import gather_entries
from openpipe_report._report.merge_rules import (
    is_identifier,
    is_sequence,
    is_state,
    is_text,
    repeats_whole,
)

Json = dict[str, Any]


def column(objects: list[Json], key: str) -> list[Any]:
    """Return the values of a key, of the objects that have it."""
    try:
        return list(map(itemgetter(key), objects))
    except KeyError:
        return [value[key] for value in objects if key in value]


def columns_of(objects: list[Json]) -> dict[str, list[Any]]:
    """Return the column of every key of the objects, in the order of their first appearance."""
    keys = dict.fromkeys(chain.from_iterable(objects))
    if len(keys) * len(objects) <= 4 * sum(map(len, objects)):
        return {key: column(objects, key) for key in keys}
    columns: dict[str, list[Any]] = {key: [] for key in keys}
    for value in objects:
        for key, item in value.items():
            columns[key].append(item)
    return columns


def merge_deltas(deltas: list[Json]) -> Json:
    """Merge the objects of deltas."""
    if len(deltas) == 1:
        return deltas[0]
    return {key: merge_delta_values(key, values) for key, values in columns_of(deltas).items()}


def merge_snapshots(snapshots: list[Json]) -> Json:
    """Merge the objects of snapshots."""
    return {key: merge_snapshot_values(key, found) for key, found in columns_of(snapshots).items()}


def merge_delta_values(key: str, values: list[Any]) -> Any:
    """Merge a column of a delta: texts are joined, lists appended, objects merged by key."""
    if is_text(key):
        try:
            text = "".join(values)
        except TypeError:
            pass
        else:
            return values[-1] if key == "arguments" and repeats_whole(values) else text
    present: list[Any] = [value for value in values if value is not None]
    if len(present) < 2:  # noqa: PLR2004
        return present[0] if present else None
    types = set(map(type, present))
    if types == {list, str}:
        present, types = [_to_parts(value) for value in present], {list}
    if len(types) > 1:
        return merge_delta_values(key, _like_the_last(present))
    if types == {str}:
        return _merge_strings(key, present)
    if types == {dict}:
        return merge_snapshots(present) if key == "arguments" else merge_deltas(present)
    if types == {list}:
        return _merge_lists(key, present)
    return _first_or_last(key, present)


def merge_snapshot_values(key: str, values: list[Any]) -> Any:
    """Merge a column of snapshots: the last value that is not null counts."""
    if values.count(values[0]) == len(values) and not is_sequence(key):
        return values[-1]
    present = [value for value in values if value is not None]
    if len(present) < 2:  # noqa: PLR2004
        return present[0] if present else None
    if isinstance(present[-1], dict):
        return merge_snapshots([value for value in present if isinstance(value, dict)])
    if isinstance(present[-1], list):
        lists = [value for value in present if isinstance(value, list)]
        return _merge_list_snapshots(key, lists)
    return _first_or_last(key, present)


def merge_logprobs(values: list[Any]) -> Any:
    """Merge log probabilities: every list in them is a piece, and its entries are not merged."""
    present = [value for value in values if value is not None]
    if len(present) < 2 or not all(isinstance(value, dict) for value in present):  # noqa: PLR2004
        return present[-1] if present else None
    merged: Json = {}
    for key, found in columns_of(present).items():
        lists = [value for value in found if isinstance(value, list)]
        merged[key] = list(chain(*lists)) if lists else merge_snapshot_values(key, found)
    return merged


def _merge_lists(key: str, lists: list[list[Any]]) -> list[Any]:
    if is_sequence(key):
        return list(chain(*lists))
    return [
        _merge_pieces(entry) if isinstance(entry, EntryPieces) else entry
        for entry in gather_entries(lists, is_calls=key == "tool_calls")
    ]


def _merge_pieces(entry: EntryPieces) -> Json:
    if entry.is_repeated or repeats_whole(entry.arguments):
        return merge_snapshots(entry.pieces)
    return merge_deltas(entry.pieces)


def _merge_strings(key: str, strings: list[str]) -> str:
    if is_text(key):
        return "".join(strings)
    distinct = set(strings) - {""}
    if len(distinct) < 2:  # noqa: PLR2004
        return distinct.pop() if distinct else ""
    if is_identifier(key) or is_state(key):
        return str(_first_or_last(key, strings))
    if key.endswith("name"):
        grown = [string for string in strings if string]
        if all(new.startswith(old) for old, new in pairwise(grown)):
            return grown[-1]
    return "".join(strings)


def _first_or_last(key: str, values: list[Any]) -> Any:
    """Return the first value of an identifier that is not empty, the last value of other keys."""
    if is_identifier(key):
        return next((value for value in values if value), values[0])
    if isinstance(values[-1], str):
        return next((value for value in reversed(values) if value), "")
    return values[-1]


def _like_the_last(values: list[Any]) -> list[Any]:
    return [value for value in values if type(value) is type(values[-1])]


def _to_parts(content: Any) -> list[Any]:
    """Convert content to a list of parts; in another chunk it is one (Mistral)."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)


def _merge_list_snapshots(key: str, lists: list[list[Any]]) -> list[Any]:
    """Merge the lists of snapshots: entries with equal labels are one entry."""
    if is_sequence(key):
        return list(chain(*lists))
    if all(not isinstance(entry, (str, dict)) for entries in lists for entry in entries):
        return next((entries for entries in reversed(lists) if entries), [])
    columns: dict[object, list[Any]] = {}
    before: list[Any] | None = None
    for entries in lists:
        if entries == before:
            continue
        before = entries
        seen: dict[object, int] = {}
        for entry in entries:
            label = _label_of(entry)
            seen[label] = seen.get(label, 0) + 1
            columns.setdefault((label, seen[label]), []).append(entry)
    return [merge_snapshot_values("", values) for values in columns.values()]


def _label_of(entry: Any) -> object:
    """Return the constant values that distinguish an entry from others in its list."""
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, dict):
        return type(entry)
    if isinstance(entry.get("id"), (str, int)):
        return entry["id"], str(entry.get("type"))
    return frozenset(
        (key, value)
        for key, value in entry.items()
        if isinstance(value, str) and not is_text(key) and not is_state(key)
    ) | {(key, str(value)) for key, value in entry.items() if key.endswith("index")}
