"""Turns and their parts: what a conversation is made of. All text is as the payload has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Parts = list["Part"]


@dataclass
class Text:
    """Text that is read."""

    text: str
    kind: str = field(default="text", init=False)


@dataclass
class Refusal:
    """What a model says when it will not answer."""

    text: str
    kind: str = field(default="refusal", init=False)


@dataclass
class Reasoning:
    """What a model thought before its answer; empty where the payload has it encrypted only."""

    text: str
    kind: str = field(default="reasoning", init=False)


@dataclass
class Media:
    """An image, sound or file: its data as a URL, or else a link or an id."""

    kind: str
    """`image`, `audio` or `file`."""
    data_url: str | None = None
    """The bytes as a `data:` URL of a type that is safe to show."""
    reference: str | None = None
    """A URL of another site, which is not loaded, or an id."""
    name: str | None = None
    size: int | None = None
    """Bytes of the data."""
    transcript: str | None = None


@dataclass
class ToolCall:
    """A tool that a model calls, and what it returned, if a later message says so."""

    name: str
    arguments: Any
    """Parsed JSON, or the text where it is none."""
    call_id: str | None = None
    type: str = "function"
    result: Parts | None = None
    kind: str = field(default="tool_call", init=False)


@dataclass
class ToolResult:
    """What a tool returned."""

    call_id: str | None
    parts: Parts
    is_error: bool = False
    kind: str = field(default="tool_result", init=False)


@dataclass
class Vector:
    """An embedding."""

    length: int
    first: list[Any]
    kind: str = field(default="vector", init=False)


@dataclass
class Scores:
    """The result of a moderation."""

    flagged: bool
    categories: list[tuple[str, bool, float | None]]
    """Name, whether flagged, score; the highest score first."""
    kind: str = field(default="scores", init=False)


@dataclass
class Json:
    """A value of no known shape."""

    value: Any
    name: str | None = None
    kind: str = field(default="json", init=False)


Part = Text | Refusal | Reasoning | Media | ToolCall | ToolResult | Vector | Scores | Json


@dataclass
class Turn:
    """A message."""

    role: str
    parts: Parts
    name: str | None = None
    note: str | None = None
    """Such as the reason why an answer has ended."""


@dataclass
class Conversation:
    """What was asked and answered, in order."""

    asked: list[Turn]
    answered: list[Turn]
    parameters: dict[str, Any]
    """What the request says beside its messages and tools, by name."""
    tools: list[Any]
    """The tools that were offered, as the request has them."""
    response_format: Any = None
