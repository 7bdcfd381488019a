"""The format dpo: pairs from feedback and from corrected answers."""

from __future__ import annotations

import pytest
from support.export_rows import CALL, HI, TOOL, chat, response

from openpipe_report._export import Reason
from openpipe_report._export.counts import Counts
from openpipe_report._export.preferences import Preferences

UP, DOWN = {"feedback": "up"}, {"feedback": "down"}


def said(text):
    return [{"role": "assistant", "content": text}]


def pair(preferred, rejected, messages=HI, **options):
    return {
        "input": {"messages": messages, **options},
        "preferred_output": said(preferred),
        "non_preferred_output": said(rejected),
    }


@pytest.mark.parametrize(
    "rows, lines, left_out",
    [
        pytest.param(
            [chat(answer="good", labels=UP), chat(answer="bad", labels=DOWN)],
            [pair("good", "bad")],
            {},
            id="up, then down",
        ),
        pytest.param(
            [chat(answer="bad", labels=DOWN), response(labels=UP)],
            [pair("Hello", "bad")],
            {},
            id="down, then up, of two endpoints",
        ),
        pytest.param(
            [chat(labels={"corrected": "Good day", "feedback": "down"})],
            [pair("Good day", "Hello")],
            {},
            id="corrected",
        ),
        pytest.param(
            [chat(answer=f"{n}", labels=UP if n % 2 else DOWN) for n in range(5)],
            [pair("1", "0"), pair("3", "2")],
            {Reason.UNPAIRED: 1},
            id="each answer once",
        ),
        pytest.param(
            [
                chat(labels=UP),
                chat(labels=DOWN),
                chat(answer="bad", labels=DOWN),
            ],
            [pair("Hello", "bad")],
            {Reason.UNPAIRED: 1},
            id="the same answer, judged both ways",
        ),
        pytest.param(
            [chat(labels=UP), chat([{"role": "user", "content": "Ho"}], "bad", labels=DOWN)],
            [],
            {Reason.UNPAIRED: 2},
            id="other prompt",
        ),
        pytest.param(
            [chat(labels=UP), chat(answer="bad", labels=DOWN, tools=[TOOL])],
            [],
            {Reason.UNPAIRED: 2},
            id="other tools",
        ),
        pytest.param(
            [
                chat(labels=UP, tools=[TOOL], parallel_tool_calls=True),
                chat(answer="bad", labels=DOWN, tools=[TOOL], parallel_tool_calls=True),
            ],
            [pair("Hello", "bad", tools=[TOOL], parallel_tool_calls=True)],
            {},
            id="tools",
        ),
        pytest.param([chat()], [], {Reason.NOT_JUDGED: 1}, id="not judged"),
        pytest.param(
            [chat(labels={"feedback": 1})], [], {Reason.NOT_JUDGED: 1}, id="judged otherwise"
        ),
        pytest.param(
            [chat(labels={"corrected": "Hello"})], [], {Reason.SAME_ANSWER: 1}, id="not corrected"
        ),
        pytest.param(
            [chat(finish="length", labels=DOWN), chat(message={"refusal": "no"}, labels=DOWN)],
            [],
            {Reason.CUT: 1, Reason.REFUSED: 1},
            id="no whole answers",
        ),
        pytest.param(
            [
                chat(answer="\ud800", labels=UP),
                chat(answer="bad", labels=DOWN),
            ],
            [],
            {"not valid: text is Unicode": 2},
            id="not valid",
        ),
    ],
)
def test_pairs(export, rows, lines, left_out):
    """Answers to one input that were judged otherwise, and corrected ones, are pairs."""
    found, counts = export("dpo", rows)
    assert found == lines
    assert counts.left_out == {getattr(key, "value", key): n for key, n in left_out.items()}


def test_call_of_a_tool(export):
    """The call of a tool can be preferred."""
    calls = {"tool_calls": [CALL]}
    rows = [
        chat(answer=None, finish="tool_calls", message=calls, labels=UP, tools=[TOOL]),
        chat(labels=DOWN, tools=[TOOL]),
    ]
    [line], _ = export("dpo", rows)
    assert line["preferred_output"] == [{"role": "assistant", **calls}]


def test_dedup(export):
    """Only the first pair of an input is written; both answers of the second are left out."""
    rows = [chat(answer=f"{n}", labels=UP if n % 2 else DOWN) for n in range(4)]
    lines, counts = export("dpo", rows, dedup=True)
    assert lines == [pair("1", "0")]
    assert counts.left_out == {Reason.DUPLICATE.value: 2}


def test_bounded_memory():
    """Where too many answers wait for a counterpart, the oldest give way and are counted."""
    counts = Counts()
    pairs = Preferences(counts, max_waiting_bytes=1_000)
    for number in range(100):
        prompt = [{"role": "user", "content": f"{number}"}]
        assert pairs.convert(chat(prompt, "x" * 100, labels=UP)) == []
    assert pairs.convert(chat([{"role": "user", "content": "0"}], "bad", labels=DOWN)) == []
    assert len(pairs.convert(chat([{"role": "user", "content": "99"}], "bad", labels=DOWN))) == 1
    pairs.finish()
    assert counts.left_out[Reason.NO_ROOM.value] > 90
    assert sum(counts.left_out.values()) == 100
