"""Exports whole: duplicates, splits, bounded memory, and payloads that nobody would send."""

from __future__ import annotations

import io
import json
import math
import tracemalloc

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.export_rows import CALL, HI, TOOL, called, chat, completion, response, row, said

from openpipe_report._export import FORMATS, Export, Reason
from openpipe_report._export.chat_validator import find_chat_fault, find_preference_fault


def prompts(count):
    for number in range(count):
        yield chat([{"role": "user", "content": f"Question {number}"}], f"Answer {number}")


def split_in_two(rows, name="openai-chat", share=0.8):
    files = {"train": io.BytesIO(), "test": io.BytesIO()}
    export = Export(name, split=share)
    export.write(rows, files)
    return [
        [json.loads(line) for line in one.getvalue().splitlines()] for one in files.values()
    ], export.counts


@pytest.mark.parametrize("name", ["openai-chat", "openpipe", "jsonl"])
def test_dedup(export, name):
    """Only the first of several calls with the same input is written, also of other endpoints."""
    other_tools = chat(tools=[TOOL])
    rows = [chat(answer="first"), chat(answer="second"), response(), other_tools]
    lines, counts = export(name, rows, dedup=True)
    assert len(lines) == 2
    assert "first" in json.dumps(lines[0])
    assert counts.left_out == {Reason.DUPLICATE.value: 2}


def test_a_call_that_is_left_out_hides_no_other(export):
    """A call that failed does not count as the first of its input."""
    rows = [chat(finish="length"), chat(answer="whole")]
    lines, _ = export("openai-chat", rows, dedup=True)
    assert [line["messages"][-1]["content"] for line in lines] == ["whole"]


def test_split():
    """About so many are for training, the same ones in each run and whatever else is exported."""
    (train, test), counts = split_in_two(prompts(2_000))
    assert counts.written == {"train": len(train), "test": len(test)}
    assert len(train) + len(test) == 2_000
    assert 0.75 < len(train) / 2_000 < 0.85
    (again, _), _ = split_in_two(reversed(list(prompts(500))))
    assert all(line in train for line in again)


def test_a_prompt_is_in_one_part():
    """The same prompt is in one part, whatever the answer, tools or endpoint, in each format."""
    for number in range(30):
        messages = [{"role": "user", "content": f"{number}"}]
        rows = [
            chat(messages),
            chat(messages, "Other", tools=[TOOL], temperature=0),
            response(f"{number}"),
            completion(f"{number}"),
        ]
        parts = {
            tuple(len(part) for part in split_in_two(rows, name, 0.5)[0])
            for name in ("openai-chat", "openpipe", "jsonl")
        }
        assert parts in ({(4, 0)}, {(0, 4)})


@pytest.mark.parametrize("content", ["audio", "other"])
def test_a_prompt_without_a_chat_is_in_one_part(content):
    """So is one that chats cannot hold."""
    parts = set()
    for temperature in range(20):
        given = row({"messages": [content], "temperature": temperature, "model": "m"}, None)
        parts.add(tuple(map(len, split_in_two([given], "jsonl", 0.5)[0])))
    assert len(parts) == 1


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0, 1, -1, 1.5, math.nan])
def test_wrong_split(name, share):
    """A share that leaves a part empty is an error."""
    with pytest.raises(ValueError, match=r"between 0 and 1"):
        Export(name, split=share)


def test_wrong_format():
    """An unknown format is an error that names the others."""
    with pytest.raises(ValueError, match="openai-chat, openpipe, dpo"):
        Export("xml")


def test_stream_of_a_split():
    """A split has two files, which one stream cannot be."""
    with pytest.raises(ValueError, match="two files"):
        list(Export("jsonl", split=0.5).stream([]))


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows(name):
    """An export of nothing is a valid file of the format."""
    content = b"".join(Export(name).stream([]))
    assert content.startswith({"csv": b"id,", "parquet": b"PAR1"}.get(name, b""))
    assert bool(content) == (name in ("csv", "parquet"))


class Nowhere:
    """A sink that keeps no byte."""

    size = 0

    def write(self, content):
        self.size += len(content)


@pytest.mark.parametrize("name", sorted({*FORMATS} - {"parquet"}))
def test_bounded_memory(name):
    """Memory does not grow with the number of rows."""

    def rows(count):
        for number in range(count):
            labels = {"feedback": "up" if number % 2 else "down"}
            yield chat(answer=f"{number}" * 200, labels=labels)

    def peak(count):
        sink = Nowhere()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        Export(name).write(rows(count), {"": sink})
        assert sink.size > count
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        peak(300)
        assert peak(3_000) < peak(300) + 2**18
    finally:
        tracemalloc.stop()


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(
    [
        *("messages", "input", "prompt", "instructions", "role", "content", "type", "text"),
        *("tools", "functions", "function", "name", "arguments", "tool_calls", "tool_call_id"),
        *("choices", "message", "finish_reason", "output", "status", "response_format", "id"),
        *("image_url", "url", "refusal", "parallel_tool_calls", "call_id", "weight"),
    ]
)
words = st.sampled_from(
    [
        *("user", "assistant", "system", "developer", "tool", "function", "text", "stop"),
        *("length", "completed", "incomplete", "message", "function_call", "reasoning"),
        *("function_call_output", "image_url", "input_image", "output_text", "{}", "call_1"),
    ]
)
likely = st.recursive(
    words | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)
whole = [
    chat(tools=[TOOL], message={"tool_calls": [CALL]}),
    response(output=[said("a"), called()], instructions="b"),
    completion(),
]


@st.composite
def spoilt(draw):
    """A whole call, a few values of which are replaced."""
    one = json.loads(json.dumps(draw(st.sampled_from(whole))))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(places(one["report"]))))
        place[0][place[1]] = draw(likely)
    return one


def places(value):
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


hostile = (
    st.builds(
        row,
        likely | anything,
        likely | anything,
        endpoint=st.sampled_from(["chat/completions", "responses", "completions", None]),
        labels=st.sampled_from([{}, {"feedback": "up"}, {"corrected": "\ud800"}, {"feedback": 1}]),
    )
    | spoilt()
    | st.dictionaries(st.sampled_from(["id", "at", "metadata", "report", "endpoint"]), likely)
)


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(hostile, max_size=4), dedup=st.booleans())
@example(rows=[row({"messages": HI, "x": 10**5000}, None)], dedup=True)
def test_hostile_payloads(rows, dedup):
    """No payload raises, every row is counted, and every line passes the validator."""
    for name in FORMATS:
        export = Export(name, dedup=dedup, response_format=True)
        content = b"".join(export.stream(rows))
        counts = export.counts
        assert counts.read == len(rows)
        if name != "dpo":
            assert counts.total_written + counts.total_left_out == len(rows)
        if name in ("openai-chat", "dpo"):
            for text in content.decode("ascii").splitlines():
                line = json.loads(text)
                fault = (
                    find_chat_fault(line, response_format=True)
                    if name == "openai-chat"
                    else find_preference_fault(line)
                )
                assert fault is None
