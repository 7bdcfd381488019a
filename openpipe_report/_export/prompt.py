"""Prompt and Example: a call in the form of a chat completion, whichever endpoint it was of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openpipe_report._export.hashing import hash_json

if TYPE_CHECKING:
    from openpipe_report._export.values import Json


@dataclass(frozen=True)
class Prompt:
    """What a model was asked, as chat completions have it."""

    messages: list[Json]
    tools: list[Json] = field(default_factory=list)
    functions: list[Json] = field(default_factory=list)
    """The deprecated form of `tools`."""
    parallel_tool_calls: bool | None = None
    response_format: Json | None = None

    def options(self) -> Json:
        """Return the members of a request besides its messages that OpenAI's files can have."""
        found: Json = {}
        if self.tools:
            found["tools"] = self.tools
            if self.parallel_tool_calls is not None:
                found["parallel_tool_calls"] = self.parallel_tool_calls
        if self.functions:
            found["functions"] = self.functions
        return found

    def hash_messages(self) -> bytes:
        """Return the hash by which prompts are split: the same messages have the same one."""
        return hash_json(self.messages)

    def hash_input(self) -> bytes:
        """Return the hash by which duplicates are found: messages, tools and response format."""
        return hash_json([self.messages, self.tools, self.functions, self.response_format])


@dataclass(frozen=True)
class Example:
    """A prompt and its answer, which is a message of the role `assistant`."""

    prompt: Prompt
    answer: Json
