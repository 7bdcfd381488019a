"""Payloads of every endpoint to turns with parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.page_reports import KINDS, asked, chat, report

from openpipe_report.server.page.conversation.parts import (
    Json,
    Media,
    Reasoning,
    Refusal,
    Scores,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Vector,
)
from openpipe_report.server.page.conversation.turns import read_conversation
from openpipe_report.server.page.conversation.words import first_words, parse_beginning
from openpipe_report.server.store.columns import derive_columns


def endpoint_of(made):
    return derive_columns(made, 0)["endpoint"]


def talk_of(made):
    return read_conversation(made, endpoint_of(made))


@pytest.mark.parametrize(
    "kind, request_turns, answer_turns",
    [
        (
            "legacy",
            [Turn("prompt", [Text("Once upon")])],
            [Turn("assistant", [Text(" a time")], note="length")],
        ),
        (
            "responses",
            [
                Turn("system", [Text("Be brief.")]),
                Turn("user", [Text("Cheapest flight?")]),
                Turn(
                    "assistant",
                    [
                        ToolCall(
                            "find_flights",
                            {"to": "FCO"},
                            "fc_1",
                            result=[Text("89 euros")],
                        )
                    ],
                ),
            ],
            [Turn("assistant", [Reasoning("Compared."), Text("It costs 89 euros.")])],
        ),
        (
            "anthropic",
            [
                Turn("system", [Text("You write haiku.")]),
                Turn("user", [Text("Autumn")]),
                Turn(
                    "assistant",
                    [
                        Reasoning("Count first."),
                        ToolCall(
                            "count",
                            {"of": "a"},
                            "tu_1",
                            "tool_use",
                            result=[Text("5 syllables")],
                        ),
                    ],
                ),
            ],
            [Turn("assistant", [Text("Leaves fall one by one")], note="end_turn")],
        ),
        (
            "embeddings",
            [Turn("input", [Text("first text"), Text("second text")])],
            [Turn("answer", [Vector(1_536, [0.25] * 8)])],
        ),
        (
            "moderations",
            [Turn("user", [Text("I will find you.")])],
            [
                Turn(
                    "answer",
                    [Scores(True, [("harassment", True, 0.75), ("violence", False, 0.25)])],
                )
            ],
        ),
        (
            "span",
            [Turn("input", [Json({"k": 3})])],
            [Turn("output", [Json({"documents": ["first document"]})])],
        ),
        (
            "unknown",
            [Turn("request", [Json(["anything"])])],
            [Turn("answer", [Json({"what": {"is": "this"}})])],
        ),
        ("nothing", [], []),
    ],
)
def test_kinds(kind, request_turns, answer_turns):
    """Each endpoint's payloads become turns, with each tool's result in its call."""
    talk = talk_of(KINDS[kind])
    if kind == "moderations":
        request_turns = [Turn("input", request_turns[0].parts)]
    assert talk.asked == request_turns
    assert talk.answered == answer_turns


def test_tools():
    """Arguments and results of tools are parsed JSON; reasoning comes before the answer."""
    talk = talk_of(KINDS["tools"])
    [question, called] = talk.asked
    assert question == Turn("user", [Text("The weather in Oslo?")])
    [call] = called.parts
    assert (call.name, call.arguments) == ("get_weather", {"city": "Oslo", "unit": "celsius"})
    assert call.result == [Json({"celsius": -3})]
    assert talk.answered[0].parts == [Reasoning("Below zero is cold."), Text("It is cold.")]
    assert talk.tools[0]["function"]["name"] == "get_weather"
    assert talk.response_format["type"] == "json_schema"


def test_media():
    """Images and sounds of the payload are shown; those of other sites are links."""
    talk = talk_of(KINDS["media"])
    [text, image, link, sound] = talk.asked[0].parts
    assert text == Text("What is this?")
    assert image.data_url.startswith("data:image/png;base64,")
    assert link == Media("image", reference="https://elsewhere.example/c.png")
    assert sound.data_url.startswith("data:audio/wav;base64,")
    assert talk.answered[0].parts == [Refusal("I will not say.")]


@pytest.mark.parametrize(
    "url",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PHN2Zz4=",
        "data:image/png,<script>",
        "data:image/png;base64,AA\"onerror='x'",
        "javascript:alert(1)",
        "DATA:image/png;base64,AAAA",
    ],
)
def test_no_other_data(url):
    """No URL but base64 of a bitmap becomes an image."""
    content = [{"type": "image_url", "image_url": {"url": url}}]
    [image] = talk_of(report(asked({"role": "user", "content": content}), None)).asked[0].parts
    assert image.data_url is None


@pytest.mark.parametrize(
    "message, parts",
    [
        ({"role": "tool", "tool_call_id": "x", "content": "1"}, [ToolResult("x", [Text("1")])]),
        ({"role": "function", "name": "f", "content": "1"}, [ToolResult("f", [Text("1")])]),
        ({"role": "user", "content": 7}, [Json(7)]),
        ({"role": "user", "content": [{"type": "new"}]}, [Json({"type": "new"})]),
        ({"role": "user", "content": [{"type": ["x"]}]}, [Json({"type": ["x"]})]),
        ({"content": "no role"}, [Json({"content": "no role"})]),
        (5, [Json(5)]),
        (
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{broken"}},
            [ToolCall("f", "{broken", "f")],
        ),
    ],
)
def test_messages(message, parts):
    """A message of no known shape is shown as JSON, and a result without its call by itself."""
    assert talk_of(report({"messages": [message]}, None)).asked[0].parts == parts


def test_choices_without_index():
    """A choice that says no number has its place in the answer as one."""
    choices = [None, {"text": "b", "index": [1]}, {"text": "c", "index": 7}]
    turns = talk_of(report(asked("?"), {"choices": choices})).answered
    assert [turn.name for turn in turns] == ["choice 0", "choice 1", "choice 7"]


def test_choices():
    """Each of several choices is a turn with its number."""
    answer = chat()
    answer["choices"] = [{**answer["choices"][0], "index": number} for number in range(2)]
    assert [turn.name for turn in talk_of(report(None, answer)).answered] == [
        "choice 0",
        "choice 1",
    ]


@pytest.mark.parametrize(
    "kind, prompt, answer",
    [
        ("chat", "How?", "Some **bold** words. ```python answer = 42 # code ```"),
        ("tools", "The weather in Oslo?", "It is cold."),
        ("media", "What is this? [image] [image] [audio]", "I will not say."),
        ("error", "Again?", ""),
        ("responses", "Cheapest flight?", "It costs 89 euros."),
        ("legacy", "Once upon", "a time"),
        ("embeddings", "first text second text", "[vector]"),
        ("span", '{"k": 3}', '{"documents": ["first document"]}'),
        ("nothing", "", ""),
    ],
)
def test_first_words(kind, prompt, answer):
    """The first words are those of the newest question and of the answer, on one line."""
    words = first_words(KINDS[kind], endpoint_of(KINDS[kind]))
    assert words.prompt == prompt
    assert words.answer.startswith(answer)
    assert "\n" not in words.answer


def test_beginning():
    """The first words of a question are found in the beginning of a large report."""
    text = '{"reqPayload": {"messages": [{"role": "user", "content": "What is ' + "long " * 999
    assert first_words(parse_beginning(text), None).prompt.startswith("What is long long")
    assert parse_beginning("[1, 2") == {}
    assert parse_beginning("nonsense") == {}


NAMES = (
    *("role", "content", "type", "messages", "input", "text", "choices", "message", "name"),
    *("tool_calls", "function", "arguments", "output", "data", "results", "audio", "file", "id"),
    *("image_url", "source", "summary", "call_id", "embedding", "flagged", "prompt"),
)
VALUES = ("user", "tool", "text", "image", "reasoning", "function_call", "image_generation_call")
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES), inner | st.sampled_from(VALUES), max_size=5)
    ),
    max_leaves=25,
)


@given(json_values, json_values, st.sampled_from([None, "span", "embeddings", "moderations"]))
def test_any_payload(request_payload, answer, endpoint):
    """No payload raises."""
    made = {"reqPayload": request_payload, "respPayload": answer}
    read_conversation(made, endpoint)
    first_words(made, endpoint)
