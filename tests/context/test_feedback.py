"""feedback(): what it takes, which reporter sends it, and its way into our receiver."""

from __future__ import annotations

import asyncio
import gc
import threading
from types import SimpleNamespace

import pytest
from pydantic import BaseModel
from support.backend import HANG_GUARD, Backend, take
from support.shapes import (
    chat_chunks,
    chat_completion,
    completion,
    response,
    response_events,
    tool_call,
)

from openpipe_report import (
    OpenAI,
    Reporter,
    feedback,
    flush,
    mask_values,
    metadata,
    shutdown,
    span,
    stats,
)
from openpipe_report.testing import MetadataUpdate, captured_reports

CHAT = {"model": "m", "messages": []}


class City(BaseModel):
    name: str


def of_chat(caller, scripted):
    scripted.json(chat_completion())
    return caller("chat.completions.create", **CHAT)


def of_parse(caller, scripted):
    scripted.json(chat_completion('{"name": "Oslo"}'))
    return caller("beta.chat.completions.parse", **CHAT, response_format=City)


def of_legacy(caller, scripted):
    scripted.json(completion())
    return caller("completions.create", model="m", prompt="p")


def of_response(caller, scripted):
    scripted.json(response())
    return caller("responses.create", model="m", input="i")


def of_parsed_response(caller, scripted):
    scripted.json(response('{"name": "Oslo"}'))
    return caller("responses.parse", model="m", input="i", text_format=City)


def of_chunk(caller, scripted):
    scripted.stream(chat_chunks())
    return caller.iterate(caller("chat.completions.create", **CHAT, stream=True))[-1]


def of_event(caller, scripted):
    scripted.stream(response_events())
    return caller.iterate(caller("responses.create", model="m", input="i", stream=True))[-1]


def of_stream_helper(caller, scripted):
    scripted.stream(chat_chunks())
    manager = caller.client.beta.chat.completions.stream(**CHAT)
    events = caller.iterate(caller.enter(manager))
    caller.leave(manager)
    return events[0]


ANSWERS = {
    "chat": (of_chat, "chatcmpl-1"),
    "parsed": (of_parse, "chatcmpl-1"),
    "legacy": (of_legacy, "cmpl-1"),
    "response": (of_response, "resp_1"),
    "parsed response": (of_parsed_response, "resp_1"),
    "chunk": (of_chunk, "chatcmpl-1"),
    "event": (of_event, "resp_1"),
    "event of the helper": (of_stream_helper, "chatcmpl-1"),
}


@pytest.mark.parametrize("make, completion_id", ANSWERS.values(), ids=ANSWERS)
def test_what_clients_return(caller, scripted, reports, make, completion_id):
    """Whatever a client returns for a call has the id by which its report is known."""
    given = make(caller, scripted)
    assert feedback(given, "up")
    assert reports.updates == [MetadataUpdate(completion_id, {"feedback": "up"})]
    assert reports[0].respPayload["id"] == completion_id


@pytest.mark.parametrize(
    "module, name",
    [
        ("responses.compacted_response", "CompactedResponse"),
        ("beta.beta_response", "BetaResponse"),
        ("beta.beta_compacted_response", "BetaCompactedResponse"),
    ],
)
def test_answers_of_later_versions(reports, module, name):
    """Answers that not every version of openai knows are taken, too."""
    found = pytest.importorskip(f"openai.types.{module}", reason="not in this version of openai")
    assert feedback(getattr(found, name).construct(id="resp_2"), "up")
    assert reports.updates == [MetadataUpdate("resp_2", {"feedback": "up"})]


@pytest.mark.parametrize(
    "arguments, labels, sent",
    [
        pytest.param(["up"], {}, {"feedback": "up"}, id="up"),
        pytest.param(["down"], {}, {"feedback": "down"}, id="down"),
        pytest.param([None], {}, {"feedback": None}, id="verdict removed"),
        pytest.param([], {"comment": "Hm"}, {"comment": "Hm"}, id="comment alone"),
        pytest.param([], {"corrected": ""}, {"corrected": ""}, id="an empty answer"),
        pytest.param([], {"comment": None}, {"comment": None}, id="comment removed"),
        pytest.param([], {"score": 0.5, "by": None}, {"score": "0.5", "by": None}, id="labels"),
        pytest.param(
            ["down"],
            {"corrected": "Oslo", "comment": "Wrong", "verdict": True},
            {"feedback": "down", "comment": "Wrong", "corrected": "Oslo", "verdict": "true"},
            id="all",
        ),
    ],
)
def test_labels(reports, arguments, labels, sent):
    """What is not given stays as it is; None removes a label."""
    assert feedback("chatcmpl-42", *arguments, **labels)
    assert reports.updates == [MetadataUpdate("chatcmpl-42", sent)]


@pytest.mark.parametrize(
    "arguments, keywords, error, message",
    [
        pytest.param(["id"], {}, TypeError, "needs a verdict", id="nothing to change"),
        pytest.param(["", "up"], {}, ValueError, "id is empty", id="empty id"),
        pytest.param(["id", "good"], {}, ValueError, "or None, got 'good'", id="other verdict"),
        pytest.param(["id", "x" * 999], {}, ValueError, "got 'x{39}$", id="long verdict"),
        pytest.param(["id", True], {}, ValueError, "got bool", id="boolean"),
        pytest.param(["id", ["up"]], {}, ValueError, "got list", id="list"),
        pytest.param(["id"], {"comment": 5}, TypeError, "comment= must be a string", id="number"),
        pytest.param(["id"], {"corrected": {}}, TypeError, "corrected= must be", id="object"),
        pytest.param(["id"], {"feedback": "up"}, TypeError, "is the verdict", id="by name"),
        pytest.param(["id"], {"a": [1]}, TypeError, r"metadata\['a'\]", id="label of a list"),
        pytest.param(["id", "up"], {"reporter": "r"}, TypeError, "a Reporter, got str", id="str"),
        pytest.param([None, "up"], {}, TypeError, "got NoneType", id="none"),
        pytest.param([{"id": "x"}, "up"], {}, TypeError, "got dict", id="dict"),
        pytest.param([City(name="x"), "up"], {}, TypeError, "got City", id="parsed object"),
        pytest.param(
            [SimpleNamespace(id="run"), "up"], {}, TypeError, "got SimpleNamespace", id="foreign"
        ),
    ],
)  # fmt: skip
def test_wrong_arguments(reports, arguments, keywords, error, message):
    """A wrong argument raises at once, with what is right."""
    with pytest.raises(error, match=message):
        feedback(*arguments, **keywords)
    assert reports.updates == []


def test_parts_of_answers(caller, scripted, reports):
    """A part of an answer has another id; an answer to which the server gave none says so."""
    scripted.json(chat_completion(tool_calls=[tool_call()]))
    answer = caller("chat.completions.create", **CHAT)
    for part in (answer.choices[0], answer.choices[0].message.tool_calls[0]):
        with pytest.raises(TypeError, match=type(part).__name__):
            feedback(part, "up")
    without = chat_completion()
    del without["id"]
    scripted.json(without)
    with pytest.raises(ValueError, match="ChatCompletion has no id"):
        feedback(caller("chat.completions.create", **CHAT), "up")
    assert reports.updates == []


def test_by_the_environment(monkeypatch):
    """Without reporter= it goes where the environment says, from coroutines too."""
    with Backend() as backend:
        monkeypatch.setenv("OPENPIPE_BASE_URL", backend.base_url)

        async def judge():
            return feedback("b", "down")

        assert feedback("a", "up")
        assert asyncio.run(judge())
        assert flush(HANG_GUARD)
        sent = {each["filters"][0]["equals"]: each["metadata"] for each in backend.updates}
    assert sent == {"a": {"feedback": "up"}, "b": {"feedback": "down"}}


def test_by_the_only_reporter():
    """With no settings in the environment it goes to the reporter of the only client."""
    with Backend() as backend:
        client = OpenAI(api_key="sk", openpipe={"base_url": backend.base_url})
        assert feedback("a", "up")
        assert flush(HANG_GUARD)
        assert len(backend.updates) == 1
        client.close()


def test_without_any_reporter(monkeypatch, caplog):
    """Where there is nowhere to report to, nothing is sent, and each reason is said once."""
    monkeypatch.setenv("OPENPIPE_REPORT_SAMPLE_RATE", "0.125")  # settings are loaded anew
    assert not feedback("a", "up")
    assert not feedback("b", "up")
    off, none = caplog.messages
    assert "reporting is disabled" in off
    assert "there is no reporter; give one with feedback(..., reporter=)" in none


def test_switched_off(monkeypatch):
    """Where the environment switches reporting off, no other reporter is looked for."""
    with Backend() as backend:
        reporter = Reporter(base_url=backend.base_url)
        monkeypatch.setenv("OPENPIPE_REPORT_ENABLED", "false")
        assert not feedback("a", "up")
        assert feedback("b", "up", reporter=reporter)
        assert reporter.flush(HANG_GUARD)
        assert [each["filters"][0]["equals"] for each in backend.updates] == ["b"]


@pytest.mark.parametrize(
    "differing",
    [
        {"before_report": mask_values},
        {"api_key": "opk-other"},
        {"base_url": "http://127.0.0.1:9/x"},
    ],
    ids=["hook", "key", "URL"],
)
def test_reporters_that_differ(monkeypatch, caplog, differing):
    """Where another client has a redaction or a destination of its own, it is not sent by guess."""
    with Backend() as backend:
        monkeypatch.setenv("OPENPIPE_BASE_URL", backend.base_url)
        same = Reporter(metadata={"service": "s"})
        before = stats().dropped.get("no reporter", 0)
        assert feedback("a", "up", comment="secret")
        client = OpenAI(api_key="sk", openpipe=differing)
        assert not feedback("b", "up", comment="secret")
        assert not feedback("b", "up", comment="secret")
        assert feedback("c", "up", reporter=same)
        assert flush(HANG_GUARD).pending == 0
        assert [each["filters"][0]["equals"] for each in backend.updates] == ["a", "c"]
        client.close()
    lines = [line for line in caplog.messages if "feedback is not sent" in line]
    assert len(lines) == 1
    assert "reporter=" in lines[0]
    assert stats().dropped["no reporter"] == before + 2


@pytest.mark.parametrize("end", [None, shutdown], ids=["gone", "shut down"])
def test_a_reporter_that_is_gone(monkeypatch, end):
    """The redaction of a client of an earlier request counts, until all reporters are shut down."""
    with Backend() as backend:
        monkeypatch.setenv("OPENPIPE_BASE_URL", backend.base_url)
        OpenAI(api_key="sk", openpipe={"before_report": mask_values}).close()
        gc.collect()
        if end is not None:
            end(HANG_GUARD)
        assert feedback("a", "up", comment="ada@example.org") is (end is not None)
        assert flush(HANG_GUARD).pending == 0
        assert len(backend.updates) == (end is not None)


def test_in_an_opted_out_block(reports):
    """Inside `metadata(report=False)` nothing is sent; labels of blocks are not feedback's."""
    with metadata(report=False):
        assert not feedback("a", "up")
    with metadata(user="u"), span("work"):
        assert feedback("b", "up")
    assert reports.updates == [MetadataUpdate("b", {"feedback": "up"})]


def test_opted_out_reporter(reports):
    """A reporter that is switched off by its argument sends none, in a test neither."""
    off = Reporter(base_url="http://127.0.0.1:9", enabled=False)
    assert not feedback("a", "up", reporter=off)
    assert reports.updates == []


def test_a_fault_of_ours(monkeypatch, caplog):
    """An error inside is kept from the caller, and counted."""
    reporter = Reporter(base_url="http://127.0.0.1:9")
    monkeypatch.setattr(reporter, "_submit_by_policy", None)
    assert not feedback("a", "up", reporter=reporter)
    assert "internal error in feedback" in caplog.text
    assert stats().faults == 1


def test_the_caller_does_not_wait():
    """It returns while the server has answered nothing yet."""
    gate = threading.Event()
    with Backend() as backend:
        backend.answer = lambda post: take(post) if gate.wait(HANG_GUARD) else None
        reporter = Reporter(base_url=backend.base_url)
        for number in range(100):
            assert feedback(str(number), "up", reporter=reporter)
        assert reporter.stats().pending == 100
        gate.set()
        assert reporter.flush(HANG_GUARD)
        assert len(backend.updates) == 100


@pytest.fixture
def store(tmp_path):
    store_module = pytest.importorskip("openpipe_report.server.store", reason="extra `server`")
    with store_module.Store(tmp_path / "reports.db") as store:
        yield store


@pytest.fixture
def url(store, monkeypatch):
    from openpipe_report.server.app import create_app
    from openpipe_report.server.http import serving

    with serving(create_app(store, api_key="opk-1")) as url:
        monkeypatch.setenv("OPENPIPE_BASE_URL", url)
        monkeypatch.setenv("OPENPIPE_API_KEY", "opk-1")
        yield url


def labels_in(store):
    [row] = store.recent()
    return row.metadata


def test_labels_of_the_report(store, url, make_caller, scripted):
    """Feedback on a call becomes labels of its report, and is taken back; the rest stays."""
    caller = make_caller()
    scripted.json(chat_completion())
    answer = caller("chat.completions.create", **CHAT, metadata={"user": "u"})
    corrected = "Zürich \U0001f600\n" * 10_000
    for arguments, more, expected in (
        (["down"], {"comment": "No", "corrected": corrected, "score": 2},
         {"feedback": "down", "comment": "No", "corrected": corrected, "score": "2"}),
        (["up"], {"comment": None, "corrected": None}, {"feedback": "up", "score": "2"}),
        ([None], {}, {"score": "2"}),
    ):  # fmt: skip
        assert flush(HANG_GUARD)
        assert feedback(answer, *arguments, **more)
        assert flush(HANG_GUARD)
        assert labels_in(store) == {"user": "u", **expected}


def test_before_its_report(store, url):
    """Feedback that comes before its report waits for it."""
    assert feedback("early", "up")
    assert flush(HANG_GUARD)
    Reporter().report(respPayload={"id": "early"})
    assert flush(HANG_GUARD)
    assert labels_in(store) == {"feedback": "up"}


def test_unknown_completion(store, url):
    """Feedback on a call that was not sent, as one that was sampled out, is no error."""
    assert feedback("nowhere", "up")
    assert flush(HANG_GUARD)
    assert store.recent() == []


def test_too_long(store, url, caplog):
    """A text that the receiver does not keep whole is refused, and the log says why."""
    assert feedback("x", "down", corrected="y" * 200_001)
    assert flush(HANG_GUARD).reason == "rejected"
    assert "metadata.corrected: must be a string of at most 200,000 characters" in caplog.text
    assert "yyy" not in caplog.text


def test_captures_by_policy():
    """In a test, feedback passes the hook of the reporter that it is given."""
    masked = Reporter(base_url="http://127.0.0.1:9", before_report=mask_values)
    with captured_reports() as reports:
        feedback("a", "up", comment="ada@example.org", reporter=masked)
        feedback("b", "up", comment="ada@example.org")
    assert [each.metadata["comment"] for each in reports.updates] == ["[email]", "ada@example.org"]
