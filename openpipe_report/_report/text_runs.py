"""
Runs of chunks that differ only in their texts, merged before the rest of the stream is parsed.

A long stream consists mostly of such runs. All of its chunks would take a kilobyte a token and the
garbage collector's time. No result changes: other chunks are left to the rules of `merging`.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import Any

from openpipe_report._report.merge_rules import PADDING, is_text

Json = dict[str, Any]


class _NotARunError(Exception):
    """The chunks differ in other values than their texts."""


def merge_run(chunks: list[Any]) -> Json | None:
    """Merge chunks that differ only in the texts of their deltas; None for other chunks."""
    first = chunks[0]
    if not isinstance(first, dict) or "choices" not in first or "type" in first or "error" in first:
        return None
    try:
        columns = _columns(chunks)
        choices = _columns(_only_entries(columns.pop("choices")))
        deltas = _columns(choices.pop("delta")) if "delta" in choices else None
        text = _join(choices.pop("text")) if "text" in choices else None
        choice = {key: _constant(values) for key, values in choices.items()}
        if deltas is not None:
            choice["delta"] = {key: _merge_field(key, values) for key, values in deltas.items()}
        if text is not None:
            choice["text"] = text
        run = {key: _constant(values) for key, values in columns.items()}
    except _NotARunError:
        return None
    return {**run, "choices": [choice]}


def _columns(objects: list[Any]) -> dict[str, list[Any]]:
    """Return the values of each key of objects that have the same keys, in the same order."""
    if set(map(type, objects)) != {dict} or len(set(map(tuple, objects))) != 1:
        raise _NotARunError
    return {key: list(map(itemgetter(key), objects)) for key in objects[0] if key not in PADDING}


def _only_entries(lists: list[Any]) -> list[Any]:
    if set(map(type, lists)) != {list} or set(map(len, lists)) != {1}:
        raise _NotARunError
    return list(chain.from_iterable(lists))


def _merge_field(key: str, values: list[Any]) -> Any:
    if key == "tool_calls":
        calls = _columns(_only_entries(values))
        if set(calls) != {"index", "function"}:  # it may be another call
            raise _NotARunError
        functions = _columns(calls["function"])
        if set(functions) != {"arguments"}:
            raise _NotARunError
        arguments = functions["arguments"]
        if any(piece and piece[0] == "{" and piece[-1] == "}" for piece in arguments):
            raise _NotARunError  # it may be repeated whole
        return [{"index": _constant(calls["index"]), "function": {"arguments": _join(arguments)}}]
    if is_text(key) and isinstance(values[0], str):
        return _join(values)
    return _constant(values)


def _join(values: list[Any]) -> str:
    try:
        return "".join(values)
    except TypeError:
        raise _NotARunError from None


def _constant(values: list[Any]) -> Any:
    """Return the one value of a column. Lists are refused: equal ones may be pieces."""
    if values.count(values[0]) != len(values) or _has_list(values[0]):
        raise _NotARunError
    return values[-1]


def _has_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_list, value.values()))
    return isinstance(value, list)
