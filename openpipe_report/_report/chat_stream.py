"""
Chunks of chat and legacy completions -> the completion.

Values of each path are gathered over all chunks and merged at once, by the rules of `merging`.
"""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import Any

from openpipe_report._report.merge_rules import PADDING
from openpipe_report._report.merging import (
    columns_of,
    merge_delta_values,
    merge_deltas,
    merge_logprobs,
    merge_snapshot_values,
)
from openpipe_report._report.sse import describe_error_event

Json = dict[str, Any]

_ENVELOPE = ("id", "object", "usage", "error")
"""A chunk without choices has at least one of these fields, a ping has none."""


def assemble_chat(events: list[Json], n: int | None = None) -> tuple[Json, bool, str | None]:
    """
    Merge chunks into the completion.

    Args:
        events: The stream's events, up to the one that ended it.
        n: The number of requested choices; None if it is unknown.

    Returns:
        The completion, whether every choice is finished, and the error in the stream.
    """
    value = merge_chunks(events)
    choices = value.get("choices", [])
    finished = (
        bool(choices)
        and len(choices) >= (n or 1)
        and all(choice.get("finish_reason") for choice in choices)
    )
    errors = [value.get("error"), *(choice.get("error") for choice in choices)]
    error = next((describe_error_event(told) for told in errors if told), None)
    return value, finished, error


def merge_chunks(events: list[Json]) -> Json:
    """Merge chunks of chat or legacy completions into the completion."""
    if not any(map(_has_choices, events)):
        return merge_deltas([_without_type(event) for event in events])
    chunks = [
        event if "choices" in event and "type" not in event else _without_type(event)
        for event in events
        if "choices" in event or not _is_ping(event)
    ]
    columns = columns_of(chunks)
    choices = columns.pop("choices", [])  # those of an error event are in the error
    whole = {
        key: _pick_object(values) if key == "object" else merge_snapshot_values(key, values)
        for key, values in columns.items()
        if key not in PADDING
    }
    whole["choices"] = _merge_choices(choices)
    return whole


def _has_choices(event: Json) -> bool:
    return "choices" in event


def _is_ping(event: Json) -> bool:
    """Return whether an event without choices only keeps the connection open."""
    named = any(isinstance(event.get(key), str) for key in ("type", "event")) or "ping" in event
    return named and not any(key in event for key in _ENVELOPE) and event.get("type") != "error"


def _without_type(event: Json) -> Json:
    """Remove the event's type; wrap an error that is not under a key of its own."""
    if "error" in (event.get("type"), event.get("object")) and not event.get("error"):
        return {"error": event}
    if "choices" in event or not isinstance(event.get("type"), str):
        return event
    return {key: value for key, value in event.items() if key != "type"}


def _pick_object(names: list[Any]) -> Any:
    """Return the `object` of the completion, ignoring other kinds of chunks (`chat.reasoning`)."""
    if names.count(names[0]) != len(names):
        names = [name for name in names if isinstance(name, str) and name] or names
        names = [name for name in names if "completion" in str(name)] or names
    name = names[0]
    if not isinstance(name, str):
        return name
    name = name.removesuffix(".chunk")
    return "chat.completion" if name.startswith("chat.") else name


def _merge_choices(lists: list[Any]) -> list[Json]:
    try:
        choices = list(chain.from_iterable(lists))
        indexes = list(map(itemgetter("index"), choices))
    except (TypeError, KeyError):
        choices, indexes = [], []
    if not indexes or type(indexes[0]) is not int or indexes.count(indexes[0]) != len(indexes):
        return _merge_choices_apart(lists)
    return [_to_unstreamed_choice(_merge_choice(choices), indexes[0])]


def _merge_choices_apart(lists: list[Any]) -> list[Json]:
    by_index: dict[int, list[Json]] = {}
    for choices in lists:
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                index = choice.get("index")
                by_index.setdefault(index if isinstance(index, int) else 0, []).append(choice)
    return [
        _to_unstreamed_choice(_merge_choice(by_index[index]), index) for index in sorted(by_index)
    ]


def _merge_choice(choices: list[Json]) -> Json:
    merged: Json = {}
    for key, values in columns_of(choices).items():
        if key == "delta":
            merged[key] = merge_deltas(
                [value for value in values if isinstance(value, dict)] or [{}]
            )
        elif key == "text":
            merged[key] = merge_delta_values(key, values)
        elif key == "logprobs":
            merged[key] = merge_logprobs(values)
        else:
            merged[key] = merge_snapshot_values(key, values)
    return merged


def _to_unstreamed_choice(choice: Json, index: int) -> Json:
    """Convert a merged choice to the unstreamed form, where the delta is the message."""
    delta = choice.pop("delta", None)
    if delta is None or (not delta and "text" in choice):
        return {**choice, "index": index}
    said = {key: value for key, value in delta.items() if key not in PADDING}
    message = choice.pop("message", None)
    if isinstance(message, dict):
        said = {**message, **{key: value for key, value in said.items() if value is not None}}
    calls = said.get("tool_calls")
    if isinstance(calls, list):
        said["tool_calls"] = [
            {key: call[key] for key in call if key != "index"} if isinstance(call, dict) else call
            for call in calls
        ]
    said["role"] = said.get("role") or "assistant"
    said.setdefault("content", None)
    choice.setdefault("finish_reason", None)
    return {"index": index, "message": said, **{k: v for k, v in choice.items() if k != "index"}}
