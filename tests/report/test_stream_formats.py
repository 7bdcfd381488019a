"""A stream is recognised, and is complete or not; no bytes make its assembly fail."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chunks import FRAME, assembled, text_chunk
from support.scripted_openai import encode_event
from support.shapes import chat_chunk, delta

from openpipe_report._report.stream_formats import assemble


@pytest.mark.parametrize(
    "event",
    [
        b'error: {"message": "bad", "code": 500}\n\n',
        b'event: error\ndata: {"message": "bad"}\n\n',
        b"event: error\ndata: bad\n\n",
        b'data: {"error": "bad"}\n\n',
        b'data: {"type": "error", "error": {"message": "bad"}}\n\n',
        b'data: {"object": "error", "message": "bad"}\n\n',
        b'data: {"choices": [{"index": 0, "delta": {}, "error": {"message": "bad"}}]}\n\n',
    ],
)
def test_error_after_the_last_finish_reason(event):
    """An error is told, also after every choice was finished, however it is spelled."""
    finished = encode_event(chat_chunk(delta(0, content="a", finish_reason="stop")))
    result = assemble(finished + event)
    assert result.error == "bad"
    assert result.value["choices"][0]["message"]["content"] == "a"


def test_broken_event():
    """An event that is not JSON is told, the others are kept."""
    result = assemble(encode_event(text_chunk("a")) + b"data: <html>\n\ndata: [DONE]\n\n")
    assert result.value["choices"][0]["message"]["content"] == "a"
    assert result.error == "1 of 2 events of the stream are not JSON objects"


@pytest.mark.parametrize(
    "chunks, done, complete",
    [
        ([text_chunk("a")], False, False),
        ([text_chunk("a")], True, True),
        ([chat_chunk(delta(0, "stop"))], False, True),
        ([chat_chunk(delta(0, "stop"), delta(1))], False, False),
        ([{**FRAME, "error": {"message": "x"}}], False, True),
        ([{**FRAME, "choices": []}], False, False),
        ([{"type": "ping"}], False, False),
        ([{"value": "a"}], False, False),
        ([{"type": "x.partial"}], False, False),
        ([{"type": "x.partial"}, {"type": "x.completed"}], False, True),
    ],
    ids=[
        "cut",
        "done",
        "finished",
        "one-of-two",
        "error",
        "no-choice",
        "ping",
        "own-shape",
        "typed",
        "typed-completed",
    ],
)
def test_completeness(chunks, done, complete):
    """A stream is whole after its terminal event, or if every choice was finished."""
    assert assembled(*chunks, done=done).complete is complete


@pytest.mark.parametrize("n, complete", [(None, True), (1, True), (2, False)])
def test_choices_that_were_asked_for(n, complete):
    """A choice that never began is missing."""
    body = encode_event(chat_chunk(delta(0, content="a", finish_reason="stop")))
    assert assemble(body, n).complete is complete


def test_nothing_after_the_end():
    """What follows the terminal event is ignored."""
    body = b"".join(map(encode_event, [text_chunk("a")])) + b"data: [DONE]\n\n"
    assert assemble(body + body).value["choices"][0]["message"]["content"] == "a"


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"\xff\xfe\x00", b"data: x\n\n"])
def test_no_events(body):
    """A body without events is none of ours."""
    assert assemble(body) is None


def test_typed_events_of_other_endpoints():
    """Events of a kind that is not known are kept as they came."""
    events = [{"type": "image_generation.partial_image", "b64": "x"}, {"type": "y.completed"}]
    assert assembled(*events, done=False).value == events


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "index",
                    "id",
                    "type",
                    "delta",
                    "choices",
                    "message",
                    "tool_calls",
                    "function",
                    "text",
                    "name",
                    "output_index",
                    "content_index",
                    "item",
                    "part",
                    "response",
                    "error",
                    "object",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(hostile, max_size=5), st.sampled_from([None, "typed", "delta", "choice", "calls"]))
def test_hostile_events(events, place):
    """No event, however odd, makes the assembly fail."""
    if place == "choice":
        events = [{"choices": [event]} for event in events]
    if place == "delta":
        events = [{"choices": [{"delta": event, "logprobs": event}]} for event in events]
    if place == "calls":
        events = [
            {"choices": [{"delta": {"tool_calls": event, "x": event}, "x": event}]}
            for event in events
        ]
    if place == "typed":
        events = [
            {"type": "response.output_text.delta", **event} if isinstance(event, dict) else event
            for event in events
        ]
    assemble(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(body):
    """No bytes make the assembly fail."""
    assemble(b"data: " + body)
