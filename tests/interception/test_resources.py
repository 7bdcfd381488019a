"""`create(..., openpipe={...})`, as the openpipe SDK spells it."""

from __future__ import annotations

import inspect
from unittest import mock

import openai
import pytest
from openai import resources
from pydantic import BaseModel
from support.shapes import (
    chat_chunks,
    chat_completion,
    completion,
    completion_chunks,
    response,
    response_events,
)

from openpipe_report import instrument
from openpipe_report._openai import resources as resources_module
from openpipe_report.testing import captured_reports

MESSAGES = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES}
LEGACY = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once"}
RESPONSE = {"model": "gpt-4o-mini", "input": "Hi"}
PARSED = '{"city":"Oslo"}'
OURS = {"tags": {"prompt_id": "p1"}, "metadata": {"user": "u1"}}


class City(BaseModel):
    city: str


FORMS = {
    "chat": ("chat.completions.create", CHAT, chat_completion()),
    "chat-stream": ("chat.completions.create", {**CHAT, "stream": True}, chat_chunks("One")),
    "chat-parse": (
        "beta.chat.completions.parse",
        {**CHAT, "response_format": City},
        chat_completion(PARSED),
    ),
    "chat-raw": ("chat.completions.with_raw_response.create", CHAT, chat_completion()),
    "client-raw": ("with_raw_response.chat.completions.create", CHAT, chat_completion()),
    "completions": ("completions.create", LEGACY, completion()),
    "completions-stream": (
        "completions.create",
        {**LEGACY, "stream": True},
        completion_chunks("One"),
    ),
    "responses": ("responses.create", RESPONSE, response()),
    "responses-stream": ("responses.create", {**RESPONSE, "stream": True}, response_events("One")),
    "responses-parse": ("responses.parse", {**RESPONSE, "text_format": City}, response(PARSED)),
}


def answer_with(scripted, answer):
    (scripted.stream if isinstance(answer, list) else scripted.json)(answer)


def read(caller, arguments, result):
    if arguments.get("stream"):
        caller.iterate(result)


@pytest.mark.parametrize("method, arguments, answer", FORMS.values(), ids=FORMS)
def test_argument(caller, scripted, reports, method, arguments, answer):
    """Tags and metadata go into the report, and nothing of it to OpenAI."""
    for more in ({}, {"openpipe": OURS}):
        answer_with(scripted, answer)
        read(caller, arguments, caller(method, **arguments, **more))
    bare, ours = scripted.requests
    assert bare.body == ours.body
    without, with_them = reports
    assert "metadata" not in without.reqPayload
    assert with_them.reqPayload["metadata"] == {"user": "u1"}
    assert with_them.tags["prompt_id"] == "p1"


@pytest.mark.parametrize("method, arguments, answer", FORMS.values(), ids=FORMS)
def test_not_logged(caller, scripted, reports, method, arguments, answer):
    """`log_request: False` keeps a call out."""
    answer_with(scripted, answer)
    read(caller, arguments, caller(method, **arguments, openpipe={"log_request": False}))
    assert not reports
    assert b"openpipe" not in scripted.requests[0].body


@pytest.mark.parametrize(
    "method, arguments, events",
    [
        ("beta.chat.completions.stream", CHAT, chat_chunks("One")),
        ("responses.stream", RESPONSE, response_events("One")),
    ],
    ids=["chat", "responses"],
)
def test_stream_helper(make_caller, scripted, reports, method, arguments, events):
    """`stream()` sends later, and takes it along."""
    scripted.stream(events)
    caller = make_caller()
    target = caller.client
    for name in method.split("."):
        target = getattr(target, name)
    manager = target(**arguments, openpipe=OURS)
    caller.iterate(caller.enter(manager))
    caller.leave(manager)
    assert b"openpipe" not in scripted.requests[0].body
    assert reports[0].tags["prompt_id"] == "p1"


@pytest.mark.parametrize("first", [True, False], ids=["made-before", "made-inside"])
def test_patched_openai(make_caller, scripted, first):
    """Who patches openai's own method is heard, and only as long as the patch lasts."""
    caller = make_caller()
    kind = resources.chat.AsyncCompletions if caller.is_async else resources.chat.Completions
    resources_module._subclass.cache_clear()
    if first:
        caller.client.chat.completions  # noqa: B018 - makes it
    with mock.patch.object(kind, "create", return_value="mocked"):
        assert caller.client.chat.completions.create(**CHAT) == "mocked"
    scripted.json(chat_completion())
    assert caller("chat.completions.create", **CHAT).id == chat_completion()["id"]
    resources_module._subclass.cache_clear()


def test_beside_an_extra_body(caller, scripted, reports):
    """What else is in `extra_body` goes as given; the caller's own dict is not changed."""
    extra = {"top_k": 3}
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT, openpipe=OURS, extra_body=extra)
    assert extra == {"top_k": 3}
    assert scripted.requests[0].json() == {**CHAT, "top_k": 3}
    assert reports[0].tags["prompt_id"] == "p1"


def test_without_a_destination(caller, scripted):
    """Where reporting is off, it does not travel either."""
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT, openpipe=OURS)
    assert scripted.requests[0].json() == CHAT


def test_in_a_retrieval(caller, scripted, reports):
    """A look at a response sends no body for its sake."""
    scripted.json(response())
    caller("responses.retrieve", "resp_1", extra_body={"openpipe": {"log_request": False}})
    assert scripted.requests[0].body == b""
    assert not reports


def test_copies_and_instrumented(make_caller, scripted, reports):
    """Copies take it, and clients that were instrumented, whatever they had made before."""
    caller = make_caller(package=openai)
    caller.client.chat.completions  # noqa: B018 - makes it
    instrument(caller.client)
    for _ in range(2):
        scripted.json(chat_completion())
        caller("chat.completions.create", **CHAT, openpipe=OURS)
        caller.client = caller.client.with_options(timeout=9)
    assert [report.tags["prompt_id"] for report in reports] == ["p1", "p1"]


def test_resources_are_openais(caller):
    """The resources are instances of openai's classes, with their names and signatures."""
    bare = openai.AsyncOpenAI if caller.is_async else openai.OpenAI
    theirs = bare(api_key="k")
    for path in ("chat", "chat.completions", "completions", "responses", "beta.chat.completions"):
        mine, other = caller.client, theirs
        for name in path.split("."):
            mine, other = getattr(mine, name), getattr(other, name)
        assert isinstance(mine, type(other))
        assert type(mine).__name__ == type(other).__name__
        assert mine is not other
        for name in ("create", "parse", "stream"):
            if (original := getattr(other, name, None)) is not None:
                method = getattr(mine, name)
                assert inspect.signature(method) == inspect.signature(original)
                assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(original)
    caller.run(theirs.close())
    assert caller.client.chat.completions is caller.client.chat.completions


@pytest.mark.parametrize("base_url, reported", [("/v1/", False), ("/v1", False), ("/", True)])
def test_api_that_logs_by_itself(make_caller, scripted, base_url, reported, monkeypatch):
    """Calls that go to the very API that takes the reports are not reported once more."""
    monkeypatch.setenv("OPENPIPE_BASE_URL", scripted.root + base_url)
    caller = make_caller(base_url=scripted.base_url)
    scripted.json(chat_completion())
    with captured_reports() as reports:
        caller("chat.completions.create", **CHAT)
        assert len(reports) == reported
    caller.client = caller.client.with_options(base_url=scripted.root + "/other")
    scripted.json(chat_completion())
    with captured_reports() as reports:
        caller("chat.completions.create", **CHAT)
        assert len(reports) == 1
