"""`openpipe={...}` on a call, and what happens where it is not understood."""

from __future__ import annotations

import dataclasses

import pytest
from support.shapes import chat_completion

from openpipe_report import CallOptions, metadata
from openpipe_report._openai import call_options

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    "given, message",
    [
        ({"log_requests": False}, "did you mean 'log_request'?"),
        ({"logRequest": False}, "did you mean 'log_request'?"),
        ({"LOG_REQUEST": False}, "did you mean 'log_request'?"),
        ({"log_request": "false"}, "must be True or False, got str"),
        ({"log_request": 0}, "must be True or False, got int"),
        ({"log_request": None}, "must be True or False, got NoneType"),
        ({"tag": {"a": 1}}, "did you mean 'tags'?"),
        ({"tags": ["a"]}, "must be a dict of tags, got list"),
        ({"metadata": "a"}, "must be a dict of labels, got str"),
        ({"private": True}, "is not known (there are log_request, metadata, tags)"),
        ({3: True}, "is not known"),
        ("off", "openpipe must be a dict, got str"),
        (False, "openpipe must be a dict, got bool"),
        ([("log_request", False)], "openpipe must be a dict, got list"),
    ],
    ids=repr,
)
def test_not_understood(caller, scripted, reports, caplog, given, message):
    """What is not understood is not reported, and said once, without its value."""
    for _ in range(2):
        scripted.json(chat_completion())
        caller("chat.completions.create", **CHAT, extra_body={"openpipe": given})
    assert reports == []
    assert all("openpipe" not in request.json() for request in scripted.requests)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert message in lines[0]
    assert "The call is not reported" in lines[0]


def test_type():
    """The type that users write options with has what is read, and no more."""
    names = {each.name for each in dataclasses.fields(call_options.ReadOptions)}
    assert CallOptions.__optional_keys__ == {*call_options._KINDS} == names
    assert not CallOptions.__required_keys__


@pytest.mark.parametrize("given", [{}, {"log_request": True}, {"tags": {}, "metadata": {}}])
def test_understood(caller, scripted, reports, caplog, given):
    """An option that changes nothing is no reason to hold a call back."""
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT, extra_body={"openpipe": given})
    assert len(reports) == 1
    assert not caplog.records


@pytest.mark.parametrize("report", ["false", 0, None, "no", {}])
def test_report_is_a_boolean(report):
    """`metadata(report=...)` is the opt-out, no label; what else it may be is said."""
    with pytest.raises(TypeError, match=r'metadata=\{"report": ...\}'):
        metadata(report=report)
