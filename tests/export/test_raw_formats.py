"""The formats openpipe and jsonl, which leave payloads as they were recorded."""

from __future__ import annotations

import pytest
from support.export_rows import HI, chat, row

from openpipe_report._export import Reason


def test_openpipe(export):
    """A call is its request, its answer, and its tags with the labels."""
    given = chat(labels={"user": "ada", "feedback": "up"}, metadata={"user": "bob"})
    given["report"]["tags"] |= {"$sdk": "python", "user": "bob", "removed": "later"}
    [line], _ = export("openpipe", [given])
    assert line == {
        "input": {"model": "gpt", "messages": HI, "metadata": {"user": "bob"}},
        "output": given["report"]["respPayload"],
        "tags": {
            "$endpoint": "chat/completions",
            "$sdk": "python",
            "user": "ada",
            "feedback": "up",
        },
    }


@pytest.mark.parametrize(
    "given, output",
    [
        pytest.param(
            row({"messages": HI}, {"error": {"message": "no"}}, status=500, error="no"),
            {"error": {"message": "no"}},
            id="answer of an error",
        ),
        pytest.param(
            row({"messages": HI}, None, error="no"), {"error": {"message": "no"}}, id="no answer"
        ),
        pytest.param(row({"messages": HI}, None), None, id="nothing"),
        pytest.param(row({"input": "x"}, {}, endpoint="embeddings"), {}, id="embeddings"),
    ],
)
def test_openpipe_has_failed_calls(export, given, output):
    """As in the hosted service's exports, what went wrong is in the output."""
    [line], _ = export("openpipe", [given])
    assert line["output"] == output


@pytest.mark.parametrize(
    "given, reason",
    [
        pytest.param(
            row({"name": "work"}, None, endpoint="span"), Reason.OTHER_ENDPOINT, id="span"
        ),
        pytest.param(row("text", {}), Reason.UNREADABLE, id="no object"),
    ],
)
def test_openpipe_leaves_out(export, given, reason):
    """What is no call has no input that the hosted service could take."""
    lines, counts = export("openpipe", [given])
    assert (lines, counts.left_out) == ([], {reason.value: 1})


def test_jsonl(export):
    """A line is the whole row, any text and number in it as it was."""
    given = chat(answer="\ud800\0 \u2028 \u65e5", labels={"n": 1.5, "s": "x"}, big=10**30)
    assert export("jsonl", [given, {}])[0] == [given, {}]
