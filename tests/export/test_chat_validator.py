"""What OpenAI's fine-tuning formats take, and what they refuse."""

from __future__ import annotations

import pytest
from support.export_rows import CALL, HI, RESULT, TOOL

from openpipe_report._export.chat_validator import find_chat_fault, find_preference_fault

HELLO = {"role": "assistant", "content": "Hello"}
CALLED = {"role": "assistant", "tool_calls": [CALL]}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def line(*messages, **members):
    return {"messages": [*messages], **members}


def shown(*images):
    return line({"role": "user", "content": [*images]}, HELLO)


def offered(**function):
    return line(*HI, HELLO, tools=[{"type": "function", "function": {"name": "f", **function}}])


def calling(*calls):
    return line(*HI, {"role": "assistant", "tool_calls": [*calls]})


def function_of(name="weather", arguments="{}"):
    return {"name": name, "arguments": arguments}


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(line(*HI, HELLO), id="chat"),
        pytest.param(line({"role": "system", "content": "s"}, *HI, HELLO), id="system"),
        pytest.param(line(*HI, {**HELLO, "weight": 0}, *HI, {**HELLO, "weight": 1}), id="weights"),
        pytest.param(line({"role": "user", "content": "", "name": "Ada_1"}, HELLO), id="name"),
        pytest.param(shown(IMAGE, {"type": "text", "text": ""}), id="data URL"),
        pytest.param(shown(*[IMAGE] * 10), id="ten images"),
        pytest.param(line(*HI, CALLED, tools=[TOOL], parallel_tool_calls=True), id="tools"),
        pytest.param(line(*HI, CALLED, RESULT, HELLO), id="result"),
        pytest.param(line(*HI, {**HELLO, "function_call": function_of()}), id="function_call"),
        pytest.param(
            line(
                {"role": "function", "name": "f", "content": "x"}, HELLO, functions=[{"name": "f"}]
            ),
            id="functions",
        ),
        pytest.param(
            line(*HI, {"role": "assistant", "refusal": "no"}, *HI, HELLO), id="refusal before"
        ),
        pytest.param(
            line(*HI, {"role": "assistant", "content": [{"type": "text", "text": "x"}]}), id="parts"
        ),
        pytest.param(offered(parameters={}, strict=True, description=""), id="function"),
    ],
)
def test_takes(example):
    """A line in OpenAI's chat format has no fault."""
    assert find_chat_fault(example) is None


@pytest.mark.parametrize(
    "example, rule",
    [
        pytest.param([], "a line is an object", id="array"),
        pytest.param({}, "messages is an array that is not empty", id="no messages"),
        pytest.param(line(), "messages is an array that is not empty", id="no message"),
        pytest.param(line("Hi"), "a message is an object", id="text"),
        pytest.param(line(*HI), "the last message is of the assistant", id="no answer"),
        pytest.param(line(*HI, HELLO, *HI), "the last message is of the assistant", id="question"),
        pytest.param(
            line(*HI, HELLO, model="gpt"), "no members but those of the schema", id="model"
        ),
        pytest.param(
            line(*HI, HELLO, response_format={"type": "text"}),
            "no members but those of the schema",
            id="response_format",
        ),
        pytest.param(
            line(*HI, {**HELLO, "audio": None}), "no members but those of the schema", id="audio"
        ),
        pytest.param(
            line({"role": "developer", "content": ""}, HELLO),
            "a role is one of the schema",
            id="developer",
        ),
        pytest.param(line({"role": [], "content": ""}), "a role is one of the schema", id="role"),
        pytest.param(
            line(*HI, {**HELLO, "weight": 0}), "the last message has no weight of 0", id="weight 0"
        ),
        pytest.param(line(*HI, {**HELLO, "weight": 0.5}), "a weight is 0 or 1", id="weight"),
        pytest.param(line(*HI, {**HELLO, "weight": True}), "a weight is 0 or 1", id="true weight"),
        pytest.param(
            line({"role": "user", "content": None}, HELLO),
            "content is a string or an array of parts",
            id="null",
        ),
        pytest.param(shown(), "content is a string or an array of parts", id="no part"),
        pytest.param(shown("x"), "a part of content is an object", id="part of text"),
        pytest.param(
            line(*HI, {"role": "assistant"}),
            "a message of the assistant has content or a call",
            id="nothing",
        ),
        pytest.param(
            shown({"type": "input_audio"}),
            "a part of content is text, or of a user an image",
            id="input_audio",
        ),
        pytest.param(
            line(*HI, {"role": "assistant", "content": [IMAGE]}),
            "a part of content is text, or of a user an image",
            id="image of the assistant",
        ),
        pytest.param(shown(*[IMAGE] * 11), "at most 10 images", id="11 images"),
        *(
            pytest.param(
                shown({"type": "image_url", "image_url": {"url": url}}),
                "an image is an HTTP URL, or a data URL of JPEG, PNG or WebP",
                id=f"image {url}",
            )
            for url in ("file:///etc/passwd", "data:image/gif;base64,AAAA", "", "https:// x", None)
        ),
        pytest.param(
            shown({"type": "image_url", "image_url": {"url": "http://a", "detail": "max"}}),
            "a detail is auto, low or high",
            id="detail",
        ),
        pytest.param(
            line({"role": "user", "content": "", "name": "a b"}, HELLO),
            "a name has 1 to 64 characters",
            id="name",
        ),
        pytest.param(line(*HI, RESULT, HELLO), "a result follows its call", id="result alone"),
        pytest.param(
            line(*HI, CALLED, RESULT, RESULT, HELLO), "a result follows its call", id="two results"
        ),
        pytest.param(
            line(*HI, CALLED, HELLO),
            "a call of a tool is answered before the next message",
            id="no result",
        ),
        pytest.param(calling(), "tool_calls is an array that is not empty", id="no call"),
        pytest.param(calling({**CALL, "id": ""}), "a call of a tool has an id", id="no id"),
        pytest.param(calling(CALL, CALL), "calls of a message have different ids", id="same id"),
        pytest.param(
            calling({**CALL, "type": "custom"}),
            "a call of a tool is one of a function",
            id="custom",
        ),
        pytest.param(
            calling({**CALL, "function": function_of("a b")}),
            "the name of a function has 1 to 64 letters, digits, _ and -",
            id="name of a function",
        ),
        *(
            pytest.param(
                calling({**CALL, "function": function_of(arguments=arguments)}),
                "arguments are the text of a JSON object",
                id=f"arguments {str(arguments)[:9]}",
            )
            for arguments in ("", "[]", '{"city": "Ro', {"city": "Rome"}, "[" * 100_000)
        ),
        pytest.param(
            line(*HI, HELLO, tools=[]), "tools and functions are arrays of 1 to 128", id="no tools"
        ),
        pytest.param(
            line(*HI, HELLO, tools=[TOOL] * 129),
            "tools and functions are arrays of 1 to 128",
            id="129 tools",
        ),
        pytest.param(
            line(*HI, HELLO, tools=[{"type": "web_search"}]),
            "a tool is a function",
            id="web search",
        ),
        pytest.param(offered(strict="yes"), "strict is a boolean", id="strict"),
        pytest.param(offered(parameters=[]), "parameters are an object", id="parameters"),
        pytest.param(
            line(*HI, HELLO, parallel_tool_calls=True),
            "parallel_tool_calls only with tools",
            id="parallel",
        ),
        pytest.param(line(*HI, {**HELLO, "content": "\udc00"}), "text is Unicode", id="surrogate"),
    ],
)
def test_refuses(example, rule):
    """A line that breaks a rule is refused with that rule."""
    assert find_chat_fault(example) == rule


def test_response_format():
    """A response format is taken where it is asked for, if it has a type of the API."""
    example = line(*HI, HELLO, response_format={"type": "json_object"})
    assert find_chat_fault(example, response_format=True) is None
    example["response_format"] = {"type": "xml"}
    assert find_chat_fault(example, response_format=True) == (
        "a response_format has a type of the API"
    )


def pair(**members):
    other = {"role": "assistant", "content": "Bye"}
    return {
        "input": {"messages": HI},
        "preferred_output": [HELLO],
        "non_preferred_output": [other],
        **members,
    }


@pytest.mark.parametrize(
    "example, rule",
    [
        pytest.param(pair(), None, id="pair"),
        pytest.param(
            pair(input={"messages": HI, "tools": [TOOL], "parallel_tool_calls": True}),
            None,
            id="tools",
        ),
        pytest.param(pair(preferred_output=[CALLED]), None, id="call"),
        pytest.param(None, "a line is an object", id="null"),
        pytest.param(pair(input=None), "input is an object", id="no input"),
        pytest.param(pair(extra=1), "no members but those of the schema", id="member"),
        pytest.param(
            pair(input={"messages": HI, "functions": [{"name": "f"}]}),
            "no members but those of the schema",
            id="functions",
        ),
        pytest.param(
            pair(preferred_output=[HELLO, HELLO]), "preferred_output has one message", id="two"
        ),
        pytest.param(
            pair(non_preferred_output=[]), "non_preferred_output has one message", id="none"
        ),
        pytest.param(
            pair(non_preferred_output=HI), "the last message is of the assistant", id="user"
        ),
        pytest.param(
            pair(input={"messages": [{"role": "user", "content": [IMAGE]}]}),
            "at most 0 images",
            id="image",
        ),
        pytest.param(
            pair(preferred_output=[{**HELLO, "content": "\ud800"}]), "text is Unicode", id="text"
        ),
    ],
)
def test_preferences(example, rule):
    """A line of the preference format has text, an input and one message on each side."""
    assert find_preference_fault(example) == rule
