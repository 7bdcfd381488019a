"""The parts of a conversation as lines of text, not escaped yet, with their styles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openpipe_report.server.page.conversation.parts import (
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
    from openpipe_report.server.page.conversation.parts import Part

Lines = list[tuple[str, str]]
"""Lines of text, each with a style of rich's."""

_INDENT = "  "
_LONGEST_VALUE = 200
_KIB = 1_024


def part_lines(part: Part) -> Lines:
    """Return a part as lines."""
    if isinstance(part, Text):
        return _text(part.text)
    if isinstance(part, Refusal):
        return [("refuses:", "yellow"), *_indent(_text(part.text))]
    if isinstance(part, Reasoning):
        thought = _text(part.text, "dim italic") if part.text else [("(not in the answer)", "dim")]
        return [("reasoning:", "dim italic"), *_indent(thought)]
    if isinstance(part, Media):
        return _media(part)
    if isinstance(part, ToolCall):
        return _call(part)
    if isinstance(part, ToolResult):
        return _result(part.parts, is_error=part.is_error)
    if isinstance(part, Vector):
        numbers = ", ".join(map(str, part.first))
        return [(f"[{part.length:,} numbers: {numbers}, ...]", "magenta")]
    if isinstance(part, Scores):
        return _scores(part)
    return _json(part.value)


def describe_value(value: Any) -> str:
    """Return any JSON in one short line."""
    text = value if isinstance(value, str) else _dump(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _text(text: str, style: str = "") -> Lines:
    return [(line, style) for line in text.replace("\r\n", "\n").split("\n")]


def _json(value: Any) -> Lines:
    return _text(_dump(value, indent=2))


def _dump(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _indent(lines: Lines) -> Lines:
    return [(_INDENT + line, style) for line, style in lines]


def _call(call: ToolCall) -> Lines:
    named = f"calls {call.name}" + (f"  {call.call_id}" if call.call_id else "")
    arguments = _text(call.arguments) if isinstance(call.arguments, str) else _json(call.arguments)
    lines = [(named, "blue"), *_indent(arguments)]
    return lines if call.result is None else [*lines, *_result(call.result)]


def _result(parts: list[Part], *, is_error: bool = False) -> Lines:
    lines = [line for part in parts for line in part_lines(part)]
    style = "red" if is_error else "blue"
    return [("fails with" if is_error else "returns", style), *_indent(lines)]


def _media(media: Media) -> Lines:
    kind = media.kind
    if media.data_url is not None:  # data:image/png;base64,...
        kind = media.data_url[len("data:") :].partition(";")[0]
    known = [kind, media.name, media.reference, _size(media.size)]
    lines: Lines = [(f"[{', '.join(one for one in known if one)}]", "magenta")]
    return lines if media.transcript is None else [*lines, *_text(media.transcript)]


def _size(size: int | None) -> str:
    if size is None:
        return ""
    if size < _KIB:
        return f"{size} bytes"
    return f"{size / _KIB:,.1f} KiB"


def _scores(scores: Scores) -> Lines:
    flagged = [name for name, is_flagged, _ in scores.categories if is_flagged]
    lines: Lines = [("flagged" if scores.flagged else "not flagged", "red" * scores.flagged)]
    lines += [
        (f"{name}: {'-' if score is None else f'{score:.4f}'}", "red" if name in flagged else "")
        for name, _, score in scores.categories
    ]
    return lines
