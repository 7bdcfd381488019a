"""The format openai-chat: which calls are in it, and in which shape."""

from __future__ import annotations

import json

import pytest
from support.export_rows import (
    CALL,
    HI,
    RESULT,
    TOOL,
    called,
    chat,
    completion,
    response,
    row,
    said,
)

from openpipe_report._export import Reason

HELLO = {"role": "assistant", "content": "Hello"}
CALLED = {"role": "assistant", "tool_calls": [CALL]}
FLAT_TOOL = {"type": "function", **TOOL["function"], "strict": None}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
SCHEMA = {"name": "city", "strict": True, "schema": {"type": "object"}}


@pytest.mark.parametrize(
    "given, line",
    [
        pytest.param(chat(), {"messages": [*HI, HELLO]}, id="chat"),
        pytest.param(chat(stream=True), {"messages": [*HI, HELLO]}, id="streamed chat"),
        pytest.param(
            chat(message={"reasoning_content": "hm"}), {"messages": [*HI, HELLO]}, id="reasoning"
        ),
        pytest.param(chat(finish="eos"), {"messages": [*HI, HELLO]}, id="a gateway's reason"),
        pytest.param(
            chat([{"role": "developer", "content": "Be brief"}, *HI]),
            {"messages": [{"role": "system", "content": "Be brief"}, *HI, HELLO]},
            id="developer",
        ),
        pytest.param(
            chat([{"role": "user", "content": [IMAGE, {"type": "text", "text": "What?"}]}]),
            {
                "messages": [
                    {"role": "user", "content": [IMAGE, {"type": "text", "text": "What?"}]},
                    HELLO,
                ]
            },
            id="image",
        ),
        pytest.param(
            chat(
                answer=None,
                finish="tool_calls",
                message={"tool_calls": [CALL]},
                tools=[TOOL],
                parallel_tool_calls=False,
                tool_choice="auto",
            ),
            {"messages": [*HI, CALLED], "tools": [TOOL], "parallel_tool_calls": False},
            id="call of a tool",
        ),
        pytest.param(
            chat(
                [*HI, {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT],
                tools=[TOOL],
            ),
            {"messages": [*HI, CALLED, RESULT, HELLO], "tools": [TOOL]},
            id="result of a tool",
        ),
        pytest.param(
            chat(
                [*HI, {"role": "function", "name": "weather", "content": "sunny"}],
                answer=None,
                finish="function_call",
                message={"function_call": CALL["function"]},
                functions=[TOOL["function"]],
            ),
            {
                "messages": [
                    *HI,
                    {"role": "function", "name": "weather", "content": "sunny"},
                    {"role": "assistant", "function_call": CALL["function"]},
                ],
                "functions": [TOOL["function"]],
            },
            id="deprecated functions",
        ),
        pytest.param(
            chat(response_format={"type": "json_schema", "json_schema": SCHEMA}),
            {
                "messages": [*HI, HELLO],
                "response_format": {"type": "json_schema", "json_schema": SCHEMA},
            },
            id="response_format",
        ),
        pytest.param(response(), {"messages": [*HI, HELLO]}, id="response"),
        pytest.param(
            response(
                [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
                [{"type": "reasoning", "summary": [], "encrypted_content": "x"}, said("Hello")],
                instructions="Be brief",
            ),
            {"messages": [{"role": "system", "content": "Be brief"}, *HI, HELLO]},
            id="response with instructions and reasoning",
        ),
        pytest.param(
            response(
                [
                    {"role": "user", "content": "Hi"},
                    {"type": "reasoning", "summary": []},
                    called("call_1"),
                    called("call_2"),
                    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
                    {
                        "type": "function_call_output",
                        "call_id": "call_2",
                        "output": [{"type": "input_text", "text": "rain"}],
                    },
                ],
                tools=[FLAT_TOOL],
                parallel_tool_calls=True,
            ),
            {
                "messages": [
                    *HI,
                    {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
                    RESULT,
                    {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
                    HELLO,
                ],
                "tools": [TOOL],
                "parallel_tool_calls": True,
            },
            id="response after calls of functions",
        ),
        pytest.param(
            response(output=[said("Hello"), called()], tools=[FLAT_TOOL]),
            {"messages": [*HI, {**HELLO, "tool_calls": [CALL]}], "tools": [TOOL]},
            id="response with text and a call",
        ),
        pytest.param(
            response(
                [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "input_image",
                                "image_url": IMAGE["image_url"]["url"],
                                "detail": "low",
                            }
                        ],
                    }
                ]
            ),
            {"messages": [{"role": "user", "content": [IMAGE]}, HELLO]},
            id="response with an image",
        ),
        pytest.param(
            completion(),
            {
                "messages": [
                    {"role": "user", "content": "Once"},
                    {"role": "assistant", "content": " upon a time"},
                ]
            },
            id="legacy completion",
        ),
        pytest.param(
            chat(labels={"corrected": "Good day"}),
            {"messages": [*HI, {"role": "assistant", "content": "Good day"}]},
            id="corrected",
        ),
        pytest.param(
            chat(finish="length", labels={"corrected": "Good day"}),
            {"messages": [*HI, {"role": "assistant", "content": "Good day"}]},
            id="corrected where it was cut",
        ),
    ],
)
def test_lines(export, given, line):
    """A whole call is one line, with nothing in it but what OpenAI's format has."""
    lines, counts = export("openai-chat", [given])
    assert lines == [line]
    assert (counts.read, counts.total_written, counts.total_left_out) == (1, 1, 0)


CUT = "Long... [cut: 4 of 9000 characters]"
AUDIO = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}


@pytest.mark.parametrize(
    "given, reason",
    [
        pytest.param(row({}, {}, endpoint="span"), Reason.OTHER_ENDPOINT, id="span"),
        pytest.param(row({}, {}, endpoint="embeddings"), Reason.OTHER_ENDPOINT, id="embeddings"),
        pytest.param(row({}, {}, endpoint="messages"), Reason.OTHER_ENDPOINT, id="Anthropic"),
        pytest.param(row({}, {}, endpoint=None), Reason.UNREADABLE, id="unknown"),
        pytest.param(
            row({"messages": HI}, None, status=500, error="no"), Reason.FAILED, id="status"
        ),
        pytest.param(row({"messages": HI}, None, error="no"), Reason.FAILED, id="no answer came"),
        pytest.param(response(status="failed"), Reason.FAILED, id="failed response"),
        pytest.param(chat(finish=None), Reason.UNFINISHED, id="unfinished"),
        pytest.param(
            row(
                *[chat(finish=None)["report"][f"{name}Payload"] for name in ("req", "resp")],
                error="the stream was closed early",
            ),
            Reason.UNFINISHED,
            id="stream left early",
        ),
        pytest.param(response(status="in_progress"), Reason.UNFINISHED, id="in background"),
        pytest.param(response(status="incomplete"), Reason.UNFINISHED, id="incomplete"),
        pytest.param(chat(finish="length"), Reason.CUT, id="cut"),
        pytest.param(completion(finish="length"), Reason.CUT, id="cut completion"),
        pytest.param(
            response(status="incomplete", incomplete="max_output_tokens"),
            Reason.CUT,
            id="cut response",
        ),
        pytest.param(chat(finish="content_filter"), Reason.REFUSED, id="filtered"),
        pytest.param(chat(message={"refusal": "I cannot"}), Reason.REFUSED, id="refused"),
        pytest.param(
            response(status="incomplete", incomplete="content_filter"),
            Reason.REFUSED,
            id="filtered response",
        ),
        pytest.param(
            response(output=[said("I cannot", "refusal")]), Reason.REFUSED, id="refused response"
        ),
        pytest.param(chat(answer=""), Reason.NO_ANSWER, id="empty"),
        pytest.param(chat(answer=None), Reason.NO_ANSWER, id="null"),
        pytest.param(response(output=[]), Reason.NO_ANSWER, id="empty response"),
        pytest.param(completion(text=""), Reason.NO_ANSWER, id="empty completion"),
        pytest.param(chat([]), Reason.NO_PROMPT, id="no messages"),
        pytest.param(response(previous_response_id="r"), Reason.NO_PROMPT, id="earlier response"),
        pytest.param(response(conversation={"id": "c"}), Reason.NO_PROMPT, id="conversation"),
        pytest.param(
            response([{"type": "item_reference", "id": "x"}]), Reason.NO_PROMPT, id="reference"
        ),
        pytest.param(chat(answer=CUT), Reason.SHORTENED, id="shortened answer"),
        pytest.param(
            chat([{"role": "user", "content": CUT}]), Reason.SHORTENED, id="shortened prompt"
        ),
        pytest.param(chat([{"role": "user", "content": [AUDIO]}]), Reason.UNSUPPORTED, id="audio"),
        pytest.param(chat(message={"audio": {"id": "a"}}), Reason.UNSUPPORTED, id="audio answer"),
        pytest.param(
            chat(tools=[{"type": "custom", "custom": {"name": "x"}}]),
            Reason.UNSUPPORTED,
            id="custom tool",
        ),
        pytest.param(response(tools=[{"type": "web_search"}]), Reason.UNSUPPORTED, id="web search"),
        pytest.param(
            response([{"role": "user", "content": [{"type": ["text"]}]}]),
            Reason.UNSUPPORTED,
            id="type of a part that is no text",
        ),
        pytest.param(
            response(output=[{"type": "web_search_call"}, said("x")]),
            Reason.UNSUPPORTED,
            id="searched",
        ),
        pytest.param(completion(prompt=["a", "b"]), Reason.UNSUPPORTED, id="two prompts"),
        pytest.param(completion(prompt=[[1, 2]]), Reason.UNSUPPORTED, id="tokens"),
        pytest.param(row({"messages": "x"}, {"choices": []}), Reason.NO_ANSWER, id="no choice"),
        pytest.param(row(None, None), Reason.UNREADABLE, id="no payloads"),
        pytest.param({"id": 1}, Reason.UNREADABLE, id="no report"),
        pytest.param(chat(["Hi"]), Reason.UNREADABLE, id="message of text"),
        pytest.param(chat([{"role": "bot", "content": ""}]), Reason.UNREADABLE, id="role"),
        pytest.param(
            chat([*HI, {"role": "assistant", "tool_calls": [CALL]}]),
            "not valid: a call of a tool is answered before the next message",
            id="call without a result",
        ),
        pytest.param(
            chat([{"role": "user", "content": "\ud800"}]),
            "not valid: text is Unicode",
            id="surrogate",
        ),
        pytest.param(
            chat([{"role": "user", "content": [{**IMAGE, "image_url": "<image/png, 10 bytes>"}]}]),
            "not valid: an image is an HTTP URL, or a data URL of JPEG, PNG or WebP",
            id="elided image",
        ),
    ],
)
def test_left_out(export, given, reason):
    """A call that is no example is left out, and counted by the reason."""
    lines, counts = export("openai-chat", [given])
    assert lines == []
    assert counts.left_out == {getattr(reason, "value", reason): 1}


def test_response_format(export):
    """A response format is kept, that of the Responses API in the form of chats, or left out."""
    whole = {"type": "json_schema", "json_schema": SCHEMA}
    rows = [
        chat(response_format=whole),
        response(text={"format": {"type": "json_schema", **SCHEMA}}),
        chat(response_format={"type": "json_object"}),
        chat(response_format={"type": "text"}),
        response(text={"format": {"type": "text"}}),
    ]
    lines, _ = export("openai-chat", rows, response_format=False)
    assert not any("response_format" in line for line in lines)
    lines, _ = export("openai-chat", rows)
    assert [line.get("response_format") for line in lines] == [
        whole,
        whole,
        {"type": "json_object"},
        None,
        None,
    ]


def test_guessed_endpoint(export):
    """A report that no column names the endpoint of is told by its request."""
    rows = [chat(), response(), completion()]
    for one in rows:
        one["endpoint"] = None
        del one["report"]["tags"]
    lines, _ = export("openai-chat", rows)
    assert [line["messages"][0]["content"] for line in lines] == ["Hi", "Hi", "Once"]


def test_any_text(export):
    """A line is ASCII, whatever its text; reading it gives the same text."""
    text = "\u65e5\u672c \U0001f600 \0 \u2028\n\x1b[31m"
    lines, _ = export("openai-chat", [chat(answer=text)])
    assert json.loads(json.dumps(lines[0]))["messages"][1]["content"] == text
