"""OpenAI and Anthropic as the tests of the openpipe SDK want them; for `check_openpipe_sdk.py`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.scripted_openai import Reply

if TYPE_CHECKING:
    from support.scripted_openai import Request

_JSON = ("Content-Type", "application/json")
_EVENTS = ("Content-Type", "text/event-stream")
_ARGUMENTS = ['{"location": ', '"San Francisco, CA"}']
_USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}


def answer(request: Request) -> Reply:
    """Answer a chat completion, streamed or not, or a message; refuse as OpenAI does."""
    body = request.json()
    if request.path == "/v1/messages":
        return _to_json(_message(body))
    if request.path != "/v1/chat/completions":
        return _refuse(404, f"Invalid URL ({request.method} {request.path})")
    if body["model"] != "gpt-4o":
        return _refuse(
            404, f"The model `{body['model']}` does not exist or you do not have access to it."
        )
    if "metadata" in body and not body.get("store"):
        return _refuse(400, "The 'metadata' parameter is only allowed when 'store' is enabled.")
    if body.get("stream"):
        events = [f"data: {json.dumps(one)}\n\n".encode() for one in _chunks(body)]
        return Reply([*events, b"data: [DONE]\n\n"], headers=[_EVENTS])
    return _to_json(_completion(body))


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    function = {"name": _called(body), "arguments": "".join(_ARGUMENTS)}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if "tools" in body:
        calls = [{"id": f"call_{n}", "type": "function", "function": function} for n in range(2)]
        choice = {"message": {**message, "tool_calls": calls}, "finish_reason": "tool_calls"}
    elif "functions" in body:
        choice = {"message": {**message, "function_call": function}, "finish_reason": "stop"}
    else:
        choice = {"message": {**message, "content": "1, 2, 3"}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "logprobs": None, **choice}],
        "usage": _USAGE,
    }


def _chunks(body: dict[str, Any]) -> list[dict[str, Any]]:
    name = _called(body)
    deltas: list[dict[str, Any]]
    if "tools" in body:
        first = {"index": 0, "id": "call_0", "type": "function"}
        begun = {**first, "function": {"name": name, "arguments": ""}}
        more = [{"index": 0, "function": {"arguments": part}} for part in _ARGUMENTS]
        deltas = [{"tool_calls": [call]} for call in (begun, *more)]
    elif "functions" in body:
        parts = [{"name": name, "arguments": ""}, *({"arguments": part} for part in _ARGUMENTS)]
        deltas = [{"function_call": part} for part in parts]
    else:
        deltas = [{"content": part} for part in ("", "1, ", "2, ", "3")]
    deltas[0] = {"role": "assistant", "content": None, **deltas[0]}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
    return [
        {
            **head,
            "model": body["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        for delta, reason in [*((delta, None) for delta in deltas), ({}, "stop")]
    ]


def _called(body: dict[str, Any]) -> str | None:
    functions = [tool["function"] for tool in body.get("tools", [])] or body.get("functions", [])
    return functions[0]["name"] if functions else None


def _message(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 5},
    }


def _refuse(status: int, message: str) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _to_json({"error": error}, status)


def _to_json(value: object, status: int = 200) -> Reply:
    body = json.dumps(value).encode()
    return Reply([body], status, [_JSON], length=len(body))
