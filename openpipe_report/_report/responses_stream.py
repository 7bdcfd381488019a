"""
Events of the Responses API -> the response.

The terminal event contains the whole response, so it is looked for first. The response of a stream
that was cut is made of `response.created` and the later items. The type and indexes of an event say
where its delta belongs, so that future kinds of items are merged by the same rules.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._report.sse import describe_error_event, parse_event

Json = dict[str, Any]

_MAX_GAP = 16
"""Most parts that may be missing before one, so that a huge index takes no memory."""

_TERMINAL = ("completed", "incomplete", "failed", "cancelled")


def is_response_event(event: Json) -> bool:
    """Return whether an event belongs to the Responses API."""
    kind = event.get("type")
    return isinstance(kind, str) and kind.startswith("response.")


def find_whole_response(texts: list[str]) -> tuple[Json, str | None] | None:
    """
    Look for the terminal event, without parsing the others.

    Args:
        texts: The data of the stream's events.

    Returns:
        The response and its error; None if the stream does not end with its whole response.
    """
    if not texts or '"response' not in texts[-1]:
        return None
    event = parse_event(texts[-1])
    if not isinstance(event, dict) or not is_response_event(event):
        return None
    response = event.get("response")
    if event["type"].removeprefix("response.") not in _TERMINAL or not isinstance(response, dict):
        return None
    if not response.get("output") and any('"output_index"' in text for text in texts):
        return None
    return response, _error_of(response)


def assemble_response(events: list[Json]) -> tuple[Json, str | None]:
    """Build the response from its events; return it and the error in the stream."""
    response: Json = {}
    items = _Items()
    error: str | None = None
    for event in events:
        kind = str(event.get("type", ""))
        if isinstance(event.get("response"), dict):
            response = event["response"]
        elif kind == "error" or event.get("error"):
            error = describe_error_event(event.get("error") or event)
        elif isinstance(event.get("output_index"), int):
            items.apply(event["output_index"], kind.removeprefix("response."), event)
    output = items.build()
    if output and not (events[-1].get("response") and response.get("output")):
        response = {**response, "output": output}
    return response, _error_of(response) or error


def _error_of(response: Json) -> str | None:
    return describe_error_event(response["error"]) if response.get("error") else None


class _Items:
    """Collects the output items of a response."""

    def __init__(self) -> None:
        self._items: dict[int, Json] = {}
        self._texts: dict[tuple[int, str], tuple[Json, list[str]]] = {}
        """The pieces of each unfinished text, by part and field; joined once, at the end."""

    def apply(self, index: int, kind: str, event: Json) -> None:
        """Apply an event to its item. Its kind is `<thing>.<verb>`, such as `output_text.delta`."""
        thing, _, verb = kind.rpartition(".")
        if isinstance(event.get("item"), dict):
            self._items[index] = event["item"]
            return
        item = self._items.setdefault(index, {})
        part = _find_part(item, event)
        if isinstance(event.get("part"), dict):
            for field in event["part"]:
                self._texts.pop((id(part), field), None)
            part.update(event["part"])
            return
        if "annotation" in event:
            annotations = part.setdefault("annotations", [])
            if isinstance(annotations, list):
                annotations.append(event["annotation"])
            return
        field = thing.rpartition("_")[2]
        if verb == "delta" and isinstance(event.get("delta"), str):
            self._append(part, field, event["delta"])
        elif verb == "done" and field in event:
            self._texts.pop((id(part), field), None)
            part[field] = event[field]
        elif verb in {"in_progress", "completed", "failed", "incomplete"}:
            item["status"] = verb

    def build(self) -> list[Json]:
        """Return the items in order."""
        for (_, field), (part, pieces) in self._texts.items():
            part[field] = "".join(pieces)
        return [self._items[index] for index in sorted(self._items)]

    def _append(self, part: Json, field: str, piece: str) -> None:
        # The part is kept beside its pieces, so that no other object takes its id().
        _, pieces = self._texts.setdefault((id(part), field), (part, []))
        if not pieces:
            old = part.get(field)
            pieces.append(old if isinstance(old, str) else "")
            part.setdefault(field, "")
        pieces.append(piece)


def _find_part(item: Json, event: Json) -> Json:
    """Find the part of an item that an event belongs to; the item itself if it has no index."""
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
                found: Json = parts[index]
                return found
    return item
