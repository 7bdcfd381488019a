"""Events of the Responses API give the response, also of a stream that was cut."""

from __future__ import annotations

import pytest
from support.chunks import assembled
from support.shapes import response, response_events


def test_response():
    """The terminal event has the response."""
    assert assembled(*response_events("Hi"), done=False).value == response("Hi")


ITEMS = {
    "text": (
        [
            ("output_text.delta", {"content_index": 0, "delta": "a"}),
            ("output_text.delta", {"content_index": 0, "delta": "b"}),
            ("output_text.annotation.added", {"content_index": 0, "annotation": {"n": 1}}),
        ],
        {"type": "t", "content": [{"text": "ab", "annotations": [{"n": 1}]}]},
    ),
    "refusal": (
        [("refusal.delta", {"content_index": 1, "delta": "no"})],
        {"type": "t", "content": [{}, {"refusal": "no"}]},
    ),
    "arguments": (
        [
            ("function_call_arguments.delta", {"delta": "{"}),
            ("function_call_arguments.delta", {"delta": "}"}),
        ],
        {"type": "t", "arguments": "{}"},
    ),
    "arguments done": (
        [
            ("mcp_call_arguments.delta", {"delta": "{"}),
            ("mcp_call_arguments.done", {"arguments": "{}"}),
        ],
        {"type": "t", "arguments": "{}"},
    ),
    "summary": (
        [
            ("reasoning_summary_part.added", {"summary_index": 0, "part": {"type": "s"}}),
            ("reasoning_summary_text.delta", {"summary_index": 0, "delta": "why"}),
        ],
        {"type": "t", "summary": [{"type": "s", "text": "why"}]},
    ),
    "code": (
        [("code_interpreter_call_code.delta", {"delta": "1+1"})],
        {"type": "t", "code": "1+1"},
    ),
    "input": ([("custom_tool_call_input.delta", {"delta": "x"})], {"type": "t", "input": "x"}),
    "status": ([("web_search_call.completed", {})], {"type": "t", "status": "completed"}),
    "finished": ([("output_item.done", {"item": {"whole": 1}})], {"whole": 1}),
}  # fmt: skip


@pytest.mark.parametrize("events, item", ITEMS.values(), ids=ITEMS)
def test_cut_response(events, item):
    """A response that was cut has its items as far as they had come."""
    began = [
        {"type": "response.created", "response": {"id": "r", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "t"}},
    ]
    at = {"output_index": 0, "item_id": "i"}
    events = [{"type": f"response.{kind}", **at, **fields} for kind, fields in events]
    result = assembled(*began, *events, done=False)
    assert result.value == {"id": "r", "output": [item]}
    assert not result.complete


@pytest.mark.parametrize(
    "event, message",
    [
        ({"type": "error", "message": "bad", "code": "c"}, "bad"),
        ({"type": "response.failed", "response": {"error": {"message": "bad"}}}, "bad"),
    ],
)
def test_error_of_a_response(event, message):
    """Errors of a response's stream are its error, and its end."""
    result = assembled({"type": "response.created", "response": {"id": "r"}}, event, done=False)
    assert (result.error, result.complete) == (message, True)


def test_hostile_indexes():
    """An index without measure takes no memory."""
    event = {"type": "response.output_text.delta", "output_index": 0, "content_index": 10**12}
    assert assembled({**event, "delta": "x"}, done=False) is not None
