"""The scripted server speaks OpenAI's protocol: openai's own client is content with it."""

from __future__ import annotations

import contextlib
import http.client
import threading

import openai
import pytest
from support import shapes
from support.scripted_openai import Fault, Reply, ScriptedOpenAI

MESSAGES = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES}


@pytest.fixture
def server():
    with ScriptedOpenAI() as scripted:
        yield scripted


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0) as bare:
        yield bare


def async_client(server):
    return openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0)


def text_of(chunks):
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)


def stream_chat(client):
    """The `stream()` helper, which was under `beta` before openai 1.92."""
    chat = client.chat.completions
    return chat.stream if hasattr(chat, "stream") else client.beta.chat.completions.stream


def failure_of(stream):
    """The transport's own words; openai 3 puts an APIConnectionError around them."""
    with pytest.raises(Exception) as caught:
        next(stream)
    return str(caught.value.__cause__ or caught.value)


def test_json(server, client):
    """The client gets what was queued, and the request is kept as it came."""
    server.json(shapes.chat_completion("Hello!"), headers=[("x-request-id", "req_1")])
    got = client.chat.completions.create(**CHAT, extra_query={"a": "1"})
    assert got.to_dict() == shapes.chat_completion("Hello!")
    assert got._request_id == "req_1"
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/v1/chat/completions?a=1")
    assert request.header("AUTHORIZATION") == "Bearer sk-test"
    assert request.header("content-type") == "application/json"
    assert request.json() == CHAT
    assert str(len(request.body)) == request.header("content-length")


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_stream(server, client, gzip):
    """Chunks, usage and [DONE] arrive, packed or not."""
    server.stream(shapes.chat_chunks("one two three", n=2, usage=shapes.usage()), gzip=gzip)
    chunks = list(client.chat.completions.create(**CHAT, stream=True))
    assert text_of(chunks) == "oneone two two three three"
    assert chunks[-1].usage.total_tokens == 21
    server.json(shapes.chat_completion(), gzip=gzip)
    assert client.chat.completions.create(**CHAT).choices[0].message.content == "Hello!"


async def test_stream_async(server):
    """The async client reads the same."""
    server.stream(shapes.chat_chunks("one two"))
    async with async_client(server) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        assert text_of([chunk async for chunk in stream]) == "one two"
        server.json(shapes.api_error(), status=404)
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.chat.completions.create(**CHAT)


def test_gate(server, client):
    """An event holds a stream open: what was sent before it has arrived, the rest has not."""
    gate = threading.Event()
    first, *rest = shapes.chat_chunks("one two")
    server.stream([first, gate, *rest])
    stream = client.chat.completions.create(**CHAT, stream=True)
    assert next(stream).to_dict() == first
    gate.set()
    assert [chunk.to_dict() for chunk in stream] == rest


def test_closing_releases_gates(server, client):
    """Leaving cuts connections that wait for an event which nobody sets."""
    first = shapes.chat_chunks()[0]
    server.stream([first, threading.Event()])
    stream = client.chat.completions.create(**CHAT, stream=True)
    next(stream)
    server.close()
    assert "incomplete chunked read" in failure_of(stream)


@pytest.mark.parametrize("fault", Fault)
def test_fault_instead_of_an_answer(server, client, fault):
    """A connection that ends without an answer is a connection error."""
    server.fault(fault)
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**CHAT)


@pytest.mark.parametrize(
    "fault, why",
    [(Fault.CLOSE, "incomplete chunked read"), (Fault.RESET, "reset by peer")],
    ids=["close", "reset"],
)
def test_fault_in_a_stream(server, client, fault, why):
    """A stream that breaks off gives what came before, then an error of the transport."""
    first, second, *_ = shapes.chat_chunks("one two")
    read = threading.Event()
    server.stream([first, second, read, fault])
    stream = client.chat.completions.create(**CHAT, stream=True)
    assert [next(stream).to_dict(), next(stream).to_dict()] == [first, second]
    read.set()
    assert why in failure_of(stream)


def test_fault_in_a_body(server, client):
    """A body that is shorter than its length is an error too."""
    headers = [("Content-Type", "application/json")]
    server.reply(Reply([b'{"id":', Fault.CLOSE], headers=headers, length=100))
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**CHAT)


def test_silence(server, client):
    """A server that never answers leads to a timeout."""
    release = server.silence()
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.05).chat.completions.create(**CHAT)
    assert server.wait_for_requests(1)[0].json() == CHAT
    release.set()


def test_redirect(server, client):
    """openai's client follows a 307 with the same body."""
    server.redirect("/v1/elsewhere")
    server.json(shapes.chat_completion())
    client.chat.completions.create(**CHAT)
    assert [request.path for request in server.requests] == [
        "/v1/chat/completions",
        "/v1/elsewhere",
    ]
    assert server.requests[0].body == server.requests[1].body


def test_tool_calls(server, client):
    """openai's accumulator makes of the chunks what the unstreamed answer holds."""
    calls = [shapes.tool_call(), shapes.tool_call("time", "{}", number=1)]
    server.stream(shapes.tool_call_chunks(*calls))
    tools = [{"type": "function", "function": {"name": name}} for name in ("weather", "time")]
    with stream_chat(client)(**CHAT, tools=tools) as stream:
        message = stream.get_final_completion().choices[0].message
    got = [call.to_dict() for call in message.tool_calls]
    for call in got:
        call["function"].pop("parsed_arguments", None)
        call.pop("index", None)
    assert got == calls


def test_refusal(server, client):
    """A streamed refusal arrives as one."""
    server.stream(shapes.refusal_chunks("I cannot."))
    with stream_chat(client)(**CHAT) as stream:
        assert stream.get_final_completion().choices[0].message.refusal == "I cannot."


def test_completions(server, client):
    """Legacy completions, whole and streamed."""
    server.json(shapes.completion(" there was"))
    server.stream(shapes.completion_chunks(" there was", usage=shapes.usage()))
    whole = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once")
    assert whole.to_dict() == shapes.completion(" there was")
    pieces = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", stream=True)
    assert "".join(c.text for chunk in pieces for c in chunk.choices) == " there was"


def test_responses(server, client):
    """Responses, whole and through openai's own accumulator."""
    server.json(shapes.response("Hello you!"))
    server.stream(shapes.response_events("Hello you!"))
    whole = client.responses.create(model="gpt-4o-mini", input="Hi")
    assert whole.to_dict() == shapes.response("Hello you!")
    with client.responses.stream(model="gpt-4o-mini", input="Hi") as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_text == whole.output_text == "Hello you!"
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


def test_otherwise_answers_what_is_not_queued(server, client):
    """`otherwise` may look at the request."""
    server.otherwise = lambda request: Reply(
        [request.body], headers=[("Content-Type", "application/json")], length=len(request.body)
    )
    assert client.post("/echo", cast_to=object, body={"a": 1}) == {"a": 1}
    assert client.post("/echo", cast_to=object, body={"b": 2}) == {"b": 2}
    assert [request.connection for request in server.requests] == [0, 0]


def test_chunked_request(server):
    """A request without a length is read to its end."""
    server.json({"ok": True})
    connection = http.client.HTTPConnection(server.root.removeprefix("http://"))
    with contextlib.closing(connection):
        connection.request("POST", "/v1/echo", body=iter([b"[1,", b"2]"]), encode_chunked=True)
        assert connection.getresponse().read() == b'{"ok": true}'
    assert server.requests[0].json() == [1, 2]


def test_unexpected_request_fails_the_test():
    """A request that no reply was queued for is told on leaving."""
    server = ScriptedOpenAI()
    server.__enter__()
    client = openai.OpenAI(base_url=server.base_url, api_key="sk-test")
    with client, pytest.raises(openai.InternalServerError):
        client.models.list()
    assert len(server.requests) == 1
    with pytest.raises(AssertionError, match="GET /v1/models"):
        server.__exit__(None, None, None)
