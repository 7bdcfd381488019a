"""
Finds the id by which a report is known to its server: that of the answer, as openai's objects have
it. openai itself is not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from openai.types import Completion
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.responses import Response

    class EventWithResponse(Protocol):
        """An event of a stream that has the response."""

        @property
        def response(self) -> Response: ...

    class EventWithChunk(Protocol):
        """An event of the `stream()` helper that has the chunk."""

        @property
        def chunk(self) -> ChatCompletionChunk: ...

    Answer: TypeAlias = (
        ChatCompletion
        | ChatCompletionChunk
        | Completion
        | Response
        | EventWithResponse
        | EventWithChunk
    )

_ANSWERS = frozenset(
    {"ChatCompletion", "ChatCompletionChunk", "Completion", "Response", "CompactedResponse"}
)
"""
Classes of openai's whose `id` is the answer's. Others have one, too: of a tool call, of a message.
"""
_HOLDERS = ("response", "chunk")
"""Where events of a stream have the answer, or the chunk that they came with."""


def find_completion_id(given: Answer | str | object) -> str:
    """
    Return the id of an answer, of a chunk of its stream, or the id that was given.

    Raises:
        TypeError: It is something else.
        ValueError: The id is empty, or the server has sent none.
    """
    if isinstance(given, str):
        if not given:
            raise ValueError("the completion's id is empty")
        return given
    answer = given if _is_answer(given) else _answer_in(given)
    if answer is None:
        raise TypeError(
            "feedback() takes a completion, a chunk of its stream, a response, or its id as a "
            f"string, got {type(given).__name__}"
        )
    found = getattr(answer, "id", None)
    if not (isinstance(found, str) and found):
        raise ValueError(f"this {type(answer).__name__} has no id: the server has sent none")
    return found


def _is_answer(value: object) -> bool:
    kinds = (each for each in type(value).__mro__ if each.__module__.startswith("openai.types."))
    return any(each.__name__.removeprefix("Beta") in _ANSWERS for each in kinds)


def _answer_in(event: object) -> object | None:
    if not type(event).__module__.startswith("openai."):
        return None
    held = (getattr(event, name, None) for name in _HOLDERS)
    return next((each for each in held if _is_answer(each)), None)
