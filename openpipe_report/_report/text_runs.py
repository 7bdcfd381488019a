"""
Runs of chunks that differ only in their texts, merged before the rest of the stream is parsed.

A long stream consists mostly of such runs. Where nothing but one plain text differs, they are one
JSON text with the texts joined, and are parsed once. Other runs are merged when a batch of them has
been parsed: all chunks at once would take a kilobyte a token and the garbage collector's time. No
result changes: other chunks are left to the rules of `merging`.
"""

from __future__ import annotations

import re
from itertools import chain
from operator import itemgetter
from typing import Any

from openpipe_report._report.merge_rules import PADDING, is_identifier, is_state, is_text
from openpipe_report._report.sse import parse_event

Json = dict[str, Any]


_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ONE_TEXT = re.compile(
    r"""
    (.*" (?: delta":\ ?\{ (?: "role":\ ?"assistant",\ ? )? "(?:content|reasoning_content|reasoning)"
        | choices":\ ?\[\{ (?: "index":\ ?\d+,\ ? )? "text" ) :\ ?")
    [^"\\\x00-\x1f]*
    (" (?: ,\ ?"\w+":\ ?(?:null|\d+) )* \}.*)
    """,
    re.DOTALL | re.VERBOSE,
)
"""
The JSON of a chunk around its only text: the delta has no other key that is not null, or the choice
none but numbers. Nothing in a string of JSON looks like this, since quotes are escaped there.
"""


def join_runs(texts: list[str]) -> list[str]:
    """
    Join the JSON texts of chunks that differ only in one text.

    Args:
        texts: The data of the stream's events.

    Returns:
        The same events, with one in the place of each run.
    """
    joined: list[str] = []
    run = _Run("", "")
    for text in texts:
        if run.add(text):
            continue
        joined += run.join()
        run = _begin_run(text)
        if run.add(text):
            continue
        joined.append(text)
    return joined + run.join()


class _Run:
    """Chunks that are the same before and after a text; none while it has no beginning."""

    def __init__(self, begin: str, end: str) -> None:
        self._begin, self._end = begin, end
        self._around = len(begin) + len(end)
        self._pieces: list[str] = []

    def add(self, text: str) -> bool:
        """Add a chunk; False if it is not of this run."""
        if not (self._around and text.startswith(self._begin) and text.endswith(self._end)):
            return False
        piece = text[len(self._begin) : -len(self._end)]
        if len(text) < self._around or _PLAIN.fullmatch(piece) is None:
            return False
        self._pieces.append(piece)
        return True

    def join(self) -> list[str]:
        """Return the chunks as one, or apart if the text is not that of their choice."""
        begin, pieces, end = self._begin, self._pieces, self._end
        if len(pieces) > 1 and _has_one_choice(parse_event(begin + end)):
            return [begin + "".join(pieces) + end]
        return [begin + piece + end for piece in pieces]


def _begin_run(text: str) -> _Run:
    found = _ONE_TEXT.fullmatch(text) if _is_simple(text) else None
    return _Run("", "") if found is None else _Run(*found.groups())


def _is_simple(text: str) -> bool:
    """Return whether a chunk has one choice, and nothing else whose repetitions could add up."""
    return (
        text.count("[") == 1
        and text.count('"delta"') + text.count('"text"') == 1
        and '"choices"' in text
        and '"type"' not in text
        and '"error"' not in text
    )


def _has_one_choice(chunk: Any) -> bool:
    """Return whether a chunk has one choice, with a delta or a text."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        return False
    return "text" in choices[0] or isinstance(choices[0].get("delta"), dict)


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
    value = _constant(values)
    if isinstance(value, dict) or (value and isinstance(value, str) and not _is_repeated(key)):
        raise _NotARunError  # equal ones may be pieces: silence in audio, spaces in arguments
    return value


def _is_repeated(key: str) -> bool:
    """Return whether a value of this name is the same in each chunk, and no piece of a text."""
    return is_identifier(key) or is_state(key)


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
