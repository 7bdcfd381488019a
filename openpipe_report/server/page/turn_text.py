"""A turn of a conversation as plain text, for comparing it with another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openpipe_report._report.json_codec import encode_json
from openpipe_report.server.page.conversation.parts import (
    Json,
    Media,
    Reasoning,
    Refusal,
    Scores,
    Text,
    ToolCall,
    ToolResult,
    Vector,
)

if TYPE_CHECKING:
    from openpipe_report.server.page.conversation.parts import Part, Parts, Turn


def turn_to_text(turn: Turn) -> str:
    """Return what a turn says, its parts one below the other."""
    return _join(turn.parts)


def to_text(value: Any) -> str:
    """Return a string as it is, and another value as indented JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):  # what this Python cannot write as it is
        return encode_json(value).decode("utf-8", "replace")


def _join(parts: Parts) -> str:
    return "\n".join(map(_part_to_text, parts))


def _part_to_text(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Refusal):
        return f"refusal: {part.text}"
    if isinstance(part, Reasoning):
        return f"reasoning: {part.text or '(not readable)'}"
    if isinstance(part, ToolCall):
        called = f"{part.name}({to_text(part.arguments)})"
        return called if part.result is None else f"{called}\nreturned: {_join(part.result)}"
    if isinstance(part, ToolResult):
        return f"{'error' if part.is_error else 'result'}: {_join(part.parts)}"
    if isinstance(part, Media):
        return _media_to_text(part)
    if isinstance(part, Vector):
        return f"vector of {part.length}: {part.first}"
    if isinstance(part, Scores):
        return "\n".join(f"{name}: {score} {flagged}" for name, flagged, score in part.categories)
    if isinstance(part, Json):
        return to_text(part.value)
    raise AssertionError(part)


def _media_to_text(part: Media) -> str:
    size = None if part.size is None else f"{part.size:,} bytes"
    known = [one for one in (part.name, size, part.reference, part.transcript) if one]
    return f"[{', '.join([part.kind, *known])}]"
