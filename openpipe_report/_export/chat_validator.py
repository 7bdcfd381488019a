"""
Checks lines of OpenAI's fine-tuning files, in the chat format and in the preference format (DPO).

The rules are those that OpenAI publishes:

- the schemas `FineTuneChatRequestInput` and `FineTunePreferenceRequestInput` of its OpenAPI
  document (https://github.com/openai/openai-openapi): members of a line, of a message and of a
  tool, values of `weight`, names of functions, at most 128 functions, one preferred and one
  non-preferred message, and no audio or files;
- https://developers.openai.com/api/docs/guides/supervised-fine-tuning: a line ends with the answer
  of the assistant, the deprecated `functions` and `function_call` are taken too;
- https://developers.openai.com/api/docs/guides/vision-fine-tuning: images in messages of the user
  alone, as HTTP URLs or base64 data URLs of JPEG, PNG or WebP, at most 10 in a line;
- https://developers.openai.com/api/docs/guides/direct-preference-optimization: text only;
- https://developers.openai.com/api/docs/guides/function-calling: each call of a tool is answered
  before the conversation goes on, by a message with its id; arguments are a JSON object.

An upload is refused whole for one wrong line, such as one with a member that is not in the schema.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openpipe_report._export.values import Json

MAX_FUNCTIONS = 128
MAX_IMAGES = 10

_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
_IMAGE = re.compile(r"https?://\S|data:image/(?:jpeg|jpg|png|webp);base64,[A-Za-z0-9+/]")
_MEMBERS = {
    "system": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {
        *("role", "content", "name", "refusal", "weight", "tool_calls", "function_call"),
    },
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}


class _BrokenRuleError(Exception):
    pass


def find_chat_fault(line: object, *, response_format: bool = False) -> str | None:
    """
    Return the rule of the chat format that a line breaks, or None.

    Args:
        line: The line as parsed JSON: `{"messages": [...], "tools": [...], ...}`.
        response_format: Whether a line may have that member, which is not in OpenAI's schema.

    """

    def check() -> None:
        members = {"messages", "tools", "parallel_tool_calls", "functions"}
        example = _need_object(line, "a line is an object")
        _check_members(example, members | ({"response_format"} if response_format else set()))
        if response_format and "response_format" in example:
            _check_response_format(example["response_format"])
        _check_options(example)
        _check_conversation(_need_messages(example))
        _check_text(example)

    return _find(check)


def find_preference_fault(line: object) -> str | None:
    """Return the rule of the preference format that a line breaks, or None."""

    def check() -> None:
        pair = _need_object(line, "a line is an object")
        _check_members(pair, {"input", "preferred_output", "non_preferred_output"})
        given = _need_object(pair.get("input"), "input is an object")
        _check_members(given, {"messages", "tools", "parallel_tool_calls"})
        _check_options(given)
        messages = _need_messages(given)
        for name in ("preferred_output", "non_preferred_output"):
            output = pair.get(name)
            _rule(isinstance(output, list) and len(output) == 1, f"{name} has one message")
            _check_conversation([*messages, *cast("list[object]", output)], images=0)
        _check_text(pair)

    return _find(check)


def _find(check: Callable[[], None]) -> str | None:
    try:
        check()
    except _BrokenRuleError as error:
        return str(error)
    return None


def _rule(holds: object, rule: str) -> None:
    if not holds:
        raise _BrokenRuleError(rule)


def _need_object(value: object, rule: str) -> Json:
    _rule(isinstance(value, dict), rule)
    return cast("Json", value)


def _need_messages(example: Json) -> list[object]:
    messages = example.get("messages")
    _rule(isinstance(messages, list) and messages, "messages is an array that is not empty")
    return cast("list[object]", messages)


def _check_members(value: Json, allowed: set[str]) -> None:
    _rule(value.keys() <= allowed, "no members but those of the schema")


def _check_options(example: Json) -> None:
    if "tools" in example:
        _check_list(example["tools"], _check_tool)
    if "functions" in example:
        _check_list(example["functions"], _check_function)
    if "parallel_tool_calls" in example:
        _rule(isinstance(example["parallel_tool_calls"], bool), "parallel_tool_calls is a boolean")
        _rule("tools" in example, "parallel_tool_calls only with tools")


def _check_list(value: object, check: Callable[[object], None]) -> None:
    rule = f"tools and functions are arrays of 1 to {MAX_FUNCTIONS}"
    _rule(isinstance(value, list) and 1 <= len(value) <= MAX_FUNCTIONS, rule)
    for one in cast("list[object]", value):
        check(one)


def _check_tool(value: object) -> None:
    tool = _need_object(value, "a tool is an object")
    _check_members(tool, {"type", "function"})
    _rule(tool.get("type") == "function", "a tool is a function")
    _check_function(tool.get("function"))


def _check_function(value: object) -> None:
    function = _need_object(value, "a function is an object")
    _check_members(function, {"name", "description", "parameters", "strict"})
    _check_function_name(function.get("name"))
    _rule(isinstance(function.get("description", ""), str), "a description is a string")
    _rule(isinstance(function.get("parameters", {}), dict), "parameters are an object")
    _rule(isinstance(function.get("strict", False), bool), "strict is a boolean")


def _check_function_name(name: object) -> None:
    rule = "the name of a function has 1 to 64 letters, digits, _ and -"
    _rule(isinstance(name, str) and _FUNCTION_NAME.fullmatch(name), rule)


def _check_conversation(messages: list[object], images: int = MAX_IMAGES) -> None:
    waiting: set[str] = set()  # ids of calls that have no answer yet
    shown = 0
    answer: Json = {}
    for value in messages:
        answer = message = _need_object(value, "a message is an object")
        role = message.get("role")
        _rule(isinstance(role, str) and role in _MEMBERS, "a role is one of the schema")
        _check_members(message, _MEMBERS[cast("str", role)])
        if role == "tool":
            call_id = message.get("tool_call_id")
            _rule(isinstance(call_id, str) and call_id in waiting, "a result follows its call")
            waiting.discard(cast("str", call_id))
        else:
            _rule(not waiting, "a call of a tool is answered before the next message")
        shown += _check_message(message, role)
        waiting |= {call["id"] for call in message.get("tool_calls", ())}
    _rule(answer.get("role") == "assistant", "the last message is of the assistant")
    _rule(answer.get("weight") != 0, "the last message has no weight of 0")
    _rule(shown <= images, f"at most {images} images")


def _check_message(message: Json, role: object) -> int:
    """Check a message apart from its place, and return how many images it has."""
    if "name" in message:
        name = message["name"]
        _rule(isinstance(name, str) and _NAME.fullmatch(name), "a name has 1 to 64 characters")
    _rule(role != "function" or "name" in message, "a result of a function has its name")
    if role == "assistant":
        _check_answer(message)
        return 0
    kinds = ("text", "image_url") if role == "user" else ("text",)
    return _check_content(message.get("content"), kinds)


def _check_answer(message: Json) -> None:
    for name, check in (("tool_calls", _check_calls), ("function_call", _check_called)):
        if name in message:
            check(message[name])
    refusal = message.get("refusal")
    _rule(refusal is None or isinstance(refusal, str), "a refusal is a string")
    weight = message.get("weight", 1)
    _rule(type(weight) is int and weight in {0, 1}, "a weight is 0 or 1")
    if message.get("content") is None:
        says = message.keys() & {"tool_calls", "function_call"} or refusal
        _rule(says, "a message of the assistant has content or a call")
    else:
        _check_content(message["content"], ("text", "refusal"))


def _check_calls(value: object) -> None:
    _rule(isinstance(value, list) and value, "tool_calls is an array that is not empty")
    seen: set[str] = set()
    for one in cast("list[object]", value):
        call = _need_object(one, "a call of a tool is an object")
        _check_members(call, {"id", "type", "function"})
        call_id = call.get("id")
        _rule(isinstance(call_id, str) and call_id, "a call of a tool has an id")
        _rule(call_id not in seen, "calls of a message have different ids")
        seen.add(cast("str", call_id))
        _rule(call.get("type") == "function", "a call of a tool is one of a function")
        _check_called(call.get("function"))


def _check_called(value: object) -> None:
    called = _need_object(value, "the function of a call is an object")
    _check_members(called, {"name", "arguments"})
    _check_function_name(called.get("name"))
    _rule(_is_object_text(called.get("arguments")), "arguments are the text of a JSON object")


def _is_object_text(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _check_content(content: object, kinds: tuple[str, ...]) -> int:
    if isinstance(content, str):
        return 0
    _rule(isinstance(content, list) and content, "content is a string or an array of parts")
    images = 0
    for one in cast("list[object]", content):
        part = _need_object(one, "a part of content is an object")
        kind = part.get("type")
        _rule(
            isinstance(kind, str) and kind in kinds,
            "a part of content is text, or of a user an image",
        )
        _check_members(part, {"type", cast("str", kind)})
        if kind == "image_url":
            _check_image(part.get("image_url"))
            images += 1
        else:
            _rule(isinstance(part.get(cast("str", kind)), str), "the text of a part is a string")
    return images


def _check_image(value: object) -> None:
    image = _need_object(value, "an image is an object")
    _check_members(image, {"url", "detail"})
    url = image.get("url")
    rule = "an image is an HTTP URL, or a data URL of JPEG, PNG or WebP"
    _rule(isinstance(url, str) and _IMAGE.match(url), rule)
    _rule(image.get("detail", "auto") in ("auto", "low", "high"), "a detail is auto, low or high")


def _check_response_format(value: object) -> None:
    found = _need_object(value, "response_format is an object")
    kinds = ("text", "json_object", "json_schema")
    _rule(found.get("type") in kinds, "a response_format has a type of the API")


def _check_text(value: object) -> None:
    """Check that all text is Unicode: JSON can write a half of a character, UTF-8 cannot."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            _rule(one.isascii() or _is_unicode(one), "text is Unicode")
        elif isinstance(one, dict):
            entries = cast("Mapping[str, object]", one)
            waiting += entries.keys()
            waiting += entries.values()
        elif isinstance(one, list):
            waiting += cast("list[object]", one)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
