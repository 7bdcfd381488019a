"""An answer that is cut in any legal way assembles into itself, in linear time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chunks import FRAME, assembled, call, text_chunk
from support.cpu_time import fastest
from support.shapes import chat_chunk

from openpipe_report._report.stream_formats import assemble

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


def fastest_assembly(body):
    return fastest(assemble, body, times=5)


@pytest.mark.parametrize("chunk", LONG.values(), ids=LONG)
def test_time_is_linear(chunk):
    """Four times the chunks take about four times as long: sixteen times would be quadratic."""
    assert fastest_assembly(repeated(chunk, 8_000)) < 9 * fastest_assembly(repeated(chunk, 2_000))


@pytest.mark.parametrize("place", ["envelope", "delta", "choice"])
def test_keys_that_differ_in_each_chunk(place):
    """Any number of keys is merged in linear time, wherever they are."""

    def body(count):
        chunks = [text_chunk("x") for _ in range(count)]
        for number, chunk in enumerate(chunks):
            [choice] = chunk["choices"]
            objects = {"envelope": chunk, "delta": choice["delta"], "choice": choice}
            objects[place][f"key_{number}"] = number
        return b"".join(repeated(chunk, 1)[:-14] for chunk in chunks)

    assert fastest_assembly(body(4_000)) < 9 * fastest_assembly(body(1_000))
    whole = assemble(body(300)).value
    objects = {
        "envelope": whole,
        "delta": whole["choices"][0]["message"],
        "choice": whole["choices"][0],
    }
    assert all(objects[place][f"key_{number}"] == number for number in range(300))


def test_arguments_that_may_be_whole_after_each_piece():
    """Whether they are is found out in linear time, where ids of their own raise the question."""

    def body(count):
        first, last = call(0, "a", "f", '{"k":{}'), call(0, None, None, "}")
        more = [call(0, "a", None, ',"k":{}'), call(0, "b", None, "")] * count
        chunks = [{"index": 0, "delta": {"tool_calls": [made]}} for made in [first, *more, last]]
        return b"".join(repeated(chat_chunk(chunk), 1)[:-14] for chunk in chunks)

    assert fastest_assembly(body(4_000)) < 9 * fastest_assembly(body(1_000))
    [choice] = assemble(body(9)).value["choices"]
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"k": {}}
