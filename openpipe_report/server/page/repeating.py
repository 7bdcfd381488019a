"""
A stored request as code that makes it again: Python with openai, and curl.

No key is in it: both read it from an environment variable. Payloads are hostile, so the code quotes
every string, and is ASCII without control characters: what is pasted runs nothing but the request,
and reads as it runs.
"""

from __future__ import annotations

import json
import re
import shlex
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from openpipe_report._report.json_values import get_object

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CODE = 100_000
"""Characters of code that a page offers; a longer request is repeated from its raw text."""

_METHODS = {
    "chat/completions": "chat.completions.create",
    "completions": "completions.create",
    "responses": "responses.create",
    "embeddings": "embeddings.create",
    "images/generations": "images.generate",
    "moderations": "moderations.create",
}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,60}")
_INDENT = "    "
_WIDTH = 80
_OF_CLIENT = {"self", "extra_body", "extra_headers", "extra_query", "timeout", "openpipe"}
"""Arguments that the clients do not put into the body."""


class Code(NamedTuple):
    """The code that repeats one request."""

    python: str
    curl: str


def repeat(payload: object, endpoint: str | None) -> Code | None:
    """Return the code of a request; None if its endpoint cannot be repeated, or it is too long."""
    request = get_object(payload)
    if not request:
        return None
    if endpoint == "messages":
        code = Code(_python_of_anthropic(request), _curl_of_anthropic(request))
    elif endpoint in _METHODS:
        code = Code(_python(request, _METHODS[endpoint]), _curl(request, endpoint))
    else:
        return None
    return code if max(map(len, code)) <= MAX_CODE else None


def _python(request: dict[str, Any], method: str) -> str:
    lines = ["from openpipe_report import OpenAI", "", "client = OpenAI()  # reads OPENAI_API_KEY"]
    return _with_call(lines, request, f"client.{method}")


def _python_of_anthropic(request: dict[str, Any]) -> str:
    lines = [
        "from anthropic import Anthropic",
        "",
        "client = Anthropic()  # reads ANTHROPIC_API_KEY",
    ]
    return _with_call(lines, request, "client.messages.create")


def _with_call(lines: list[str], request: dict[str, Any], method: str) -> str:
    arguments = list(_arguments(request))
    end = (
        ["for event in answer:", "    print(event)"]
        if request.get("stream") is True
        else ["print(answer)"]
    )
    return "\n".join([*lines, f"answer = {method}(", *arguments, ")", *end, ""])


def _arguments(request: dict[str, Any]) -> Iterator[str]:
    others: dict[str, Any] = {}
    for name, value in request.items():
        if _NAME.fullmatch(name) and not iskeyword(name) and name not in _OF_CLIENT:
            yield f"{_INDENT}{name}={_literal(value, 1)},"
        else:
            others[name] = value
    if others:
        yield f"{_INDENT}extra_body={_literal(others, 1)},"


def _literal(value: Any, level: int) -> str:
    """Return a JSON value as a literal of Python, in ASCII, indented as a block of this level."""
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value).items()
        pieces = [f"{name!a}: {_literal(one, level + 1)}" for name, one in entries]
        return _block("{", pieces, "}", level)
    if isinstance(value, list):
        return _block("[", [_literal(one, level + 1) for one in value], "]", level)
    return ascii(value)


def _block(begin: str, pieces: list[str], end: str, level: int) -> str:
    line = ", ".join(pieces)
    if "\n" not in line and len(line) + len(_INDENT) * level <= _WIDTH:
        return f"{begin}{line}{end}"
    inner = "".join(f"{_INDENT * (level + 1)}{piece},\n" for piece in pieces)
    return f"{begin}\n{inner}{_INDENT * level}{end}"


def _curl(request: dict[str, Any], endpoint: str) -> str:
    return "\n".join(
        (
            f'curl "${{OPENAI_BASE_URL:-https://api.openai.com/v1}}/{endpoint}" \\',
            '  -H "Authorization: Bearer $OPENAI_API_KEY" \\',
            "  -H 'Content-Type: application/json' \\",
            f"  --data-raw {_quoted_json(request)}",
            "",
        )
    )


def _curl_of_anthropic(request: dict[str, Any]) -> str:
    return "\n".join(
        (
            'curl "${ANTHROPIC_BASE_URL:-https://api.anthropic.com}/v1/messages" \\',
            '  -H "x-api-key: $ANTHROPIC_API_KEY" \\',
            "  -H 'anthropic-version: 2023-06-01' \\",
            "  -H 'Content-Type: application/json' \\",
            f"  --data-raw {_quoted_json(request)}",
            "",
        )
    )


def _quoted_json(request: dict[str, Any]) -> str:
    # A shell takes everything in single quotes as text; ASCII JSON has no control characters.
    return shlex.quote(json.dumps(request, indent=2).replace("\x7f", "\\u007f"))
