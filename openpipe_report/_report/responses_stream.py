"""
Events of the Responses API -> the response.

The terminal event carries it whole. A stream that was cut has what `response.created` and the
items finished and begun since add up to; where a delta belongs is read off its event's type and
indexes, so that item kinds to come are merged by the same few lines.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_MAX_GAP = 16
"""Parts that may be missing before one: an index without measure must not take memory."""


def is_response_event(event: Json) -> bool:
    """Whether an event is one of the Responses API."""
    kind = event.get("type")
    return isinstance(kind, str) and kind.startswith("response.")


def assemble_response(events: list[Json]) -> tuple[Json, str | None]:
    """Build the response, and the error that the stream told, from its events."""
    response: Json = {}
    output: dict[int, Json] = {}
    error: str | None = None
    for event in events:
        kind = str(event.get("type", ""))
        if isinstance(event.get("response"), dict):
            response = event["response"]
        elif kind == "error" or event.get("error"):
            error = _message(event.get("error") or event)
        elif isinstance(event.get("output_index"), int):
            _apply(output, event["output_index"], kind.removeprefix("response."), event)
    if output and not (events[-1].get("response") and response.get("output")):
        response = {**response, "output": [output[index] for index in sorted(output)]}
    if response.get("error"):
        error = _message(response["error"])
    return response, error


def _message(error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else "an error event ended the stream"


def _apply(output: dict[int, Json], index: int, kind: str, event: Json) -> None:
    """Apply an event to the item it belongs to: `<thing>.<verb>`, as `output_text.delta`."""
    thing, _, verb = kind.rpartition(".")
    if isinstance(event.get("item"), dict):
        output[index] = event["item"]
        return
    item = output.setdefault(index, {})
    if isinstance(event.get("part"), dict):
        _place(item, event)[0].update(event["part"])
        return
    if "annotation" in event:
        part, _ = _place(item, event)
        part.setdefault("annotations", []).append(event["annotation"])
        return
    field = thing.rpartition("_")[2]
    part, _ = _place(item, event)
    if verb == "delta" and isinstance(event.get("delta"), str):
        old = part.get(field)
        part[field] = (old if isinstance(old, str) else "") + event["delta"]
    elif verb == "done" and field in event:
        part[field] = event[field]
    elif verb in {"in_progress", "completed", "failed", "incomplete"}:
        item["status"] = verb


def _place(item: Json, event: Json) -> tuple[Json, str]:
    """Find the part of an item that an event speaks of; the item itself if it names none."""
    for key, field in (("summary_index", "summary"), ("content_index", "content")):
        index = event.get(key)
        if isinstance(index, int) and index >= 0:
            parts = item.get(field)
            if not isinstance(parts, list):
                parts = item[field] = []
            if index > len(parts) + _MAX_GAP:
                continue
            while len(parts) <= index:
                parts.append({})
            if isinstance(parts[index], dict):
                return parts[index], field
    return item, ""
