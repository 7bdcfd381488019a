"""
Prompt and answer of the Responses API, as messages of chat completions.

Items of one turn (a message and the calls of functions) become one message of the assistant.
Reasoning is no part of a chat and is dropped. OpenAI's own tools, files and audio have no place in
the format, and what an id refers to (an earlier response, a stored prompt) is not in the report.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._export.messages import clean_message, make_call, make_tool
from openpipe_report._export.prompt import Prompt
from openpipe_report._export.reasons import LeftOutError, Reason
from openpipe_report._export.values import Json, get_text, need_list, need_object, need_text, pick
from openpipe_report._report.json_values import get_list, get_object

_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
"""Members of a request that refer to what is kept at OpenAI."""
_INCOMPLETE = {"max_output_tokens": Reason.CUT, "content_filter": Reason.REFUSED}


def read_prompt(request: Json) -> Prompt:
    """Return what was asked."""
    if any(request.get(name) for name in _ELSEWHERE):
        raise LeftOutError(Reason.NO_PROMPT)
    given = request.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else need_list(given)
    messages = _to_messages(items)
    if instructions := request.get("instructions"):
        messages.insert(0, {"role": "system", "content": need_text(instructions)})
    parallel = request.get("parallel_tool_calls")
    return Prompt(
        messages=messages,
        tools=[_read_tool(need_object(tool)) for tool in get_list(request.get("tools"))],
        parallel_tool_calls=parallel if isinstance(parallel, bool) else None,
        response_format=_read_format(get_object(get_object(request.get("text")).get("format"))),
    )


def read_answer(response: Json) -> Json:
    """Return the answer, if it is whole: its text and the calls of functions."""
    _check_status(response)
    output = need_list(response.get("output"))
    for item in output:
        parts = get_list(get_object(item).get("content"))
        if any(get_object(part).get("type") == "refusal" for part in parts):
            raise LeftOutError(Reason.REFUSED)
    messages = _to_messages(output)
    if not messages:
        raise LeftOutError(Reason.NO_ANSWER)
    if len(messages) > 1 or messages[0]["role"] != "assistant":
        raise LeftOutError(Reason.UNSUPPORTED)
    answer = messages[0]
    if "tool_calls" not in answer and not answer["content"]:
        raise LeftOutError(Reason.NO_ANSWER)
    return answer


def _check_status(response: Json) -> None:
    status = response.get("status")
    if status == "incomplete":
        why = get_text(get_object(response.get("incomplete_details")).get("reason"))
        raise LeftOutError(_INCOMPLETE.get(why or "", Reason.UNFINISHED))
    if status == "failed":
        raise LeftOutError(Reason.FAILED)
    if status != "completed":
        raise LeftOutError(Reason.UNFINISHED)


def _to_messages(items: list[Any]) -> list[Json]:
    messages: list[Json] = []
    for item in map(need_object, items):
        kind = item.get("type") or "message"
        if kind == "message":
            _add_message(messages, item)
        elif kind == "function_call":
            call = make_call(item.get("call_id"), item.get("name"), item.get("arguments"))
            _turn(messages).setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            messages.append(_read_result(item))
        elif kind == "item_reference":
            raise LeftOutError(Reason.NO_PROMPT)
        elif kind != "reasoning":
            raise LeftOutError(Reason.UNSUPPORTED)
    return messages


def _turn(messages: list[Json]) -> Json:
    """Return the message of the assistant that a call of a function belongs to."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant"})
    return messages[-1]


def _add_message(messages: list[Json], item: Json) -> None:
    content = _read_content(item.get("content"))
    role = need_text(item.get("role"))
    if role == "assistant" and messages and messages[-1].keys() == {"role", "tool_calls"}:
        messages[-1]["content"] = content  # said after the calls of the same turn
        return
    messages.append(clean_message({"role": role, "content": content}))


def _read_content(content: object) -> str | list[Json]:
    """Return text, also where it is in several parts, or parts if one of them is an image."""
    if isinstance(content, str):
        return content
    parts = [_read_part(need_object(part)) for part in need_list(content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _read_part(part: Json) -> Json:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": need_text(part.get("text"))}
    if kind == "refusal":
        return {"type": "refusal", "refusal": need_text(part.get("refusal"))}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        image = {"url": part["image_url"], **pick(part, "detail")}
        return {"type": "image_url", "image_url": image}
    raise LeftOutError(Reason.UNSUPPORTED)


def _read_result(item: Json) -> Json:
    content = _read_content(item.get("output"))
    return {"role": "tool", "content": content, **_call_id(item)}


def _call_id(item: Json) -> Json:
    return {"tool_call_id": item.get("call_id")}


def _read_tool(tool: Json) -> Json:
    if tool.get("type") != "function":
        raise LeftOutError(Reason.UNSUPPORTED)
    return make_tool(tool)


def _read_format(found: Json) -> Json | None:
    if found.get("type") != "json_schema":
        return pick(found, "type") if found.get("type") == "json_object" else None
    schema = pick(found, "name", "description", "schema", "strict")
    return {"type": "json_schema", "json_schema": schema}
