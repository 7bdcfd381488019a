"""Rows as `GET /api/v1/reports?payloads=true` has them."""

from __future__ import annotations

from itertools import count

_ids = count(1)
HI = [{"role": "user", "content": "Hi"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


def row(request, response, *, endpoint="chat/completions", labels=None, **fields):
    """A row of the API with a report; `error` and `status` are those of the report."""
    error, status = fields.pop("error", None), fields.pop("status", 200)
    report = {"reqPayload": request, "respPayload": response, "statusCode": status}
    if error is not None:
        report["errorMessage"] = error
    return {
        "id": next(_ids),
        "at": 1_700_000_000_000,
        "endpoint": endpoint,
        "failed": error is not None or status >= 400,
        "metadata": labels or {},
        "report": {**report, "tags": {"$endpoint": endpoint}},
        **fields,
    }


def chat(messages=HI, answer="Hello", *, finish="stop", labels=None, message=None, **request):
    """A row of a chat completion."""
    given = {"role": "assistant", "content": answer, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": {**given, **(message or {})}, "finish_reason": finish}
    response = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}
    return row({"model": "gpt", "messages": messages, **request}, response, labels=labels)


def response(given="Hi", output=None, *, status="completed", labels=None, **fields):
    """A row of the Responses API; `incomplete` is the reason of an incomplete one."""
    incomplete = fields.pop("incomplete", None)
    answer = {"id": "resp_1", "object": "response", "status": status, "error": None}
    answer["incomplete_details"] = incomplete and {"reason": incomplete}
    answer["output"] = [said("Hello")] if output is None else output
    request = {"model": "gpt", "input": given, **fields}
    return row(request, answer, endpoint="responses", labels=labels)


def said(text, kind="output_text"):
    """A message in the output of the Responses API."""
    name = "refusal" if kind == "refusal" else "text"
    part = {"type": kind, name: text, "annotations": []}
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part]}


def called(call_id="call_1"):
    """A call of a function in the output of the Responses API."""
    return {
        "type": "function_call",
        "id": "fc_1",
        "call_id": call_id,
        "name": "weather",
        "arguments": '{"city": "Rome"}',
        "status": "completed",
    }


def completion(prompt="Once", text=" upon a time", finish="stop", **request):
    """A row of a legacy completion."""
    answer = {"object": "text_completion", "choices": [{"text": text, "finish_reason": finish}]}
    return row({"model": "gpt", "prompt": prompt, **request}, answer, endpoint="completions")
