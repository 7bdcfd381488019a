"""Chunks of chat and legacy completions give the completion, whatever a vendor adds."""

from __future__ import annotations

import json

import pytest
from support.chunks import FRAME, assembled, call, message_of, text_chunk
from support.shapes import chat_chunk, delta

from openpipe_report._report.stream_formats import assemble

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
    "entries with an index repeated whole": (
        [
            {"results": [{"index": 0, "url": "a", "content": "x"}]},
            {"results": [{"index": 0, "url": "a", "content": "x"}]},
            {"results": [{"index": 0, "url": "b", "content": "x"}]},
        ],
        {
            "role": "assistant",
            "content": None,
            "results": [
                {"index": 0, "url": "a", "content": "x"},
                {"index": 0, "url": "b", "content": "x"},
            ],
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


@pytest.mark.parametrize("name", [None, "c"])
def test_input_of_a_custom_tool(name):
    """The input of a custom tool is text: pieces that look like JSON objects are joined, too."""
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "c", "input": "{}"}}
    more = {"index": 0, "custom": {"input": "{}", **({"name": name} if name else {})}}
    message = message_of({"tool_calls": [first]}, {"tool_calls": [more]}, {"tool_calls": [more]})
    [made] = message["tool_calls"]
    assert made["custom"] == {"name": "c", "input": "{}{}{}"}


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


def test_token_ids():
    """Equal token ids (vLLM) are as many tokens; ids of other things are repeated whole."""
    fields = {"token_ids": [5], "content_filter_results": {"blocklist_ids": ["a", "b"]}}
    chunk = {**FRAME, "choices": [{**delta(content="a"), **fields}]}
    [choice] = assembled(chunk, chunk).value["choices"]
    assert choice["token_ids"] == [5, 5]
    assert choice["content_filter_results"] == {"blocklist_ids": ["a", "b"]}


def test_arguments_as_an_object():
    """Arguments that are an object come whole, also when they come again."""
    made = {**call(0, "a", "f"), "function": {"name": "f", "arguments": {"text": "x"}}}
    message = message_of({"tool_calls": [made]}, {"tool_calls": [made]})
    assert message["tool_calls"][0]["function"]["arguments"] == {"text": "x"}


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


def test_deep_nesting():
    """Values as deep as they are read can be merged."""
    text = '{"x":' * 190 + "1" + "}" * 190
    body = f'data: {{"choices":[{{"delta":{text}}}]}}\n\n'.encode()
    [choice] = assemble(body * 2).value["choices"]
    assert choice["message"]["x"] == json.loads(text)["x"]


def test_mixed_tool_call_indexes():
    """An index that is null in one call and a number in another keeps both."""
    calls = [{**call(None, "a", "f", "{}"), "index": None}, call(0, "b", "g", "{}")]
    message = message_of({"tool_calls": [calls[0]]}, {"tool_calls": [calls[1]]})
    assert [made["id"] for made in message["tool_calls"]] == ["a", "b"]


def test_error_event_with_choices_alone():
    """An error event that has choices itself, and is the only event, is kept as the error."""
    event = {"type": "error", "message": "overloaded", "choices": []}
    answer = assembled(event)
    assert (answer.value["error"], answer.error) == (event, "overloaded")
