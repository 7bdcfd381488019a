"""Messages and items to turns, whichever API they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openpipe_report._report.json_values import get_list, get_object
from openpipe_report.server.page.conversation.contents import (
    read_arguments,
    read_block,
    read_call,
    read_content,
    read_output,
)
from openpipe_report.server.page.conversation.parts import (
    Json,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openpipe_report.server.page.conversation.parts import Part, Parts

_REASONING = ("reasoning_content", "reasoning", "thinking")
_OF_TOOLS = {"tool", "function"}
_ASSISTANT = "assistant"


def read_messages(messages: object) -> list[Turn]:
    """Return the turns of `messages`, of chat completions or of Anthropic's messages."""
    return [read_message(one) for one in get_list(messages)]


def read_message(message: object) -> Turn:
    """Return one message as a turn."""
    entries = get_object(message)
    role = entries.get("role")
    if not isinstance(role, str):
        return Turn("message", [Json(message)])
    parts: Parts = list(_parts_of(entries))
    if role in _OF_TOOLS:
        call_id = entries.get("tool_call_id") or entries.get("name")
        known = call_id if isinstance(call_id, str) else None
        parts = [ToolResult(known, read_output(entries.get("content")))]
    name = entries.get("name")
    return Turn(role, parts, name if isinstance(name, str) else None)


def read_items(items: object) -> list[Turn]:
    """Return the turns of `input` or `output` of the Responses API: neighbours of one role join."""
    if isinstance(items, str):
        return [Turn("user", [Text(items)])]
    turns: list[Turn] = []
    for item in get_list(items):
        turn = _read_item(item)
        if turns and turn.role == turns[-1].role == _ASSISTANT:
            turns[-1].parts += turn.parts
        else:
            turns.append(turn)
    return turns


def place_results(turns: Iterable[Turn]) -> list[Turn]:
    """Return the turns with each tool's result in its call, where the call is known."""
    calls: dict[str, ToolCall] = {}
    placed: list[Turn] = []
    for turn in turns:
        left = [part for part in turn.parts if not _place(part, calls)]
        for part in left:
            if isinstance(part, ToolCall) and part.call_id is not None:
                calls[part.call_id] = part
        if left or not turn.parts:
            turn.parts = left
            placed.append(turn)
    return placed


def _place(part: Part, calls: dict[str, ToolCall]) -> bool:
    if not isinstance(part, ToolResult) or part.call_id is None:
        return False
    call = calls.get(part.call_id)
    if call is None or call.result is not None:
        return False
    call.result = part.parts
    return True


def _parts_of(message: dict[str, Any]) -> Iterable[Part]:
    thought = next((message[one] for one in _REASONING if isinstance(message.get(one), str)), "")
    if thought:
        yield Reasoning(thought)
    yield from read_content(message.get("content"))
    if isinstance(message.get("refusal"), str):
        yield Refusal(message["refusal"])
    audio = get_object(message.get("audio"))
    if audio:
        yield _read_audio(audio)
    for call in get_list(message.get("tool_calls")):
        yield read_call(call) or Json(call)
    function = get_object(message.get("function_call"))
    if isinstance(function.get("name"), str):
        name: str = function["name"]
        yield ToolCall(name, read_arguments(function.get("arguments")), name)


def _read_audio(audio: dict[str, Any]) -> Media:
    encoded, transcript = audio.get("data"), audio.get("transcript")
    kept = transcript if isinstance(transcript, str) else None
    if not isinstance(encoded, str):
        reference = audio.get("id")
        return Media("audio", reference=str(reference) if reference else None, transcript=kept)
    block = {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}}
    [found] = read_block(block)
    made = cast("Media", found)
    made.transcript = kept
    return made


def _read_item(item: object) -> Turn:
    entries = get_object(item)
    if isinstance(entries.get("role"), str):
        return read_message(item)
    parts: Parts = read_block(item)
    kind = str(entries.get("type"))
    return Turn("tool" if kind.endswith("_output") else _ASSISTANT, parts)
