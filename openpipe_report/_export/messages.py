"""
Messages and tools of chat completions, with the members that OpenAI's fine-tuning files have.

Other members, such as `annotations` or a gateway's `reasoning_content`, are no part of the format
and are dropped. The role `developer`, which the format has not, becomes `system`.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._export.reasons import LeftOutError, Reason
from openpipe_report._export.values import Json, need_list, need_object, need_text, pick
from openpipe_report._report.json_values import get_object

_ROLES = {
    "assistant": "assistant",
    "developer": "system",
    "function": "function",
    "system": "system",
    "tool": "tool",
    "user": "user",
}


def clean_messages(messages: object) -> list[Json]:
    """Return the messages of a request."""
    return [clean_message(need_object(one)) for one in need_list(messages)]


def clean_message(message: Json) -> Json:
    """Return a message of a request or an answer."""
    role = _ROLES.get(need_text(message.get("role")))
    if role is None:
        raise LeftOutError(Reason.UNREADABLE)
    cleaned: Json = {"role": role}
    content = clean_content(message.get("content"))
    if role == "assistant":
        return {**cleaned, **_clean_answer(message, content)}
    cleaned["content"] = "" if content is None else content
    return {**cleaned, **pick(message, "tool_call_id" if role == "tool" else "name")}


def clean_content(content: object) -> str | list[Json] | None:
    """Return the content of a message: text, or parts that are text or images."""
    if content is None or isinstance(content, str):
        return content
    return [_clean_part(need_object(part)) for part in need_list(content)]


def clean_tools(tools: object) -> list[Json]:
    """Return the functions that a request offers."""
    if tools is None:
        return []
    return [_clean_tool(need_object(tool)) for tool in need_list(tools)]


def make_tool(function: Json) -> Json:
    """Return a tool, given the members of its function."""
    return {"type": "function", "function": clean_function(function)}


def make_call(call_id: object, name: object, arguments: object) -> Json:
    """Return a call of a function in an answer."""
    return {"id": call_id, "type": "function", "function": _clean_called(name, arguments)}


def clean_function(function: Json) -> Json:
    """Return the description of a function."""
    return pick(function, "name", "description", "parameters", "strict")


def _clean_answer(message: Json, content: Any) -> Json:
    cleaned: Json = pick(message, "name", "refusal")
    if message.get("audio") is not None:
        raise LeftOutError(Reason.UNSUPPORTED)
    if calls := message.get("tool_calls"):
        cleaned["tool_calls"] = [_clean_call(need_object(call)) for call in need_list(calls)]
    if function := message.get("function_call"):
        called = need_object(function)
        cleaned["function_call"] = _clean_called(called.get("name"), called.get("arguments"))
    if content or not cleaned.keys() & {"tool_calls", "function_call", "refusal"}:
        cleaned["content"] = content
    return cleaned


def _clean_part(part: Json) -> Json:
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": need_text(part.get("text"))}
    if kind == "refusal":
        return {"type": "refusal", "refusal": need_text(part.get("refusal"))}
    if kind == "image_url":
        image = part.get("image_url")
        if isinstance(image, str):
            image = {"url": image}
        return {"type": "image_url", "image_url": pick(get_object(image), "url", "detail")}
    raise LeftOutError(Reason.UNSUPPORTED)


def _clean_call(call: Json) -> Json:
    if call.get("type", "function") != "function":
        raise LeftOutError(Reason.UNSUPPORTED)
    function = need_object(call.get("function"))
    return make_call(call.get("id"), function.get("name"), function.get("arguments"))


def _clean_called(name: object, arguments: object) -> Json:
    # Some gateways stream no arguments at all for a function without parameters.
    return {"name": name, "arguments": arguments or "{}"}


def _clean_tool(tool: Json) -> Json:
    if tool.get("type", "function") != "function":
        raise LeftOutError(Reason.UNSUPPORTED)
    return make_tool(need_object(tool.get("function")))
