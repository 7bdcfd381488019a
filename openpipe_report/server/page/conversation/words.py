"""The first words of a prompt and of an answer, for lists. Large reports are read in part."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from openpipe_report._report.json_values import get_object
from openpipe_report.server.page.conversation.parts import Json, Refusal, Text, ToolCall
from openpipe_report.server.page.conversation.turns import read_conversation

if TYPE_CHECKING:
    from openpipe_report.server.page.conversation.parts import Part, Turn

MAX_BEGINNING = 64 * 1024
"""Characters of a report that are read for its first words."""
MAX_WORDS = 160
"""Characters of first words."""

_SPACE = re.compile(r"\s+")
_READ = 4 * MAX_WORDS


class FirstWords(NamedTuple):
    """The first words of both sides; empty where there are none."""

    prompt: str
    answer: str


def parse_beginning(text: str) -> dict[str, Any]:
    """Return what the beginning of a JSON text has of its object; an empty one if it is none."""
    try:
        return get_object(from_json(text, allow_partial="trailing-strings"))
    except ValueError:
        pass
    try:
        return get_object(json.loads(text))  # takes lone surrogates
    except (ValueError, RecursionError):
        return {}


def first_words(report: dict[str, Any], endpoint: str | None) -> FirstWords:
    """Return the first words of the newest thing that was asked, and of the answer."""
    talk = read_conversation(report, endpoint)
    asked = [turn for turn in talk.asked if turn.role == "user"] or talk.asked
    return FirstWords(_last(asked), _first(talk.answered))


def _last(turns: list[Turn]) -> str:
    return next(filter(None, (_words(turn.parts) for turn in reversed(turns))), "")


def _first(turns: list[Turn]) -> str:
    return next(filter(None, (_words(turn.parts) for turn in turns)), "")


def _words(parts: list[Part]) -> str:
    found = (_words_of(part) for part in parts)
    return shorten(" ".join(one for one in found if one))


def shorten(text: str) -> str:
    """Return the first characters of a text on one line."""
    line = _SPACE.sub(" ", text[:_READ]).strip()
    if len(line) <= MAX_WORDS:
        return line
    return f"{line[: MAX_WORDS - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _words_of(part: Part) -> str:
    if isinstance(part, (Text, Refusal)):
        return part.text[:_READ]
    if isinstance(part, ToolCall):
        return f"{part.name}({_compact(part.arguments)})"
    if isinstance(part, Json):
        return _compact(part.value)
    return f"[{part.kind}]" if part.kind in {"image", "audio", "file", "vector"} else ""


def _compact(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:_READ]
