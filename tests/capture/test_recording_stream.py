"""Every way in which a stream can end gives one report, with what had come and how it ended."""

from __future__ import annotations

import asyncio
import gc
import threading

import openai
import pytest
from support.callers import BROKEN_STREAM
from support.scripted_openai import Fault
from support.shapes import (
    api_error,
    chat_chunk,
    chat_chunks,
    delta,
    response,
    response_events,
)

import openpipe_report
from openpipe_report._capture import recording_stream
from openpipe_report.testing import captured_reports

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
CHUNKS = chat_chunks("One two three")
LEFT = "stream closed before completion"


def text_of(report):
    return report.respPayload["choices"][0]["message"]["content"]


def finish_reason_of(report):
    return report.respPayload["choices"][0]["finish_reason"]


@pytest.fixture
def held(scripted):
    """A stream that stands still after its second chunk, until the event is set."""
    release = threading.Event()
    scripted.stream([*CHUNKS[:2], release, *CHUNKS[2:]])
    yield release
    release.set()


def begin(caller, **arguments):
    """Begin the held stream, and read what is there of it."""
    stream = caller("chat.completions.create", **CHAT, **arguments)
    for _ in range(2):
        caller.next(stream)
    return stream


def collect(caller):
    """Let go of what nobody holds, and let an event loop close what it finds so."""
    for _ in range(10):
        gc.collect()
        if caller.is_async:
            caller.run(asyncio.sleep(0))


def test_exhausted(caller, scripted, reports):
    """A stream that is read to its end is complete."""
    scripted.stream(CHUNKS)
    caller.iterate(caller("chat.completions.create", **CHAT))
    [report] = reports
    assert (text_of(report), finish_reason_of(report)) == ("One two three", "stop")
    assert (report.statusCode, report.errorMessage) == (200, None)


def test_left_and_collected(caller, held, reports):
    """A stream that was left is reported once it is collected."""
    stream = begin(caller)
    assert reports == []
    del stream
    collect(caller)
    [report] = reports
    assert (text_of(report), finish_reason_of(report)) == ("One", None)
    assert (report.statusCode, report.errorMessage) == (200, LEFT)


def test_closed(caller, held, reports):
    """A stream that was closed is reported at once, and only once."""
    stream = begin(caller)
    caller.run(stream.close())
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One", LEFT)
    caller.run(stream.close())
    del stream
    collect(caller)
    assert len(reports) == 1


def test_left_by_with(caller, held, reports):
    """Leaving `with` closes the stream."""
    stream = begin(caller)
    caller.enter(stream)
    caller.leave(stream)
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One", LEFT)


def test_with_left_by_an_error(caller, held, reports):
    """An exception that leaves `with` is named."""

    def work():
        with stream:
            raise ValueError("too long")

    async def async_work():
        async with stream:
            raise ValueError("too long")

    stream = begin(caller)
    with pytest.raises(ValueError, match="too long"):
        caller.run(async_work()) if caller.is_async else work()
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One", "ValueError: too long")


def test_closed_while_another_error_is_handled(caller, held, reports):
    """An exception that has nothing to do with the stream is not named."""
    stream = begin(caller)
    try:
        raise ValueError("elsewhere")
    except ValueError:
        caller.run(stream.close())
    assert reports[0].errorMessage == LEFT


def test_error_in_the_loop(caller, held, reports):
    """An exception in the caller's loop leaves the stream."""

    def work(stream):
        for _ in stream:
            raise ValueError

    async def async_work(stream):
        async for _ in stream:
            raise ValueError

    work = async_work if caller.is_async else work
    with pytest.raises(ValueError):
        caller.run(work(caller("chat.completions.create", **CHAT)))
    collect(caller)
    [report] = reports
    assert report.errorMessage == LEFT


def test_error_event(caller, scripted, reports):
    """An error inside a stream of status 200 is the report's message."""
    scripted.stream([*CHUNKS[:2], api_error("overloaded")], done=False)
    with pytest.raises(openai.APIError):
        caller.iterate(caller("chat.completions.create", **CHAT))
    collect(caller)  # until openai 2 the stream was left open
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One", "overloaded")
    assert report.statusCode == 200
    assert report.respPayload["error"] == api_error("overloaded")["error"]


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_connection_lost(caller, scripted, reports, fault):
    """A connection that breaks is named; what had come is kept."""
    gate = threading.Event()
    scripted.stream([*CHUNKS[:2], gate, fault], done=False)
    stream = begin(caller)
    gate.set()
    with pytest.raises(BROKEN_STREAM):
        caller.iterate(stream)
    [report] = reports
    assert text_of(report) == "One"
    assert report.errorMessage.startswith(
        "RemoteProtocolError: " if fault is Fault.CLOSE else "ReadError"
    )


def test_connection_lost_after_the_last_finish_reason(caller, scripted, reports):
    """A connection that breaks before `[DONE]` is named, though every choice was finished."""
    gate = threading.Event()
    last = chat_chunk(delta(0, content="One", finish_reason="stop"))
    scripted.stream([last, gate, Fault.CLOSE], done=False)
    stream = caller("chat.completions.create", **CHAT)
    gate.set()
    with pytest.raises(BROKEN_STREAM):
        caller.iterate(stream)
    [report] = reports
    assert report.respPayload["choices"][0]["finish_reason"] == "stop"
    assert report.errorMessage.startswith("RemoteProtocolError: ")


def test_timeout_of_the_stream(make_caller, held, reports):
    """A stream that stands still for too long ends by its timeout."""
    caller = make_caller(timeout=0.05)
    stream = begin(caller)
    with pytest.raises(BROKEN_STREAM):
        caller.iterate(stream)
    [report] = reports
    assert text_of(report) == "One"
    assert report.errorMessage.startswith("ReadTimeout")


async def test_cancelled_iteration(held, scripted, reports):
    """A stream whose reading is cancelled says so."""
    began = asyncio.Event()

    async def read():
        async for chunk in await client.chat.completions.create(**CHAT):
            if chunk.choices[0].delta.content:
                began.set()

    async with openpipe_report.AsyncOpenAI(
        base_url=scripted.base_url, api_key="sk-test", max_retries=0
    ) as client:
        task = asyncio.create_task(read())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One", "CancelledError")


def test_never_iterated(caller, held, reports):
    """A stream that nobody reads is reported when it is collected."""
    caller("chat.completions.create", **CHAT)
    collect(caller)
    [report] = reports
    assert (report.statusCode, report.respPayload, report.errorMessage) == (200, None, LEFT)


def test_open_at_flush(caller, held):
    """A flush in the middle of reading leaves the stream alone: nothing of the record is cut."""
    with captured_reports() as reports:
        stream = begin(caller)
        reporter = caller.client._openpipe_config.reporter
        assert reporter.stats().open_streams == 1
        reporter.flush(0)
        flusher = threading.Thread(target=reporter.flush, args=(0,))
        flusher.start()
        flusher.join()
        assert reports == []
        held.set()
        assert len(caller.iterate(stream)) == len(CHUNKS) - 2
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One two three", None)


async def test_flush_beside_a_task_that_reads(held, scripted):
    """A flush in one task does not cut the stream that another is reading."""
    began = asyncio.Event()

    async def read():
        async for chunk in await client.chat.completions.create(**CHAT):
            if chunk.choices[0].delta.content:
                began.set()

    with captured_reports() as reports:
        async with openpipe_report.AsyncOpenAI(
            base_url=scripted.base_url, api_key="sk-test", max_retries=0
        ) as client:
            task = asyncio.create_task(read())
            await began.wait()
            client._openpipe_config.reporter.flush(0)
            held.set()
            await task
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One two three", None)


def test_open_at_the_end(caller, held):
    """What is still open at the end is reported as it stands."""
    with captured_reports() as reports:
        stream = begin(caller)
    [report] = reports
    assert (text_of(report), report.errorMessage) == ("One", "stream still open at exit")
    caller.run(stream.close())


def test_closed_after_the_terminal_event(caller, scripted, reports):
    """After the terminal event no close changes the outcome."""
    gate = threading.Event()
    scripted.stream([*response_events("Done"), gate], done=False)
    stream = caller("responses.create", model="m", input="Hi", stream=True)
    while caller.next(stream).type != "response.completed":
        pass
    caller.run(stream.close())
    gate.set()
    [report] = reports
    assert report.respPayload == response("Done")
    assert report.errorMessage is None


@pytest.mark.parametrize("ends", [True, False], ids=["finished", "cut"])
def test_without_done(caller, scripted, reports, ends):
    """Without `[DONE]` a stream is whole if each choice has its finish_reason."""
    scripted.stream(CHUNKS if ends else CHUNKS[:2], done=False)
    caller.iterate(caller("chat.completions.create", **CHAT))
    [report] = reports
    assert report.errorMessage == (None if ends else "stream ended before completion")


def test_cut_response(caller, scripted, reports):
    """A response that was cut is what its events add up to."""
    gate = threading.Event()
    events = response_events("One two three")
    scripted.stream([*events[:6], gate, Fault.CLOSE])
    stream = caller("responses.create", model="m", input="Hi", stream=True)
    for _ in range(6):
        caller.next(stream)
    caller.run(stream.close())
    gate.set()
    [report] = reports
    assert report.respPayload["status"] == "in_progress"
    assert report.respPayload["output"][0]["content"] == [
        {"type": "output_text", "text": "One two", "annotations": [], "logprobs": []}
    ]
    assert report.errorMessage == LEFT


def test_gzip(caller, scripted, reports):
    """A compressed stream is decoded for the report."""
    scripted.stream(CHUNKS, gzip=True)
    caller.iterate(caller("chat.completions.create", **CHAT))
    assert text_of(reports[0]) == "One two three"


def test_unknown_encoding(caller, scripted, reports):
    """A body whose encoding cannot be decoded is not carried as garbage."""
    scripted.stream([b"\x01\x02"], headers=[("Content-Encoding", "x-rot13")], done=False)
    manager = caller.client.chat.completions.with_streaming_response.create(**CHAT)
    answer = caller.enter(manager)
    caller.iterate(answer.iter_bytes())
    caller.leave(manager)
    [report] = reports
    assert report.to_wire()["respPayload"] is None
    assert report.errorMessage == "the answer's content-encoding 'x-rot13' cannot be decoded here"


def test_body_that_was_read_already(make_caller, library, reports):
    """A stream that comes whole, as a mock's does, is reported at once."""
    body = b"".join(openpipe_body())

    def handler(request):
        return library.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    transport = library.MockTransport(handler)
    kinds = (library.Client, library.AsyncClient)
    probe = make_caller()
    http_client = kinds[probe.is_async](transport=transport)
    caller = make_caller(http_client=http_client)
    stream = caller("chat.completions.create", **CHAT)
    [report] = reports
    assert text_of(report) == "One two three"
    assert len(caller.iterate(stream)) == len(CHUNKS)
    assert len(reports) == 1


def openpipe_body():
    from support.scripted_openai import encode_event

    return [*(encode_event(chunk) for chunk in CHUNKS), b"data: [DONE]\n\n"]


def test_memory_is_given_back(caller, scripted, held):
    """Bytes that an open stream has reserved are free again after its report."""
    with captured_reports():
        reporter = caller.client._openpipe_config.reporter
        stream = begin(caller)
        assert reporter.stats().pending_bytes > 0
        caller.run(stream.close())
        assert reporter.stats().pending_bytes == 0


@pytest.mark.parametrize(
    "hook",
    ["on_chunk", "end", "_record_stream", "_finish", "_take"],
)
def test_fault_of_ours(caller, scripted, monkeypatch, hook, caplog):
    """A fault in any of our hooks leaves the call as it is, and is counted."""
    from openpipe_report._capture.call import Call

    def fail(*args, **kwargs):
        raise RuntimeError("ours")

    monkeypatch.setattr(Call, hook, fail)
    scripted.stream(CHUNKS)
    stream = caller("chat.completions.create", **CHAT)
    with captured_reports():
        assert len(caller.iterate(stream)) == len(CHUNKS)


def test_unknown_response_class():
    """A response of an unknown library is not recorded."""
    with pytest.raises(TypeError, match="no byte stream classes"):
        recording_stream._stream_classes(int)


def test_left_normally_while_an_error_is_handled(caller, held, reports):
    """A `with` that is left normally inside an `except` names no error."""
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        stream = begin(caller)
        caller.enter(stream)
        caller.leave(stream)
    assert reports[0].errorMessage == LEFT


def test_bytes_are_let_go(caller, scripted):
    """A stream that the user keeps holds no bytes of the report, delivered or refused."""
    for full in (False, True):
        scripted.stream(CHUNKS)
        with captured_reports():
            reporter = caller.client._openpipe_config.reporter
            if full:
                reporter.submit = lambda *_: False
            stream = caller("chat.completions.create", **CHAT)
            caller.iterate(stream)
            exchange = stream.response.stream._observer._exchange
            assert exchange.chunks is exchange.request is None
            del stream, exchange
        collect(caller)
