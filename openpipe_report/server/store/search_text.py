"""
Derives the text that a report is found by: prompt, answer, tool arguments and error, decoded.

The payloads of all endpoints are walked in one way. Every string in the parts that hold content is
taken, except the values of technical keys (ids, types, roles) and encoded media. Arguments of tool
calls are JSON in a string; their own strings and names are taken.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from openpipe_report._report.json_values import get_object

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TEXT = 200_000
"""Characters of a report that can be found; what comes after them cannot."""

_REQUEST = ("name", "instructions", "system", "messages", "prompt", "input")
_NOT_OF_ANSWER = {
    *("id", "object", "created", "created_at", "model", "usage", "service_tier", "metadata"),
    *("system_fingerprint", "instructions", "tools", "tool_choice", "text", "reasoning", "data"),
    *("status", "parallel_tool_calls", "truncation", "previous_response_id"),
}
_TECHNICAL = {
    *("id", "type", "object", "role", "model", "created", "status", "index", "tool_call_id"),
    *("call_id", "tool_use_id", "finish_reason", "stop_reason", "logprobs", "embedding", "detail"),
    *("encrypted_content", "signature", "b64_json", "file_data", "file_id", "cache_control"),
    *("media_type", "format", "service_tier"),
}
_ENCODED = re.compile(r"data:[\w.+/-]*[;,]|[A-Za-z0-9+/=_-]{1000}")


def derive_text(report: dict[str, Any]) -> str:
    """Return the text of a report that can be found, parts apart by newlines."""
    found: list[str] = []
    length = 0
    for part in _parts(report):
        found.append(part[: MAX_TEXT - length])
        length += len(part) + 1
        if length >= MAX_TEXT:
            break
    return "\n".join(found)


def _parts(report: dict[str, Any]) -> Iterator[str]:
    error = report.get("errorMessage")
    if isinstance(error, str):
        yield error
    asked, answered = report.get("reqPayload"), report.get("respPayload")
    if isinstance(asked, dict):
        request = cast("dict[str, Any]", asked)
        yield from _strings([request[name] for name in _REQUEST if name in request])
    else:
        yield from _strings(asked)
    if isinstance(answered, dict):
        answer = cast("dict[str, Any]", answered)
        is_span = get_object(report.get("tags")).get("$endpoint") == "span"
        left_out = set[str]() if is_span else _NOT_OF_ANSWER
        yield from _strings([answer[name] for name in answer if name not in left_out])
    else:
        yield from _strings(answered)


def _strings(value: object) -> Iterator[str]:
    # A stack of its own: a body may be nested as deep as Python's.
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        key, one = waiting.pop()
        if isinstance(one, str):
            if key == "arguments":
                yield from _arguments(one)
            elif one and not _ENCODED.match(one):
                yield one
        elif isinstance(one, list):
            waiting += [(key, each) for each in reversed(cast("list[object]", one))]
        elif isinstance(one, dict):
            entries = cast("dict[str, object]", one)
            waiting += [
                (name, entries[name])
                for name in reversed(entries)
                if name not in _TECHNICAL or isinstance(entries[name], dict)
            ]


def _arguments(text: str) -> Iterator[str]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        yield text
        return
    waiting: list[object] = [cast("object", parsed)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for name, value in cast("dict[str, object]", one).items():
                yield name
                waiting.append(value)
        elif isinstance(one, list):
            waiting += reversed(cast("list[object]", one))
        elif one is not None:
            yield str(one)
