"""The drop-in classes over real HTTP: every kind of call gives one report of what was sent."""

from __future__ import annotations

import asyncio
import inspect

import openai
import pytest
from dirty_equals import IsApprox, IsNumber, IsPositiveFloat
from pydantic import BaseModel
from support.callers import httpx_of_openai
from support.shapes import (
    api_error,
    chat_chunks,
    chat_completion,
    completion,
    completion_chunks,
    response,
    response_events,
    tool_call,
    tool_call_chunks,
    usage,
)

import openpipe_report
from openpipe_report import SettingsError, metadata, span

MESSAGES = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES}
LEGACY = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once"}
RESPONSE = {"model": "gpt-4o-mini", "input": "Hi"}


class City(BaseModel):
    city: str


PARSED = '{"city":"Oslo"}'

PLAIN = {
    "chat": ("chat.completions.create", CHAT, chat_completion(), "chat/completions"),
    "chat-tools": (
        "chat.completions.create",
        CHAT,
        chat_completion(tool_calls=[tool_call()]),
        "chat/completions",
    ),
    "chat-parse": (
        "beta.chat.completions.parse",
        {**CHAT, "response_format": City},
        chat_completion(PARSED),
        "chat/completions",
    ),
    "chat-raw": (
        "chat.completions.with_raw_response.create",
        CHAT,
        chat_completion(),
        "chat/completions",
    ),
    "completions": ("completions.create", LEGACY, completion(), "completions"),
    "responses": ("responses.create", RESPONSE, response(), "responses"),
    "responses-parse": (
        "responses.parse",
        {**RESPONSE, "text_format": City},
        response(PARSED),
        "responses",
    ),
}


@pytest.mark.parametrize("method, arguments, answer, endpoint", PLAIN.values(), ids=PLAIN)
def test_plain_call(caller, scripted, reports, method, arguments, answer, endpoint):
    """A call is one report: the body that was sent, the body that came, times and tags."""
    scripted.json(answer)
    caller(method, **arguments)
    [report] = reports
    assert report.to_wire() == {
        "requestedAt": IsNumber(),
        "receivedAt": IsApprox(report.requestedAt, delta=60_000),
        "reqPayload": scripted.requests[0].json(),
        "respPayload": answer,
        "statusCode": 200,
        "tags": {
            "$sdk": "openpipe-report",
            "$sdk.version": openpipe_report.__version__,
            "$endpoint": endpoint,
            "$retries": 0,
        },
    }
    assert report.receivedAt >= report.requestedAt


STREAMED = {
    "chat": ("chat.completions.create", CHAT, chat_chunks(usage=usage()), chat_completion()),
    "chat-tools": (
        "chat.completions.create",
        CHAT,
        tool_call_chunks(tool_call(), tool_call("clock", "{}", 1), usage=usage()),
        chat_completion(tool_calls=[tool_call(), tool_call("clock", "{}", 1)]),
    ),
    "completions": ("completions.create", LEGACY, completion_chunks(usage=usage()), completion()),
    "responses": ("responses.create", RESPONSE, response_events(), response()),
}


def same_but_usage_and_annotations(answer):
    """What a stream cannot tell apart from an unstreamed answer is left out."""
    answer = {**answer, "usage": None}
    for choice in answer.get("choices", []):
        choice.get("message", {}).pop("annotations", None)
    return answer


@pytest.mark.parametrize("method, arguments, events, whole", STREAMED.values(), ids=STREAMED)
def test_streamed_call(caller, scripted, reports, method, arguments, events, whole):
    """A streamed call is one report, with the object that an unstreamed call would have given."""
    scripted.stream(events)
    stream = caller(method, **arguments, stream=True)
    assert isinstance(stream, openai.AsyncStream if caller.is_async else openai.Stream)
    assert reports == []
    assert len(caller.iterate(stream)) == len(events)
    [report] = reports
    assert report.reqPayload == scripted.requests[0].json()
    assert same_but_usage_and_annotations(report.respPayload) == same_but_usage_and_annotations(
        whole
    )
    assert report.statusCode == 200
    assert report.errorMessage is None
    assert report.tags["$time_to_first_byte_ms"] == IsPositiveFloat()


@pytest.mark.parametrize(
    "method, arguments, events, whole",
    [
        ("beta.chat.completions.stream", CHAT, chat_chunks(), chat_completion()),
        ("responses.stream", RESPONSE, response_events(), response()),
    ],
    ids=["chat", "responses"],
)
def test_stream_helper(caller, scripted, reports, method, arguments, events, whole):
    """The `stream()` helpers are reported as the streams that they read."""
    scripted.stream(events)
    manager = caller.client
    for name in method.split("."):
        manager = getattr(manager, name, None) or getattr(caller.client.chat.completions, name)
    manager = manager(**arguments)
    stream = caller.enter(manager)
    caller.iterate(stream)
    caller.leave(manager)
    [report] = reports
    assert same_but_usage_and_annotations({**report.respPayload}) == same_but_usage_and_annotations(
        whole
    )
    assert report.errorMessage is None


def test_streaming_response(caller, scripted, reports):
    """`with_streaming_response` is reported when its body has been read."""
    scripted.json(chat_completion())
    manager = caller.client.chat.completions.with_streaming_response.create(**CHAT)
    answer = caller.enter(manager)
    assert reports == []
    assert caller.run(answer.json()) == chat_completion()
    caller.leave(manager)
    [report] = reports
    assert report.respPayload == chat_completion()
    assert report.errorMessage is None


def test_raw_stream_parsed_later(caller, scripted, reports):
    """A raw response of a stream is reported when the stream that it gives is read."""
    scripted.stream(chat_chunks("Hello there"))
    raw = caller("chat.completions.with_raw_response.create", **CHAT, stream=True)
    caller.iterate(caller.run(raw.parse()))
    [report] = reports
    assert report.respPayload["choices"][0]["message"]["content"] == "Hello there"


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions?trace=1"])
def test_post(make_caller, scripted, reports, path):
    """A call by `client.post` is reported by the end of its path, whatever its query."""
    caller = make_caller(base_url=scripted.root)
    scripted.json(chat_completion())
    assert caller("post", path, cast_to=object, body=CHAT) == chat_completion()
    [report] = reports
    assert report.reqPayload == CHAT
    assert report.tags["$endpoint"] == "chat/completions"


@pytest.mark.parametrize(
    "method, arguments",
    [
        ("models.list", {}),
        ("embeddings.create", {"model": "m", "input": "x", "encoding_format": "float"}),
        ("chat.completions.retrieve", {"completion_id": "c"}),
    ],
)
def test_other_calls_are_not_reported(caller, scripted, reports, method, arguments):
    """Calls of other endpoints go through and leave no report."""
    scripted.json({"object": "list", "data": []})
    caller(method, **arguments)
    assert reports == []


def test_endpoint_by_name(make_caller, scripted, monkeypatch, reports):
    """`endpoints` adds what is not reported by default."""
    caller = make_caller(openpipe={"base_url": "http://x", "endpoints": "embeddings"})
    scripted.json({"object": "list", "data": [], "model": "m"})
    caller("embeddings.create", model="m", input="x", encoding_format="float")
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT)
    assert [report.tags["$endpoint"] for report in reports] == ["embeddings"]


def test_azure(make_caller, scripted, reports):
    """Azure's client is reported with the path and the body that it sends."""
    caller = make_caller(
        cls="AzureOpenAI", base_url=None, azure_endpoint=scripted.root, api_version="2024-10-21"
    )
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT)
    assert scripted.requests[0].path.endswith("/deployments/gpt-4o-mini/chat/completions")
    [report] = reports
    assert report.reqPayload == scripted.requests[0].json()
    assert report.respPayload == chat_completion()


# Failures


@pytest.mark.parametrize(
    "status, body, error, message",
    [
        (400, api_error("bad"), openai.BadRequestError, "bad"),
        (401, api_error("no key"), openai.AuthenticationError, "no key"),
        (404, {"detail": "Not Found"}, openai.NotFoundError, "Not Found"),
        (429, api_error("slow down"), openai.RateLimitError, "slow down"),
        (500, {"unexpected": 1}, openai.InternalServerError, "HTTP status 500"),
    ],
    ids=[400, 401, 404, 429, 500],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_error_status(caller, scripted, reports, status, body, error, message, stream):
    """A refused call raises openai's error and is reported with its status, body and message."""
    scripted.json(body, status)
    with pytest.raises(error):
        caller("chat.completions.create", **CHAT, stream=stream)
    [report] = reports
    assert (report.statusCode, report.respPayload, report.errorMessage) == (status, body, message)


def test_client_that_signs_requests_anew(make_caller, scripted, reports):
    """Where an HTTP client sends another request object, its error keeps status and body."""
    library = httpx_of_openai()
    caller = make_caller()

    def signed(client, request):
        headers = {**request.headers, "X-Signature": "abc"}
        return client.build_request(
            request.method, request.url, content=request.content, headers=headers
        )

    class Client(library.Client):
        def send(self, request, **options):
            return super().send(signed(self, request), **options)

    class AsyncClient(library.AsyncClient):
        async def send(self, request, **options):
            return await super().send(signed(self, request), **options)

    client = (AsyncClient if caller.is_async else Client)()
    caller.client = caller.client.with_options(http_client=client)
    scripted.json(api_error("bad"), 400)
    with pytest.raises(openai.BadRequestError):
        caller("chat.completions.create", **CHAT)
    [report] = reports
    assert (report.statusCode, report.respPayload) == (400, api_error("bad"))
    assert report.errorMessage == "bad"


def test_openai_retries_are_one_call(make_caller, scripted, reports):
    """openai's own retries are inside one report, which counts them."""
    caller = make_caller(max_retries=2)
    for _ in range(2):
        scripted.json(api_error("busy"), 503, [("retry-after-ms", "1")])
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT)
    [report] = reports
    assert report.statusCode == 200
    assert report.errorMessage is None
    assert report.tags["$retries"] == 2


def test_no_connection(make_caller, scripted, reports):
    """Without any answer there is no status; the message names the cause."""
    caller = make_caller(base_url="http://127.0.0.1:1/v1")
    with pytest.raises(openai.APIConnectionError):
        caller("chat.completions.create", **CHAT)
    [report] = reports
    assert "statusCode" not in report.to_wire()
    assert "respPayload" not in report.to_wire()
    assert report.reqPayload == CHAT
    assert report.errorMessage.startswith("APIConnectionError: Connection error. (ConnectError:")


def test_timeout(make_caller, scripted, reports):
    """A call that times out says so."""
    caller = make_caller(timeout=0.05)
    release = scripted.silence()
    with pytest.raises(openai.APITimeoutError):
        caller("chat.completions.create", **CHAT)
    release.set()
    [report] = reports
    assert report.errorMessage.startswith("APITimeoutError: Request timed out. (ReadTimeout")


def test_failure_before_the_request(caller, scripted, reports):
    """A call that fails before a request exists is reported with what was to be sent."""

    def refuse(*args, **kwargs):
        raise ZeroDivisionError("in a hook")

    caller.client._prepare_options = refuse
    with pytest.raises(ZeroDivisionError):
        caller("chat.completions.create", **CHAT)
    [report] = reports
    assert report.reqPayload == CHAT
    assert report.errorMessage == "ZeroDivisionError: in a hook"
    assert report.statusCode is None


def test_failure_after_the_answer(caller, scripted, reports):
    """An error that openai raises inside the call stands beside the status and the answer."""
    answer = chat_completion('{"city":', finish_reason="length")
    scripted.json(answer)
    with pytest.raises(openai.LengthFinishReasonError):
        caller("beta.chat.completions.parse", **CHAT, response_format=City)
    [report] = reports
    assert (report.statusCode, report.respPayload) == (200, answer)
    assert report.errorMessage.startswith("LengthFinishReasonError: ")


async def test_cancellation(scripted, reports):
    """A cancelled call is reported as such, and stays cancelled."""
    release = scripted.silence()
    async with openpipe_report.AsyncOpenAI(
        base_url=scripted.base_url, api_key="sk-test", max_retries=0
    ) as client:
        task = asyncio.create_task(client.chat.completions.create(**CHAT))
        await asyncio.to_thread(scripted.wait_for_requests, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    release.set()
    [report] = reports
    assert report.errorMessage == "CancelledError"
    assert report.reqPayload == CHAT
    assert report.statusCode is None


@pytest.mark.parametrize(
    "body, content_type, expected",
    [
        (b"<html>Bad gateway</html>", "text/html", "<html>Bad gateway</html>"),
        ("é".encode("latin-1"), "text/plain; charset=latin-1", "é"),
        (b"", "application/json", None),
        (b"\xff\xfe", "text/plain", "��"),
    ],
    ids=["html", "charset", "empty", "bytes"],
)
def test_answer_that_is_not_json(caller, scripted, reports, body, content_type, expected):
    """A body that is no JSON is reported as a string, an empty one as null."""
    scripted.raw(body, 502, content_type=content_type)
    with pytest.raises(openai.InternalServerError):
        caller("chat.completions.create", **CHAT)
    [report] = reports
    assert report.to_wire()["respPayload"] == expected
    assert report.statusCode == 502


def test_request_that_is_not_json(caller, scripted, reports):
    """A body that can be read once only reaches the server whole, and is described."""
    if "content" not in inspect.signature(caller.client.post).parameters:
        pytest.skip("this openai has no content=")
    scripted.json(chat_completion())
    content = iter([b'{"model":', b'"m"}'])
    if caller.is_async:
        content = _async_iterator(content)
    caller("post", "/chat/completions", cast_to=object, content=content)
    assert scripted.requests[0].body == b'{"model":"m"}'
    [report] = reports
    assert report.reqPayload["body"].endswith(", not kept>")


async def _async_iterator(items):
    for item in items:
        yield item


def test_body_that_is_no_object(caller, scripted, reports):
    """A request body that is no object is reported beside its metadata."""
    scripted.json(chat_completion())
    with metadata(user="u1"):
        caller("post", "/chat/completions", cast_to=object, body=["x"])
    assert reports[0].reqPayload == {"body": ["x"], "metadata": {"user": "u1"}}


# Metadata


@pytest.mark.parametrize(
    "arguments, upstream",
    [
        ({"metadata": {"u": "1"}}, None),
        ({"metadata": {"u": "1"}, "store": False}, None),
        ({"metadata": {"u": "1"}, "store": True}, {"u": "1"}),
        ({"metadata": {"u": "1"}, "extra_body": {"store": True}}, {"u": "1"}),
        ({"extra_body": {"metadata": {"u": "1"}}}, {"u": "1"}),
    ],
    ids=["bare", "store-false", "store", "store-in-extra-body", "extra-body"],
)
@pytest.mark.parametrize("how", ["on", "off", "opted-out"])
def test_metadata_of_chat(caller, scripted, reports, arguments, upstream, how, monkeypatch):
    """Metadata is in the report, and upstream only where OpenAI takes it, reporting or not."""
    scripted.json(chat_completion())
    if how == "off":
        monkeypatch.setattr(openpipe_report._delivery.destination, "capture_stack", [])
    with metadata(report=how == "on"):
        caller("chat.completions.create", **CHAT, **arguments)
    assert scripted.requests[0].json().get("metadata") == upstream
    assert [report.reqPayload["metadata"] for report in reports] == [{"u": "1"}] * (how == "on")


def test_forward_metadata(make_caller, scripted, reports):
    """`forward_metadata` sends all metadata upstream."""
    caller = make_caller(openpipe={"base_url": "http://x", "forward_metadata": True})
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT, metadata={"u": "1"})
    assert scripted.requests[0].json()["metadata"] == {"u": "1"}
    assert reports[0].reqPayload["metadata"] == {"u": "1"}


def test_metadata_of_responses(caller, scripted, reports):
    """The Responses API takes metadata itself: it is sent and reported."""
    scripted.json(response())
    caller("responses.create", **RESPONSE, metadata={"u": "1"})
    assert scripted.requests[0].json()["metadata"] == {"u": "1"}
    assert reports[0].reqPayload["metadata"] == {"u": "1"}


def test_metadata_is_joined(caller, scripted, reports):
    """Blocks and spans label the calls inside; the call's own labels win."""
    scripted.json(chat_completion())
    with metadata(a="outer", b="outer"), span("work", metadata={"b": "span", "c": "span"}) as work:
        caller("chat.completions.create", **CHAT, metadata={"c": "call"})
    call, outer = reports
    assert {"a": "outer", "b": "span", "c": "call"}.items() <= call.reqPayload["metadata"].items()
    assert call.tags["$trace_id"] == work.trace_id
    assert call.tags["$parent_span_id"] == work.span_id
    assert outer.tags["$span_id"] == work.span_id


def test_openpipe_in_extra_body(caller, scripted, reports):
    """`extra_body={"openpipe": ...}` stays with us: tags, metadata, opting out."""
    for _ in range(2):
        scripted.json(chat_completion())
    ours = {"tags": {"prompt": "p1", "$endpoint": "mine"}, "metadata": {"m": 1}}
    caller("chat.completions.create", **CHAT, extra_body={"openpipe": ours, "top_k": 3})
    caller("chat.completions.create", **CHAT, extra_body={"openpipe": {"log_request": False}})
    assert scripted.requests[0].json() == {**CHAT, "top_k": 3}
    assert scripted.requests[1].json() == CHAT
    [report] = reports
    assert report.tags["prompt"] == "p1"
    assert report.tags["$endpoint"] == "chat/completions"
    assert report.reqPayload == {**CHAT, "top_k": 3, "metadata": {"m": 1}}


def test_callers_arguments_are_not_changed(caller, scripted, reports):
    """Neither the arguments nor what they hold are changed."""
    body, labels = {"top_k": 1, "openpipe": {"tags": {}}}, {"u": "1"}
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT, extra_body=body, metadata=labels)
    assert body == {"top_k": 1, "openpipe": {"tags": {}}}
    assert labels == {"u": "1"}


def test_messages_changed_afterwards(caller, scripted, reports):
    """The report has what was sent, though the caller goes on to change the list."""
    messages = list(MESSAGES)
    scripted.stream(chat_chunks())
    stream = caller("chat.completions.create", model="m", messages=messages, stream=True)
    messages.append({"role": "user", "content": "more"})
    caller.iterate(stream)
    assert reports[0].reqPayload["messages"] == MESSAGES


# Calls inside calls, and copies


def test_call_inside_a_call(make_caller, scripted, reports):
    """A call made by a hook of another is its own, and neither is taken for the other."""
    outer = make_caller()
    inner = type(outer.client)(base_url=scripted.base_url, api_key="sk-inner")
    seen = []

    def queue():
        scripted.json({"object": "list", "data": []})
        scripted.json(completion())
        scripted.json(chat_completion())

    def hook(request):
        if not seen:
            seen.append(request)
            queue()
            inner.models.list()
            inner.completions.create(**LEGACY)

    async def async_hook(request):
        if not seen:
            seen.append(request)
            queue()
            await inner.models.list()
            await inner.completions.create(**LEGACY)

    outer.client._client.event_hooks = {"request": [async_hook if outer.is_async else hook]}
    outer("chat.completions.create", **CHAT)
    outer.run(inner.close())
    assert [report.tags["$endpoint"] for report in reports] == ["completions", "chat/completions"]
    assert [report.reqPayload for report in reports] == [LEGACY, CHAT]
    assert [report.respPayload for report in reports] == [completion(), chat_completion()]


def test_error_of_another_call_is_not_taken_for_ours(make_caller, scripted, reports):
    """What an `_prepare_options` hook raises from a call of its own is not our answer."""
    outer = make_caller()
    inner = outer.client.copy()
    scripted.json(api_error("inner"), 401)

    def prepare(options):
        inner.models.list()

    async def async_prepare(options):
        await inner.models.list()

    outer.client._prepare_options = async_prepare if outer.is_async else prepare
    with pytest.raises(openai.AuthenticationError):
        outer("chat.completions.create", **CHAT)
    [report] = reports
    assert report.statusCode is None
    assert report.reqPayload == CHAT


@pytest.mark.parametrize("copy", ["copy", "with_options"])
def test_copies_report_as_their_original(make_caller, scripted, copy, caplog):
    """A copy reports through the reporter of its original, unless told otherwise."""
    reporter = openpipe_report.Reporter(base_url="http://127.0.0.1:9/api/v1")
    caller = make_caller(reporter=reporter)
    made = getattr(caller.client, copy)(timeout=7)
    assert made.timeout == 7
    assert made._openpipe_config.configured_reporter is reporter
    other = getattr(caller.client, copy)(openpipe={"base_url": "http://127.0.0.1:8/api/v1"})
    assert other._openpipe_config.configured_reporter is not reporter
    assert type(made) is type(caller.client)
    assert caplog.records == []


def test_copy_of_a_subclass_with_its_own_constructor(scripted):
    """A subclass that knows nothing of our parameters can be copied all the same."""

    class Mine(openpipe_report.OpenAI):
        def __init__(self, *, api_key=None, base_url=None, **others):
            others.pop("openpipe", None)
            super().__init__(api_key=api_key, base_url=base_url, **others)

    reporter = openpipe_report.Reporter(base_url="http://127.0.0.1:9/api/v1")
    with Mine(api_key="sk-test", base_url=scripted.base_url, reporter=reporter) as client:
        assert client.with_options(timeout=1)._openpipe_config.configured_reporter is reporter


def test_equal_settings_share_a_reporter(make_caller):
    """Clients with equal settings share one reporter."""
    links = [
        make_caller(openpipe={"base_url": url}).client._openpipe_config
        for url in ("http://127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:8")
    ]
    assert links[0].configured_reporter is links[1].configured_reporter
    assert links[0].configured_reporter is not links[2].configured_reporter


# Construction


def test_off_without_a_destination(make_caller, scripted, caplog):
    """Without key and base URL calls work, and one line says that reporting is off."""
    for _ in range(2):
        caller = make_caller()
        scripted.json(chat_completion())
        caller("chat.completions.create", **CHAT)
    ours = [record for record in caplog.records if record.name == "openpipe_report"]
    assert len(ours) == 1
    assert "OPENPIPE_API_KEY" in ours[0].getMessage()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"openpipe": {"base_url": "x"}}, "base_url: must be an http(s) URL"),
        ({"openpipe": {"bse_url": "x"}}, "unknown setting bse_url"),
        ({"openpipe": "x"}, "openpipe= must be a dict"),
        ({"reporter": "x"}, "reporter= must be a Reporter"),
        ({"reporter": object(), "openpipe": {}}, "not both"),
    ],
)
def test_wrong_settings_raise_at_once(make_caller, arguments, message):
    """A wrong setting raises where the client is made, and names the setting."""
    with pytest.raises(SettingsError) as raised:
        make_caller(**arguments)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"])
def test_class(name):
    """Ours are openai's: subclasses with the same name, module, and parameters plus two."""
    ours, theirs = getattr(openpipe_report, name), getattr(openai, name)
    assert issubclass(ours, theirs)
    assert ours.__name__ == theirs.__name__
    for method in ("__init__", "copy", "with_options"):
        expected = list(inspect.signature(getattr(theirs, method)).parameters)
        assert list(inspect.signature(getattr(ours, method)).parameters) == [
            *expected,
            "openpipe",
            "reporter",
        ]
    parent = openpipe_report.AsyncOpenAI if "Async" in name else openpipe_report.OpenAI
    assert issubclass(ours, parent)


def test_upstream_request_is_the_bare_clients(make_caller, scripted, reports):
    """Every header and byte of the request is what the bare client sends."""
    from conftest import Caller

    ours = make_caller()
    bare = Caller("async" if ours.is_async else "sync", package=openai, base_url=scripted.base_url)
    for caller in (ours, bare):
        scripted.json(chat_completion())
        caller("chat.completions.create", **CHAT, temperature=0.5)
        scripted.stream(chat_chunks())
        caller.iterate(caller("chat.completions.create", **CHAT, stream=True))
        scripted.json(response())
        caller("responses.create", **RESPONSE, metadata={"u": "1"})
    bare.close()
    mine, theirs = scripted.requests[:3], scripted.requests[3:]
    for one, other in zip(mine, theirs, strict=True):
        assert (one.method, one.target, one.body) == (other.method, other.target, other.body)
        assert one.headers == other.headers


def test_key_in_an_error(make_caller, scripted, reports):
    """A key that httpx quotes in its error is not in the report."""
    caller = make_caller(api_key="sk-secret-123\n")
    with pytest.raises(openai.APIConnectionError):
        caller("chat.completions.create", **CHAT)
    [report] = reports
    assert "secret" not in report.to_json().decode()
    assert "LocalProtocolError" in report.errorMessage


def test_error_without_a_text(caller, scripted, reports):
    """An exception whose text cannot be had is named."""

    class EvilError(Exception):
        def __str__(self):
            raise RuntimeError

    def refuse(options):
        raise EvilError

    caller.client._prepare_options = refuse
    with pytest.raises(EvilError):
        caller("chat.completions.create", **CHAT)
    assert reports[0].errorMessage == "EvilError"


@pytest.mark.parametrize(
    "ours, count",
    [(5, 0), (None, 1), ({"tags": 5, "metadata": "x"}, 0), ({"tags": {"t": 1e999}}, 1)],
)
def test_odd_openpipe_argument(caller, scripted, reports, ours, count):
    """Whatever stands under `openpipe`, the call is made without it; reported if understood."""
    scripted.json(chat_completion())
    caller("chat.completions.create", **CHAT, extra_body={"openpipe": ours})
    assert scripted.requests[0].json() == CHAT
    assert len(reports) == count


def test_metadata_that_openai_cannot_send(caller, scripted, reports):
    """Metadata that is no JSON raises as it does without us."""
    with pytest.raises(TypeError):
        caller("chat.completions.create", **CHAT, metadata={"k": object()})


def test_copy_of_a_subclass_that_chooses_its_settings(scripted):
    """A reporter asked for in `copy()` wins over what a subclass's constructor chooses."""

    class Mine(openpipe_report.OpenAI):
        def __init__(self, **arguments):
            super().__init__(**arguments, openpipe={"base_url": "http://127.0.0.1:7"})

    reporter = openpipe_report.Reporter(base_url="http://127.0.0.1:9")
    with Mine(api_key="sk-test", base_url=scripted.base_url) as client:
        assert client.copy(reporter=reporter)._openpipe_config.configured_reporter is reporter


def test_reprs_show_no_payload(caller, scripted, reports, monkeypatch):
    """What a debugger shows of our locals holds no prompt."""
    seen = []
    finish = openpipe_report._capture.call.Call._finish
    monkeypatch.setattr(
        openpipe_report._capture.call.Call,
        "_finish",
        lambda self: (seen.append(repr(self)), finish(self)),
    )
    scripted.json(chat_completion("secret"))
    caller("chat.completions.create", model="secret", messages=[])
    assert len(seen) == 1
    assert "secret" not in seen[0]
