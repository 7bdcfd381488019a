"""Runs of chunks that differ in one text are joined before they are parsed, and nothing changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openpipe_report._report.stream_formats import assemble
from openpipe_report._report.text_runs import join_runs


def chunk(delta, **more):
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [{**choice, **more}]}


def legacy(text):
    return {"id": "c1", "object": "text_completion", "choices": [{"index": 0, "text": text}]}


def written(chunks, compact=True):
    separators = (",", ":") if compact else (", ", ": ")
    return [json.dumps(one, separators=separators, ensure_ascii=False) for one in chunks]


def stream(texts):
    return "".join(f"data: {text}\n\n" for text in [*texts, "[DONE]"]).encode()


def apart(texts):
    """The same events, no two of which begin with the same characters."""
    return ["{" + " " * number + text[1:] for number, text in enumerate(texts)]


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda text: chunk({"content": text}),
        lambda text: chunk({"role": "assistant", "content": text}),
        lambda text: chunk({"reasoning_content": text}),
        lambda text: chunk({"content": text, "refusal": None}),
        legacy,
    ],
    ids=["content", "role", "reasoning", "nulls", "legacy"],
)
def test_joined(make, compact):
    """A run becomes one event, whose text is all of theirs."""
    texts = written([make(word) for word in ("a ", "", "é ", "z")], compact)
    [one] = join_runs(texts)
    assert json.loads(one) == make("a é z")


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk({"content": 'a"'}), chunk({"content": 'b"'})],
        [chunk({"content": "a\\"}), chunk({"content": "b\\"})],
        [chunk({"content": "a", "reasoning": "x"}), chunk({"content": "b", "reasoning": "x"})],
        [chunk({"arguments": "a"}), chunk({"arguments": "b"})],
        [chunk({"content": word}, logprobs={"content": [{"token": "t"}]}) for word in "ab"],
        [chunk({"content": word}, token_ids=[1]) for word in "ab"],
        [{"type": "x", **chunk({"content": word})} for word in "ab"],
        [chunk({}, message={"content": word}) for word in "ab"],
        [chunk({"content": "a"}), {**chunk({"content": "b"}), "id": "c2"}],
        [{"id": "c1", "choices": [], "last": {"delta": {"content": word}}} for word in "ab"],
        [{"id": "c1", "last": {"choices": [{"text": word}]}} for word in "ab"],
    ],
    ids=[
        "quotes", "escapes", "two texts", "arguments", "logprobs", "lists", "typed", "snapshots",
        "other ids", "delta elsewhere", "choices elsewhere",
    ],
)  # fmt: skip
def test_left_alone(chunks):
    """What could add up otherwise is left to the rules for parsed chunks."""
    assert join_runs(written(chunks)) == written(chunks)


def test_broken_events_are_counted():
    """Events that are no JSON stay apart, so that each is counted."""
    texts = [text[:-1] for text in written([chunk({"content": word}) for word in "abc"])]
    assert join_runs(texts) == texts
    texts = written([chunk({"content": word}) for word in ("a", "b\n", "c")])
    texts[1] = texts[1].replace("\\n", "\n")
    assert join_runs(texts)[1] == texts[1]


@pytest.mark.parametrize(
    "delta",
    [
        {"function_call": {"arguments": " "}},
        {"audio": {"data": "AAAA"}},
        {"audio": {"id": "audio_1", "transcript": "ha "}},
        {"vendor": "ha "},
    ],
    ids=["arguments", "silence", "transcript", "unknown"],
)
def test_equal_pieces(delta):
    """Pieces that are equal throughout a batch are pieces all the same."""
    texts = written([*[chunk(delta)] * 8, chunk({**delta, "vendor": "end"})])
    together = assemble(stream(texts), batch_size=4)
    assert together is not None
    assert together == assemble(stream(texts), batch_size=100)


TEXTS = st.text(st.sampled_from('abé"\\\n{}[]:, '), max_size=4)
EXTRA = st.sampled_from(
    [
        {},
        {"refusal": None},
        {"role": "assistant"},
        {"reasoning": "r"},
        {"n": 1},
        {"vendor": "v"},
        {"function_call": {"arguments": "a"}},
        {"audio": {"id": "i", "data": "AA"}},
    ]
)
CHOICE = st.sampled_from(
    [
        {},
        {"finish_reason": "stop"},
        {"index": 1},
        {"logprobs": {"content": [1]}},
        {"seen": {"a": 1}},
    ]
)
CHUNKS = st.builds(
    lambda key, text, extra, more: chunk({key: text, **extra}, **more),
    st.sampled_from(["content", "reasoning_content", "arguments", "refusal"]),
    TEXTS,
    EXTRA,
    CHOICE,
) | st.builds(legacy, TEXTS)


@given(st.lists(CHUNKS, max_size=12), st.booleans(), st.integers(1, 13))
def test_nothing_changes(chunks, compact, batch_size):
    """A stream is assembled to the same answer as if no two of its events were alike."""
    texts = written(chunks, compact)
    together = assemble(stream(texts), batch_size=batch_size)
    assert together == assemble(stream(apart(texts)), batch_size=100)
