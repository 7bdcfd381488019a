"""Nothing changes for the caller: ours and the bare client, side by side."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import logging
import threading
from collections import Counter

import httpx
import openai
import pytest
from support.callers import BROKEN_STREAM, Caller
from support.scripted_openai import Fault
from support.shapes import api_error, chat_chunks, chat_completion, response, response_events

import openpipe_report
from openpipe_report import _log
from openpipe_report._capture import call as call_module
from openpipe_report._capture.stream_buffer import StreamBuffer
from openpipe_report._openai import interception
from openpipe_report._report.final_states import FinalStates
from openpipe_report.testing import captured_reports

MAJOR = int(openai.__version__.partition(".")[0])
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
CHUNKS = chat_chunks("One two three")


def make_aiohttp():
    try:
        return openai.DefaultAioHttpClient()
    except (AttributeError, RuntimeError) as missing:
        pytest.skip(str(missing))


HTTP_CLIENTS = {
    "sync": ("sync", lambda: None),
    "sync-httpx": ("sync", httpx.Client),
    "async": ("async", lambda: None),
    "async-httpx": ("async", httpx.AsyncClient),
    "async-aiohttp": ("async", make_aiohttp),
}
"""The HTTP clients that a user may have: openai's own, httpx's, and the one on aiohttp."""


@pytest.fixture(params=HTTP_CLIENTS.values(), ids=HTTP_CLIENTS)
def pair(request, scripted):
    """The bare client and ours, alike but for that."""
    kind, make_http_client = request.param
    callers = [
        Caller(kind, package=package, base_url=scripted.base_url, http_client=make_http_client())
        for package in (openai, openpipe_report)
    ]
    yield callers
    for caller in callers:
        caller.close()


def raw_of(response):
    """The HTTP response of whatever a call returned."""
    return getattr(response, "http_response", None) or response.response


def observe(response):
    """What a caller can see on a response, but for times and addresses."""
    seen = {
        name: getattr(response, name)
        for name in (
            "status_code",
            "is_closed",
            "is_stream_consumed",
            "num_bytes_downloaded",
            "http_version",
            "reason_phrase",
            "encoding",
            "charset_encoding",
        )
    }
    try:
        seen["elapsed"] = type(response.elapsed)
    except RuntimeError as error:
        seen["elapsed"] = str(error)
    seen["extensions"] = sorted(response.extensions)
    seen["type"] = type(response)
    seen["headers"] = [k for k, _ in response.headers.multi_items()]
    return seen


def read_all(caller, stream):
    caller.iterate(stream)


def read_some_and_close(caller, stream):
    caller.next(stream)
    caller.run(stream.close())


def read_nothing_and_close(caller, stream):
    caller.run(stream.close())


def leave_with(caller, stream):
    caller.enter(stream)
    caller.next(stream)
    caller.leave(stream)


def read_response_instead(caller, stream):
    response = stream.response
    caller.run(response.aread()) if caller.is_async else response.read()


def leave_open(caller, stream):
    caller.next(stream)


ENDINGS = [
    read_all,
    read_some_and_close,
    read_nothing_and_close,
    leave_with,
    read_response_instead,
    leave_open,
]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_response_after_each_ending(pair, scripted, ending):
    """After every way of reading a stream its response tells what the bare client's tells."""
    seen = []
    for caller in pair:
        gate = threading.Event()
        scripted.stream([CHUNKS[0], gate, *CHUNKS[1:]])
        stream = caller("chat.completions.create", **CHAT, stream=True)
        if ending in {read_all, read_response_instead}:
            gate.set()
        ending(caller, stream)
        seen.append(observe(raw_of(stream)))
        gate.set()
        caller.run(stream.close())
    assert seen[0] == seen[1]


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_error_of_a_broken_stream(pair, scripted, fault):
    """A broken connection raises the same error, with the same cause and text."""
    seen = []
    for caller in pair:
        gate = threading.Event()
        scripted.stream([*CHUNKS[:3], gate, fault], done=False)
        stream = caller("chat.completions.create", **CHAT, stream=True)
        caller.next(stream)
        gate.set()
        with pytest.raises(Exception) as raised:
            caller.iterate(stream)
        causes, error = [], raised.value
        while error is not None:
            causes.append((type(error), str(error)))
            error = error.__cause__
        seen.append((causes, observe(raw_of(stream))))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_raw_response(pair, scripted, streamed):
    """Raw responses are openai's own, parse as often as one likes, and tell the same."""
    seen = []
    for caller in pair:
        (scripted.stream(CHUNKS) if streamed else scripted.json(chat_completion()))
        raw = caller("chat.completions.with_raw_response.create", **CHAT, stream=streamed)
        parsed = caller.run(raw.parse())
        if streamed:
            parsed = caller.iterate(parsed)
        seen.append((type(raw), parsed, raw.status_code, observe(raw_of(raw))))
    assert seen[0] == seen[1]


def test_streaming_response(pair, scripted):
    """Streaming responses yield the same bytes and lines, and tell the same."""
    seen = []
    for caller in pair:
        scripted.stream(CHUNKS)
        manager = caller.client.chat.completions.with_streaming_response.create(**CHAT, stream=True)
        answer = caller.enter(manager)
        lines = caller.iterate(answer.iter_lines())
        caller.leave(manager)
        seen.append((type(answer), lines, observe(raw_of(answer))))
    assert seen[0] == seen[1]


def test_stream_is_openais(pair, scripted):
    """Streams are openai's, items included."""
    seen = []
    for caller in pair:
        scripted.stream(CHUNKS)
        stream = caller("chat.completions.create", **CHAT, stream=True)
        seen.append((type(stream), caller.iterate(stream)))
    assert seen[0] == seen[1]


def test_error_is_openais(pair, scripted):
    """A refusal raises the same error with the same body, request and response."""
    seen = []
    for caller in pair:
        scripted.json(api_error("bad"), 400, [("x-request-id", "r1")])
        with pytest.raises(openai.BadRequestError) as raised:
            caller("chat.completions.create", **CHAT)
        error = raised.value
        seen.append((str(error), error.body, error.code, error.request_id, error.request.content))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"messages": lambda: (message for message in CHAT["messages"])},
        {"messages": lambda: iter(CHAT["messages"])},
        {"messages": lambda: map(dict, CHAT["messages"])},
    ],
    ids=["generator", "iterator", "map"],
)
def test_one_shot_iterables(pair, scripted, arguments):
    """What can be iterated once reaches openai whole."""
    for caller in pair:
        scripted.json(chat_completion())
        made = {name: make() for name, make in arguments.items()}
        caller("chat.completions.create", **{**CHAT, **made}, metadata=openai.NOT_GIVEN)
    bare, ours = scripted.requests
    assert ours.body == bare.body
    assert ours.json()["messages"] == CHAT["messages"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"extra_body": {"top_k": 1}, "extra_query": {"q": "1"}, "extra_headers": {"x-a": "b"}},
        {"temperature": openai.NOT_GIVEN, "user": "é\ud83d"},
        {"store": True, "metadata": {"u": "1"}},
        {"timeout": 7.5},
    ],
    ids=["plain", "stream", "usage", "extra", "not-given", "store", "timeout"],
)
def test_request_is_byte_for_byte_the_bare_clients(pair, scripted, arguments):
    """Neither a header nor a byte differs."""
    if "user" in arguments:
        arguments = {**arguments, "user": "é"}
    for caller in pair:
        (scripted.stream(CHUNKS) if arguments.get("stream") else scripted.json(chat_completion()))
        answer = caller("chat.completions.create", **CHAT, **arguments)
        if arguments.get("stream"):
            caller.iterate(answer)
    bare, ours = scripted.requests
    assert (ours.method, ours.target, ours.body) == (bare.method, bare.target, bare.body)
    assert ours.headers == bare.headers
    assert ours.connection != bare.connection


def test_other_resources(pair, scripted):
    """Pagination and other resources work as before."""
    seen = []
    for caller in pair:
        page = {"object": "list", "data": [{"id": "m", "object": "model"}], "has_more": False}
        scripted.json(page)
        listed = caller("models.list")
        seen.append((type(listed), [model.id for model in listed.data]))
    assert seen[0] == seen[1]


# One call, whatever happens inside


def test_redirect(caller, scripted, reports):
    """A redirected call is one report, with the request that was sent."""
    scripted.redirect("/v1/elsewhere")
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT)
    assert [request.path for request in scripted.requests] == [
        "/v1/chat/completions",
        "/v1/elsewhere",
    ]
    [report] = reports
    assert (report.reqPayload, report.respPayload) == (CHAT, chat_completion())


def test_error_after_a_redirect(caller, scripted, reports):
    """The answer after a redirect is ours, also when it is an error."""
    scripted.redirect("/v1/elsewhere")
    scripted.json(api_error("gone"), 404)
    with pytest.raises(openai.NotFoundError):
        caller("chat.completions.create", **CHAT)
    [report] = reports
    assert (report.statusCode, report.errorMessage) == (404, "gone")


def test_api_key_callable_that_calls(make_caller, scripted, reports):
    """A callable `api_key` that makes a call of its own gets a report of its own."""
    if MAJOR == 1 and "Callable" not in str(openai.OpenAI.__init__.__annotations__["api_key"]):
        pytest.skip("this openai takes no callable")
    clients = []

    def queue():
        scripted.json(chat_completion("inner"))
        scripted.json(chat_completion("outer"))

    def key():
        queue()
        clients[0].chat.completions.create(model="inner", messages=[])
        return "sk-made"

    async def async_key():
        queue()
        await clients[0].chat.completions.create(model="inner", messages=[])
        return "sk-made"

    probe = make_caller()
    outer = make_caller(api_key=async_key if probe.is_async else key)
    clients.append(type(outer.client)(base_url=scripted.base_url, api_key="sk-inner"))
    outer("chat.completions.create", model="outer", messages=[])
    outer.run(clients[0].close())
    assert [report.reqPayload["model"] for report in reports] == ["inner", "outer"]
    texts = [report.respPayload["choices"][0]["message"]["content"] for report in reports]
    assert texts == ["inner", "outer"]


@pytest.mark.parametrize(
    "method, arguments, body",
    [
        ("responses.compact", {"model": "m"}, {"id": "c", "object": "response.compaction"}),
        ("beta.responses.create", {"model": "m", "input": "i"}, response()),
    ],
)
def test_methods_of_newer_openais(caller, scripted, reports, method, arguments, body):
    """`responses.compact` and `beta.responses` are reported where openai has them."""
    target = caller.client
    for name in method.split("."):
        target = getattr(target, name, None)
    if target is None:
        pytest.skip("this openai has it not")
    scripted.json(body)
    caller(method, **arguments)
    [report] = reports
    assert report.respPayload == body
    assert report.tags["$endpoint"] in {"responses", "responses/compact"}


_numbers = itertools.count(1000)


def background(status, number):
    return response("Done", status=status, background=True, id=f"resp_{number}")


@pytest.fixture
def number():
    """The number of a background response that no other test has seen."""
    return next(_numbers)


def test_background_response(caller, scripted, reports, number):
    """A background response is reported when created, and when first seen to have ended."""
    scripted.json(background("queued", number))
    caller("responses.create", model="m", input="i", extra_body={"background": True})
    for status in ("queued", "in_progress", "completed", "completed"):
        scripted.json(background(status, number))
        caller("responses.retrieve", f"resp_{number}")
    created, ended = reports
    assert created.respPayload["status"] == "queued"
    assert ended.respPayload == background("completed", number)
    assert ended.reqPayload == {"response_id": f"resp_{number}"}


def test_background_response_streamed_later(caller, scripted, reports, number):
    """A background response that is streamed later is reported at its terminal event."""
    events = response_events("Done", background=True, id=f"resp_{number}")
    scripted.stream(events)
    options = {"cast_to": object, "stream": True}
    cls = openai.AsyncStream if caller.is_async else openai.Stream
    path = f"/responses/resp_{number}?stream=true"
    stream = caller("get", path, stream_cls=cls[object], **options)
    caller.iterate(stream)
    [report] = reports
    assert report.respPayload["status"] == "completed"
    assert report.reqPayload == {"response_id": f"resp_{number}"}


def test_plain_retrieval_is_not_reported(caller, scripted, reports):
    """A response that was reported when it was made is not reported when it is looked at."""
    scripted.json(response())
    caller("responses.retrieve", "resp_1")
    scripted.json({"object": "list", "data": [], "has_more": False})
    caller("responses.input_items.list", "resp_1")
    assert reports == []


def test_ended_responses_are_forgotten():
    """The memory of ended responses is bounded."""
    states = FinalStates(limit=3)
    assert all(states.claim(background("failed", number)) for number in range(9))
    assert len(states) == 3
    assert not states.claim(background("failed", 8))


def test_websockets_are_said_to_go_unreported(make_caller, caplog):
    """The first WebSocket connection says once that it is not reported; a copy says nothing."""
    caller = make_caller(websocket_base_url="ws://127.0.0.1:1/v1")
    with captured_reports():
        copied = caller.client.copy()
        assert vars(copied)["websocket_base_url"] == "ws://127.0.0.1:1/v1"
        assert "WebSocket" not in caplog.text
        beta = getattr(caller.client, "realtime", None) or caller.client.beta.realtime
        for _ in range(2):
            with pytest.raises(Exception):  # noqa: B017 - no server, or no websockets package
                caller.enter(beta.connect(model="m"))
    ours = [r for r in caplog.records if "WebSocket" in r.getMessage()]
    assert len(ours) == (1 if has_websockets() else 0)


def has_websockets():
    return importlib.util.find_spec("websockets") is not None


# Faults of our own


HOOKS = {
    "beginning": (interception, "_begin_call"),
    "constructing": (call_module.Call, "__init__"),
    "request": (call_module.Call, "on_request"),
    "response": (call_module.Call, "on_response"),
    "taking": (call_module.Call, "_take"),
    "opening": (call_module.Call, "_record_stream"),
    "recording": (call_module, "record_stream"),
    "keeping": (StreamBuffer, "append"),
    "ending": (call_module.Call, "end"),
    "closing": (call_module.Call, "on_close"),
    "error in stream": (call_module.Call, "on_stream_error"),
    "error": (call_module.Call, "on_error"),
    "describing": (call_module, "describe_without_secrets"),
    "return": (call_module.Call, "on_return"),
    "polling": (call_module.Call, "on_poll"),
    "finishing": (call_module.Call, "_finish"),
    "submitting": (openpipe_report.testing._CapturingReporter, "submit"),
}


def plain(caller, scripted):
    scripted.json(chat_completion())
    return caller("chat.completions.create", **CHAT)


def streamed(caller, scripted):
    scripted.stream(CHUNKS)
    return caller.iterate(caller("chat.completions.create", **CHAT, stream=True))


def left(caller, scripted):
    scripted.stream(CHUNKS)
    stream = caller("chat.completions.create", **CHAT, stream=True)
    first = caller.next(stream)
    caller.run(stream.close())
    return first


def refused(caller, scripted):
    scripted.json(api_error("bad"), 400)
    with pytest.raises(openai.BadRequestError) as raised:
        caller("chat.completions.create", **CHAT)
    return str(raised.value)


def broken(caller, scripted):
    gate = threading.Event()
    scripted.stream([*CHUNKS[:2], gate, Fault.RESET], done=False)
    stream = caller("chat.completions.create", **CHAT, stream=True)
    caller.next(stream)
    gate.set()
    with pytest.raises(BROKEN_STREAM) as raised:
        caller.iterate(stream)
    return type(raised.value)


@pytest.mark.parametrize("act", [plain, streamed, left, refused, broken], ids=lambda a: a.__name__)
@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_fault_of_ours(caller, scripted, caplog, hook, act):
    """A fault in any of our hooks leaves the call as it was; it is counted, and logged once."""
    with captured_reports():
        expected = act(caller, scripted)
    raised = Counter()

    def fail(*args, **kwargs):
        raised["times"] += 1
        raise RuntimeError("secret of ours")

    with (
        pytest.MonkeyPatch.context() as patch,
        captured_reports(),
        caplog.at_level(logging.DEBUG, "openpipe_report"),
    ):
        patch.setattr(*hook, fail)
        for _ in range(2):
            assert act(caller, scripted) == expected
        gc.collect()
    if raised["times"]:
        assert _log.internal_error_count() >= raised["times"]
        ours = [r.getMessage() for r in caplog.records if "internal error" in r.getMessage()]
        assert ours
        assert max(Counter(ours).values()) == 1
        assert "secret" not in caplog.text


def test_every_hook_was_tried():
    """The table of hooks has every method that a caller's thread runs with a guard around it."""
    hooks = {name for name in vars(call_module.Call) if name.startswith(("on_", "end"))}
    assert hooks - {"on_chunk", "on_read"} <= {name for _, name in HOOKS.values()}
