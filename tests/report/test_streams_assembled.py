"""Streams are put together into what the same call would have returned unstreamed."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted_openai import encode_event
from support.shapes import chat_chunk, delta, response, response_events

from openpipe_report._report.model import parse_json
from openpipe_report._report.sse import split_events
from openpipe_report._report.stream_formats import assemble

FRAME = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def assembled(*chunks, done=True, **options):
    body = b"".join(map(encode_event, chunks)) + (b"data: [DONE]\n\n" if done else b"")
    return assemble(body, **options)


def message_of(*deltas, **fields):
    """The message that a stream of these deltas gives."""
    chunks = [{**FRAME, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    [choice] = assembled(*chunks).value["choices"]
    return choice["message"]


def text_chunk(text):
    return {**FRAME, "choices": [delta(content=text)]}


SHAPES = {
    "text": (
        [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "a"}, {}],
        {"role": "assistant", "content": "aa"},
    ),
    "role null or repeated": (
        [{"role": None, "content": "a"}, {"role": "assistant"}, {"role": "assistant"}],
        {"role": "assistant", "content": "a"},
    ),
    "no role": ([{"content": "a"}], {"role": "assistant", "content": "a"}),
    "refusal": (
        [{"content": None, "refusal": "I "}, {"refusal": "can't"}],
        {"role": "assistant", "content": None, "refusal": "I can't"},
    ),
    "reasoning": (
        [
            {"reasoning_content": "hm", "reasoning": "h"},
            {"reasoning_content": "m", "reasoning": "m"},
            {"content": "a"},
        ],
        {"role": "assistant", "content": "a", "reasoning_content": "hmm", "reasoning": "hm"},
    ),
    "reasoning_details": (
        [
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "th", "index": 0, "format": "f", "id": None}
                ]
            },
            {
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "ink", "index": 0, "format": "f"}
                ]
            },
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "index": 1}]},
        ],
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [
                {"type": "reasoning.text", "text": "think", "index": 0, "format": "f", "id": None},
                {"type": "reasoning.encrypted", "data": "x", "index": 1},
            ],
        },
    ),
    "content as a list": (
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]},
            {"content": "an"},
            {"content": "swer"},
        ],
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "answer"},
            ],
        },
    ),
    "annotations": (
        [
            {"annotations": [{"type": "url_citation", "url_citation": {"url": "a"}}]},
            {"annotations": [{"type": "url_citation", "url_citation": {"url": "b"}}]},
        ],
        {
            "role": "assistant",
            "content": None,
            "annotations": [
                {"type": "url_citation", "url_citation": {"url": "a"}},
                {"type": "url_citation", "url_citation": {"url": "b"}},
            ],
        },
    ),
    "audio": (
        [
            {"audio": {"id": "au", "transcript": "He"}},
            {"audio": {"data": "AAAA", "transcript": "y"}},
            {"audio": {"data": "BBBB", "expires_at": 9}},
        ],
        {
            "role": "assistant",
            "content": None,
            "audio": {"id": "au", "transcript": "Hey", "data": "AAAABBBB", "expires_at": 9},
        },
    ),
    "function_call": (
        [
            {"function_call": {"name": "f", "arguments": ""}},
            {"function_call": {"arguments": "{}"}},
        ],
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "f", "arguments": "{}"},
        },
    ),
    "labels that are repeated": (
        [
            {"channel": "analysis", "provider": "P", "reasoning": "I ", "x_label": "v"},
            {"channel": "analysis", "provider": "P", "reasoning": "think", "x_label": "v"},
            {"content": "4"},
        ],
        {
            "role": "assistant",
            "content": "4",
            "channel": "analysis",
            "provider": "P",
            "reasoning": "I think",
            "x_label": "v",
        },
    ),
    "other types at one index": (
        [
            {"reasoning_details": [{"type": "r.summary", "summary": "S", "index": 0}]},
            {"reasoning_details": [{"type": "r.encrypted", "data": "A", "id": "1", "index": 0}]},
            {"reasoning_details": [{"type": "r.summary", "summary": "um", "index": 0}]},
        ],
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [
                {"type": "r.summary", "summary": "Sum", "index": 0},
                {"type": "r.encrypted", "data": "A", "id": "1", "index": 0},
            ],
        },
    ),
    "other ids at one index": (
        [
            {"reasoning_details": [{"type": "r.encrypted", "data": "A", "id": "1", "index": 0}]},
            {"reasoning_details": [{"type": "r.encrypted", "data": "B", "id": "2", "index": 0}]},
        ],
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [
                {"type": "r.encrypted", "data": "A", "id": "1", "index": 0},
                {"type": "r.encrypted", "data": "B", "id": "2", "index": 0},
            ],
        },
    ),
    "an object repeated whole": (
        [
            {"executed_tools": [{"index": 0, "type": "search", "arguments": '{"q":1}'}]},
            {
                "executed_tools": [
                    {"index": 0, "type": "search", "arguments": '{"q":1}', "out": "x"}
                ]
            },
        ],
        {
            "role": "assistant",
            "content": None,
            "executed_tools": [{"index": 0, "type": "search", "arguments": '{"q":1}', "out": "x"}],
        },
    ),
    "a part that is closed by its last piece": (
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]},
            {
                "content": [
                    {
                        "type": "thinking",
                        "thinking": [{"type": "text", "text": "b"}],
                        "closed": True,
                    }
                ]
            },
        ],
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "ab"}], "closed": True}
            ],
        },
    ),
    "entries with a string under their type": (
        [
            {"images": [{"type": "image_url", "image_url": "1"}]},
            {"images": [{"type": "image_url", "image_url": "2"}]},
        ],
        {
            "role": "assistant",
            "content": None,
            "images": [
                {"type": "image_url", "image_url": "1"},
                {"type": "image_url", "image_url": "2"},
            ],
        },
    ),
    "lists repeated whole": (
        [
            {"annotations": [{"type": "url", "url": "1"}]},
            {"annotations": [{"type": "url", "url": "1"}]},
            {"annotations": [{"type": "url", "url": "1"}, {"type": "url", "url": "2"}]},
        ],
        {
            "role": "assistant",
            "content": None,
            "annotations": [{"type": "url", "url": "1"}, {"type": "url", "url": "2"}],
        },
    ),
    "fields of a vendor": (
        [{"x_score": 1, "x_note": "a", "x_map": {"k": "b"}}, {"x_score": 2, "x_map": {"k": "c"}}],
        {"role": "assistant", "content": None, "x_score": 2, "x_note": "a", "x_map": {"k": "bc"}},
    ),
}


@pytest.mark.parametrize("deltas, message", SHAPES.values(), ids=SHAPES)
def test_message(deltas, message):
    """Deltas give the message, whatever a vendor puts into them."""
    assert message_of(*deltas) == message


def call(index=None, call_id=None, name=None, arguments=None):
    function = {"name": name, "arguments": arguments}
    entry = {"index": index, "id": call_id, "type": "function" if call_id else None}
    entry["function"] = {key: value for key, value in function.items() if value is not None}
    return {key: value for key, value in entry.items() if value is not None}


A = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
B = {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y":2}'}}

TOOL_CALLS = {
    "parallel": [
        [call(0, "a", "f", "")],
        [call(0, arguments='{"x"')],
        [call(0, arguments=":1}")],
        [call(1, "b", "g", "")],
        [call(1, arguments='{"y":2}')],
    ],
    "interleaved": [
        [call(0, "a", "f", ""), call(1, "b", "g", "")],
        [call(1, arguments='{"y"')],
        [call(0, arguments='{"x"')],
        [call(0, arguments=":1}"), call(1, arguments=":2}")],
    ],
    "out of order": [[call(1, "b", "g", '{"y":2}')], [call(0, "a", "f", '{"x":1}')]],
    "id and name repeated": [
        [call(0, "a", "f", '{"x"')],
        [call(0, "a", "f", ":1}")],
        [call(1, "b", "g", '{"y":2}')],
    ],
    "another id with each piece": [
        [call(0, "a", "f", '{"x"')],
        [call(0, "a-2", None, ":1}")],
        [call(1, "b", "g", '{"y"')],
        [call(1, "b-2", None, ":2}")],
    ],
    "name in pieces": [
        [call(0, "a", "f", '{"x":1}')],
        [call(1, "b", "", "")],
        [call(1, None, "g", '{"y":2}')],
    ],
    "without index": [
        [call(None, "a", "f", '{"x"')],
        [call(None, None, None, ":1}")],
        [call(None, "b", "g", '{"y":2}')],
    ],
    "always index 0": [[call(0, "a", "f", '{"x":1}')], [call(0, "b", "g", '{"y":2}')]],
}


def test_calls_without_ids_at_one_index():
    """A name with complete arguments after another such is another call."""
    calls = [call(0, None, "f", "{}"), call(0, None, "f", "{}"), call(0, None, "g", "{}")]
    message = message_of(*({"tool_calls": [made]} for made in calls))
    names = [made["function"] for made in message["tool_calls"]]
    assert names == [{"name": name, "arguments": "{}"} for name in "ffg"]


@pytest.mark.parametrize("pieces", TOOL_CALLS.values(), ids=TOOL_CALLS)
def test_tool_calls(pieces):
    """Tool calls come apart as they were made, without the stream's index."""
    message = message_of(*({"tool_calls": piece} for piece in pieces))
    assert message["tool_calls"] == [A, B]


def test_envelope():
    """Identifiers are the first real ones, other values the last; padding is left out."""
    value = assembled(
        {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter": [1]},
        {**text_chunk("a"), "service_tier": None, "obfuscation": "xx", "p": "yy"},
        {**text_chunk("b"), "service_tier": "default", "provider": "P", "usage": {"n": 1}},
        {"id": "", "created": 0, "model": "", "choices": [], "usage": {"n": 2, "cost": 0.5}},
    ).value
    assert value == {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "prompt_filter": [1],
        "service_tier": "default",
        "provider": "P",
        "usage": {"n": 2, "cost": 0.5},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab"},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    }


def test_choices():
    """Choices are told apart by index; the last finish_reason wins over a null after it."""
    value = assembled(
        chat_chunk(delta(1, content="b")),
        chat_chunk(delta(0, content="a", finish_reason="tool_calls")),
        chat_chunk(delta(1, finish_reason="length"), delta(0, finish_reason="stop")),
        chat_chunk(delta(0)),
    ).value
    assert [choice["index"] for choice in value["choices"]] == [0, 1]
    assert [choice["message"]["content"] for choice in value["choices"]] == ["a", "b"]
    assert [choice["finish_reason"] for choice in value["choices"]] == ["stop", "length"]


def test_logprobs():
    """Log probabilities are joined in order."""
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    chunk = {**FRAME, "choices": [{**delta(content="a"), "logprobs": {"content": [token]}}]}
    [choice] = assembled(chunk, chunk).value["choices"]
    assert choice["logprobs"] == {"content": [token, token]}


@pytest.mark.parametrize("token", ["id", "function", "index", "type", "delta", "text"])
def test_tokens_named_like_keys(token):
    """Log probabilities are kept entry by entry, whatever the tokens are called."""
    chunks = [
        {
            "id": "c",
            "choices": [
                {"index": 0, "text": text, "logprobs": {"tokens": [text], "top_logprobs": [top]}}
            ],
        }
        for text, top in [("a", {"a": -1}), (token, {token: 0}), ("=", {"=": -1})]
    ]
    [choice] = assembled(*chunks).value["choices"]
    assert choice["logprobs"] == {
        "tokens": ["a", token, "="],
        "top_logprobs": [{"a": -1}, {token: 0}, {"=": -1}],
    }


@pytest.mark.parametrize(
    "values, expected",
    [
        ([["a", "b"], ["a"], ["a", "b", "c"]], ["a", "b", "c"]),
        ([[{"id": "a", "on": False}], [{"id": "a", "on": True}]], [{"id": "a", "on": True}]),
        ([[{"kind": "T", "n": 0}], [{"kind": "T", "n": 2}]], [{"kind": "T", "n": 2}]),
        ([[{"url": "a"}], [{"url": "b"}]], [{"url": "a"}, {"url": "b"}]),
        ([["a"], []], ["a"]),
    ],
    ids=["shorter", "by-id", "by-label", "further", "empty"],
)
def test_lists_beside_the_choices(values, expected):
    """Lists beside the choices repeat what is known: what is new in them is added."""
    value = assembled(*({**text_chunk("a"), "x_list": value} for value in values)).value
    assert value["x_list"] == expected


def test_ping():
    """What only keeps the connection open is no field of the completion."""
    value = assembled({"type": "ping", "cost": "0"}, text_chunk("a"), {"event": "ping"}).value
    assert set(value) == {*FRAME, "choices"}


def test_object_of_another_kind_of_chunk():
    """Chunks of another kind (Perplexity's `chat.reasoning`) do not name the completion."""
    chunk = {**text_chunk("a"), "object": "chat.reasoning"}
    assert assembled(chunk, text_chunk("b")).value["object"] == "chat.completion"


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


@pytest.mark.parametrize(
    "text",
    ['{"x":1e999}', '{"x":NaN}', '{"x":123456789012345678901234567890}', '{"x":"\\ud800"}'],
)
def test_values_are_those_of_parse_json(text):
    """Numbers and strings that the fast parser reads in another way are read as everywhere."""
    body = f'data: {{"id":"c","choices":[],"usage":{text}}}\n\n'.encode()
    assert assemble(body).value["usage"] == parse_json(text)


def test_content_filter_of_azure():
    """Results of a content filter are the last ones, not joined strings."""
    results = {"hate": {"filtered": False, "severity": "safe"}}
    chunk = {**FRAME, "choices": [{**delta(content="a"), "content_filter_results": results}]}
    [choice] = assembled(chunk, chunk).value["choices"]
    assert choice["content_filter_results"] == results


def test_legacy_completion():
    """Texts and log probabilities of legacy completions are joined."""
    frame = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}

    def chunk(text, finish_reason=None):
        logprobs = {"tokens": [text], "token_logprobs": [-1], "text_offset": [0]}
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**frame, "choices": [choice]}

    value = assembled(chunk("a"), chunk("a", "stop")).value
    assert value == {
        **frame,
        "choices": [
            {
                "index": 0,
                "text": "aa",
                "logprobs": {
                    "tokens": ["a", "a"],
                    "token_logprobs": [-1, -1],
                    "text_offset": [0, 0],
                },
                "finish_reason": "stop",
            }
        ],
    }


def test_legacy_completion_that_ends_as_a_chat():
    """An empty delta in the last chunk of a legacy completion makes no message of it."""
    text = {"id": "c", "choices": [{"index": 0, "text": "a"}]}
    last = {"id": "c", "choices": [{"delta": {}, "finish_reason": "stop"}]}
    [choice] = assembled(text, last).value["choices"]
    assert choice == {"index": 0, "text": "a", "finish_reason": "stop"}


def test_chunks_without_choices():
    """Chunks of a vendor's own shape are deltas themselves."""
    assert assembled({"value": "a"}, {"value": "a"}, done=False).value == {"value": "aa"}


def test_cumulative_message_beside_the_delta():
    """A message that grows beside the delta adds what the delta lacks."""

    def chunk(text, whole):
        choice = {"index": 0, "delta": {"content": text}, "message": {"content": whole, "x": 1}}
        return {**FRAME, "choices": [choice]}

    [choice] = assembled(chunk("a", "a"), chunk("b", "ab")).value["choices"]
    assert choice["message"] == {"role": "assistant", "content": "ab", "x": 1}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_events(end):
    """Events are split by any line end; comments, other fields and a BOM are no data."""
    lines = [
        ": OPENROUTER PROCESSING",
        "",
        "event: x",
        "id: 1",
        'data: {"a":',
        "data:1}",
        "",
        " data: {}",
        "",
        "data: [DONE]",
        "",
        "",
    ]
    body = b"\xef\xbb\xbf" + end.join(lines).encode()
    assert split_events(body) == (['{"a":\n1}'], True)


@pytest.mark.parametrize(
    "last, expected",
    [(b"", ["{}"]), (b'data: {"a"', ["{}"]), (b'data: {"a":1}', ["{}", '{"a":1}'])],
    ids=["none", "cut", "whole"],
)
def test_last_event_without_a_blank_line(last, expected):
    """The last event counts if it is whole."""
    assert split_events(b"data: {}\n\n" + last) == (expected, False)


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


# Responses


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


def test_mixed_tool_call_indexes():
    """An index that is null in one call and a number in another keeps both."""
    calls = [{**call(None, "a", "f", "{}"), "index": None}, call(0, "b", "g", "{}")]
    message = message_of({"tool_calls": [calls[0]]}, {"tool_calls": [calls[1]]})
    assert [made["id"] for made in message["tool_calls"]] == ["a", "b"]


# Any legal way of cutting


json_texts = st.text(max_size=20)
arguments = st.dictionaries(json_texts, st.integers(), max_size=3).map(json.dumps)
tool_calls = st.lists(
    st.builds(
        lambda number, name, text: {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": text},
        },
        st.integers(0, 99),
        st.text(min_size=1, max_size=8),
        arguments,
    ),
    max_size=3,
    unique_by=lambda call: call["id"],
)


TOKEN_NAMES = ["id", "function", "index", "type", "delta", "text", "name", "a"]
logprob_entries = st.lists(
    st.fixed_dictionaries(
        {
            "token": json_texts | st.sampled_from(TOKEN_NAMES),
            "logprob": st.floats(-9, 0),
            "top_logprobs": st.lists(
                st.dictionaries(st.sampled_from(TOKEN_NAMES), st.integers(-9, 0), max_size=2),
                max_size=2,
            ),
        }
    ),
    max_size=4,
)
details = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted"]),
            "id": st.sampled_from(["rs_1", "rs_2"]),
            "index": st.integers(0, 2),
            "format": st.just("f"),
            "text": json_texts,
        }
    ),
    max_size=4,
    unique_by=lambda entry: (entry["index"], entry["type"], entry["id"]),
).map(lambda entries: sorted(entries, key=lambda entry: entry["index"]))
parts = st.lists(st.sampled_from(["thinking", "text"]), max_size=3).map(
    lambda kinds: [
        kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before
    ]
)
urls = st.lists(st.integers(0, 9).map(str), max_size=3, unique=True)
LABELS = {"channel": "analysis", "provider": "P", "x_label": "v"}


@st.composite
def messages(draw):
    message = {"role": "assistant", "content": draw(json_texts)}
    if kinds := draw(parts):
        message["content"] = [
            {"type": kind, kind: draw(st.text(min_size=1, max_size=9))} for kind in kinds
        ]
    for name in ("refusal", "reasoning_content"):
        if draw(st.booleans()):
            message[name] = draw(st.text(min_size=1, max_size=20))
    message |= {name: label for name, label in LABELS.items() if draw(st.booleans())}
    if entries := draw(details):
        message["reasoning_details"] = entries
    if found := draw(urls):
        message["annotations"] = [{"type": "url", "url": url} for url in found]
    if calls := draw(tool_calls):
        message["tool_calls"] = calls
    return message


@st.composite
def pieces(draw, text):
    """Cut a text anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def deltas(draw, message):
    """Cut a message into deltas, the labels repeated in some."""
    labels = {name: message[name] for name in LABELS if name in message}
    found = [{"role": "assistant", **labels}]
    if isinstance(message["content"], str):
        found += [{"content": piece} for piece in ["", *draw(pieces(message["content"]))]]
    else:
        for part in message["content"]:
            kind = part["type"]
            found += [
                {"content": [{"type": kind, kind: piece}]} for piece in draw(pieces(part[kind]))
            ]
    for name in ("refusal", "reasoning_content"):
        found += [{name: piece} for piece in draw(pieces(message[name]))] if name in message else []
    for entry in message.get("reasoning_details", []):
        found += [
            {"reasoning_details": [{**entry, "text": piece}]}
            for piece in draw(pieces(entry["text"]))
        ]
    found += [{"annotations": [entry]} for entry in message.get("annotations", [])]
    for number, made in enumerate(message.get("tool_calls", [])):
        whole = {**made, "index": number, "function": {**made["function"], "arguments": ""}}
        found.append({"tool_calls": [whole]})
        found += [
            {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}
            for piece in draw(pieces(made["function"]["arguments"]))
        ]
    return [{**delta, **labels} if draw(st.booleans()) else delta for delta in found]


@st.composite
def streams(draw):
    """An unstreamed answer, and a stream that carries it."""
    whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    tracks = []
    for index in range(draw(st.integers(1, 3))):
        message = draw(messages())
        found = draw(logprob_entries)
        reason = draw(st.sampled_from(["stop", "length"]))
        whole["choices"].append(
            {
                "index": index,
                "message": message,
                "logprobs": {"content": found},
                "finish_reason": reason,
            }
        )
        track = [{"delta": {}, "logprobs": {"content": []}}]
        track += [{"delta": delta} for delta in draw(deltas(message))]
        track += [{"delta": {}, "logprobs": {"content": [token]}} for token in found]
        track.append({"delta": {}, "finish_reason": reason})
        tracks.append([{"index": index, **choice} for choice in track])
    chunks = []
    while any(tracks):
        track = draw(st.sampled_from([track for track in tracks if track]))
        chunks.append({**FRAME, "choices": [track.pop(0)]})
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    chunks.append({**FRAME, "choices": [], "usage": usage})
    return {**whole, "usage": usage}, chunks


@settings(max_examples=200, deadline=None)
@given(streams(), st.sampled_from([1, 2, 3, 256]))
def test_round_trip(drawn, batch_size):
    """An unstreamed answer that is cut into chunks in any legal way assembles into itself."""
    whole, chunks = drawn
    result = assembled(*chunks, batch_size=batch_size)
    assert result.value == whole
    assert (result.complete, result.error) == (True, None)


def repeated(chunk, count):
    return f"data: {json.dumps(chunk)}\n\n".encode() * count + b"data: [DONE]\n\n"


CHUNK_OF_ARGUMENTS = chat_chunk(
    {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 100}}]}}
)
CHUNK_OF_A_RESPONSE = {
    "type": "response.output_text.delta",
    "output_index": 0,
    "content_index": 0,
    "delta": "x" * 100,
}
LONG = {
    "text": text_chunk("x" * 100),
    "arguments": CHUNK_OF_ARGUMENTS,
    "arguments that look whole": chat_chunk(
        {"index": 0, "delta": {"tool_calls": [call(0, None, "f", "{" + "x" * 98 + "}")]}}
    ),
    "calls of other ids": chat_chunk(
        {"index": 0, "delta": {"tool_calls": [call(0, "a", "f", ""), call(0, "b", None, "")]}}
    ),
    "parts": chat_chunk({"index": 0, "delta": {"content": [{"type": "text", "text": "x" * 100}]}}),
    "name": chat_chunk({"index": 0, "delta": {"function_call": {"name": "x" * 100}}}),
    "lists": {**text_chunk("x"), "citations": ["a", "b"], "results": [{"url": "a"}, {"url": "b"}]},
    "own shape": {"value": "x" * 100},
    "response": CHUNK_OF_A_RESPONSE,
    "surrogate": text_chunk("\ud800" + "x" * 100),
}


@pytest.mark.parametrize("chunk", LONG.values(), ids=LONG)
def test_time_is_linear(chunk):
    """Four times the chunks take about four times as long: sixteen times would be quadratic."""

    def fastest(body):
        taken = []
        for _ in range(5):
            begin = time.thread_time()
            assemble(body)
            taken.append(time.thread_time() - begin)
        return min(taken)

    assert fastest(repeated(chunk, 8_000)) < 9 * fastest(repeated(chunk, 2_000))


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
@given(st.lists(hostile, max_size=5), st.booleans())
def test_hostile_events(events, typed):
    """No event, however odd, makes the assembly fail."""
    if typed:
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
