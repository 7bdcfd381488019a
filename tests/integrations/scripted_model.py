"""
A model for ScriptedOpenAI: chat completions and responses, streamed and not, with tools.

Offered tools, it first calls the first of them; once it has the tool's result, or without tools,
it answers with its text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from support.scripted_openai import Reply, encode_event
from support.shapes import (
    api_error,
    chat_chunks,
    chat_completion,
    response,
    response_events,
    tool_call,
    tool_call_chunks,
    usage,
)

Json = dict[str, Any]

REFUSAL = api_error()


@dataclass
class ScriptedModel:
    """Answers requests, as `ScriptedOpenAI(otherwise=ScriptedModel())`."""

    text: str = "It rains in Oslo."
    arguments: str = '{"city":"Oslo"}'
    """What the tool is called with."""

    insists: bool = False
    """Whether the tool is called again when its result is there."""

    refuses: bool = False
    """Whether every request is refused, with status 400."""

    def __call__(self, request: Any) -> Reply:
        body = request.json()
        headers = [("Content-Type", "application/json")]
        if self.refuses:
            encoded = json.dumps(REFUSAL).encode()
            return Reply([encoded], 400, headers, length=len(encoded))
        responses = "/responses" in request.path
        if not body.get("stream"):
            encoded = json.dumps(self.answer(body)).encode()
            return Reply([encoded], headers=headers, length=len(encoded))
        events = self._events(body) if responses else [*self._chunks(body), b"data: [DONE]\n\n"]
        steps = [event if isinstance(event, bytes) else encode_event(event) for event in events]
        return Reply(steps, headers=[("Content-Type", "text/event-stream")])

    def answer(self, body: Json) -> Json:
        """The object that a request's answer amounts to, streamed or not."""
        call = self._called(body)
        if "messages" not in body:
            return response(output=[_call_item(call)]) if call else response(self.text)
        answer = chat_completion(self.text, tool_calls=[call] if call else None)
        if body.get("stream"):
            del answer["choices"][0]["message"]["annotations"]
            if not _wants_usage(body):
                del answer["usage"]
        return answer

    def _called(self, body: Json) -> Json | None:
        """The tool call that is the answer, if it is one."""
        past = body.get("messages") or body.get("input")
        done = [item for item in past if _is_result(item)] if isinstance(past, list) else []
        if (done and not self.insists) or not body.get("tools"):
            return None
        tool = body["tools"][0]
        return tool_call(tool.get("function", tool)["name"], self.arguments)

    def _chunks(self, body: Json) -> list[Json]:
        call = self._called(body)
        counted = usage() if _wants_usage(body) else None
        if call:
            return tool_call_chunks(call, usage=counted)
        return chat_chunks(self.text, usage=counted)

    def _events(self, body: Json) -> list[Json]:
        call = self._called(body)
        if not call:
            return response_events(self.text)
        began = response(status="in_progress")
        done = _call_item(call)
        item = {**done, "status": "in_progress", "arguments": ""}
        at = {"item_id": done["id"], "output_index": 0}
        arguments = call["function"]["arguments"]
        events: list[Json] = [
            {"type": "response.created", "response": began},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.function_call_arguments.delta", **at, "delta": arguments},
            {"type": "response.function_call_arguments.done", **at, "arguments": arguments},
            {"type": "response.output_item.done", "output_index": 0, "item": done},
            {"type": "response.completed", "response": response(output=[done])},
        ]
        return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _wants_usage(body: Json) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _is_result(item: Any) -> bool:
    return item.get("role") == "tool" or item.get("type") == "function_call_output"


def _call_item(call: Json) -> Json:
    return {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": call["id"],
        **call["function"],
    }
