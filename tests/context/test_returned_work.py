"""Decorated functions that return their work: it stays inside the span."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import pickle
import subprocess
import sys
import types
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import openai
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from support.blocks import NOTHING, labels
from support.shapes import chat_chunks, chat_completion

from openpipe_report import AsyncOpenAI, OpenAI, metadata, span, with_context

HELLO = [{"role": "user", "content": "Hi"}]


def work(**values):
    return span("work", metadata={"of": "work"}, **values)


def returns(make):
    """A plain function that returns what another makes."""
    return lambda: make()  # noqa: PLW0108 - not a generator function


def one(reports):
    """The only report, which is the span's."""
    [report] = reports
    assert report.reqPayload["name"] == "work"
    return report


# Functions that return something to be awaited, made of an async function.


async def ask(text="hi"):
    await asyncio.sleep(0)
    if text == "raise":
        raise ValueError("no")
    return [text, *labels()]


def plain(*args):
    return ask(*args)


class Method:
    def method(self, *args):
        return ask(*args)

    @classmethod
    def class_method(cls, *args):
        return ask(*args)

    @staticmethod
    def static_method(*args):
        return ask(*args)

    async def __call__(self, *args):
        return await ask(*args)


class Awaitable:
    """An awaitable object of the user's."""

    def __init__(self, *args):
        self.arguments = args

    def __await__(self):
        return ask(*self.arguments).__await__()


@types.coroutine
def generator_coroutine(*args):
    yield from asyncio.sleep(0).__await__()
    return (yield from ask(*args).__await__())


async def coroutine_in_a_coroutine(*args):
    return ask(*args)


RETURN_AWAITABLES = {
    "plain": plain,
    "lambda": lambda *args: ask(*args),  # noqa: PLW0108 - not an async function
    "partial": functools.partial(plain),
    "partial of a coroutine function": functools.partial(ask),
    "partial of an object": functools.partial(Method()),
    "method": Method().method,
    "class method": Method.class_method,
    "static method": Method.static_method,
    "callable": Method(),
    "wrapped": functools.wraps(ask)(lambda *args: ask(*args)),  # noqa: PLW0108 - as above
    "generator coroutine": generator_coroutine,
    "task": lambda *args: asyncio.ensure_future(ask(*args)),
    "gather": lambda *args: asyncio.gather(ask(*args)),
    "shield": lambda *args: asyncio.shield(ask(*args)),
}


def make_function(kind):
    return RETURN_AWAITABLES[kind]


@pytest.mark.parametrize("kind", RETURN_AWAITABLES)
async def test_awaitables(reports, kind):
    """What is awaited later is in the span, which ends with its result."""
    decorated = work()(make_function(kind))
    with metadata(of="outer"):
        pending = decorated()
        assert reports == []
        assert labels() == ("outer", True)
        result = await pending
        assert labels() == ("outer", True)
    if kind == "gather":
        [result] = result
    assert result == ["hi", "work", True]
    await asyncio.sleep(0)
    report = one(reports)
    assert report.respPayload in (result, [result])
    assert (report.statusCode, report.errorMessage) == (200, None)


@pytest.mark.parametrize("kind", RETURN_AWAITABLES)
async def test_awaitables_that_raise(reports, kind):
    """The exception goes on unchanged, and into the report."""
    with pytest.raises(ValueError, match="no"):
        await work()(make_function(kind))("raise")
    await asyncio.sleep(0)
    report = one(reports)
    assert (report.statusCode, report.errorMessage) == (500, "ValueError: no")


@pytest.mark.parametrize("kind", RETURN_AWAITABLES)
async def test_awaitables_that_are_cancelled(reports, kind):
    """A cancellation ends the span, and says so."""
    task = asyncio.ensure_future(work()(make_function(kind))())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(3):
        await asyncio.sleep(0)
    assert "Cancelled" in one(reports).errorMessage


@pytest.mark.parametrize("kind", RETURN_AWAITABLES)
async def test_carried_awaitables(kind):
    """with_context() carries the scope to what is awaited later, too."""
    with metadata(of="carried"):
        carried = with_context(make_function(kind))
    result = await carried()
    assert result in (["hi", "carried", True], [["hi", "carried", True]])
    assert labels() == NOTHING


@pytest.mark.parametrize("kind", RETURN_AWAITABLES)
async def test_opt_out_of_awaitables(reports, kind):
    """An opt-out of the span, or around its function, holds when it is awaited."""
    private = work(report=False)(make_function(kind))
    assert (await private())[-1] in (False, ["hi", "work", False])
    with metadata(report=False):
        assert (await work()(make_function(kind))())[-1] in (False, ["hi", "work", False])
    await asyncio.sleep(0)
    assert reports == []


async def test_coroutine_keeps_its_kind(reports):
    """A returned coroutine is one still, with its name."""
    coroutine = work()(plain)()
    assert inspect.iscoroutine(coroutine)
    assert isinstance(coroutine, types.CoroutineType)
    assert (coroutine.__name__, coroutine.__qualname__) == ("ask", "ask")
    assert await asyncio.create_task(coroutine) == ["hi", "work", True]


async def test_task_stays_the_same(reports):
    """A task that is returned is the function's own, and its error is nobody's yet."""
    task = asyncio.ensure_future(ask("raise"))
    assert work()(lambda: task)() is task
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert one(reports).errorMessage == "ValueError: no"
    assert task._log_traceback is True
    assert isinstance(task.exception(), ValueError)


async def test_nested_work(reports):
    """Work that returns work stays in the span to the end of all."""

    @work()
    async def outer():
        async def chunks():
            yield await ask()

        return chunks()

    chunks = await outer()
    assert reports == []
    assert [chunk async for chunk in chunks] == [["hi", "work", True]]
    assert one(reports).respPayload == [["hi", "work", True]]
    coroutine = await work()(coroutine_in_a_coroutine)()
    assert len(reports) == 1
    assert await coroutine == ["hi", "work", True]
    assert len(reports) == 2


async def test_calls_inside(scripted, reports):
    """The calls that the work makes are children of the span."""
    scripted.json(chat_completion())
    async with AsyncOpenAI(base_url=scripted.base_url, api_key="k") as client:

        @work()
        def call():
            return client.chat.completions.create(model="m", messages=HELLO)

        answer = await call()
    inner, outer = reports
    assert inner.tags["$parent_span_id"] == outer.tags["$span_id"]
    assert inner.reqPayload["metadata"] == {"of": "work"}
    assert outer.respPayload["id"] == answer.id
    assert outer.requestedAt <= inner.requestedAt <= inner.receivedAt <= outer.receivedAt


def test_future_of_a_pool(reports):
    """A future of a pool ends the span when it is done."""
    with ThreadPoolExecutor(1) as pool:
        future = work()(lambda: pool.submit(sum, [1, 2]))()
        assert isinstance(future, Future)
        assert future.result() == 3
    assert one(reports).respPayload == 3


# Never awaited, or left early.


@pytest.mark.parametrize("end", ["collected", "closed"])
@pytest.mark.parametrize("kind", ["plain", "lambda", "method", "wrapped"])
def test_coroutine_never_awaited(reports, end, kind, recwarn):
    """It is reported when it is closed or collected, and Python warns once as ever."""
    coroutine = work()(make_function(kind))()
    if end == "closed":
        coroutine.close()
    del coroutine
    told = [str(warning.message) for warning in recwarn]
    recwarn.clear()  # a warning holds its coroutine
    gc.collect()
    report = one(reports)
    assert (report.statusCode, report.errorMessage) == (200, "never awaited")
    assert told == (["coroutine 'ask' was never awaited"] if end == "collected" else [])


def test_coroutine_left_early(reports):
    """A coroutine that is closed before it is done says so."""
    coroutine = work()(plain)()
    coroutine.send(None)
    coroutine.close()
    report = one(reports)
    assert (report.statusCode, report.errorMessage) == (200, "left before its end")


# Generators.


def steps():
    """Yields what is in force, what is sent in, and what is thrown in."""
    for _ in range(2):
        try:
            got = yield list(labels())
        except KeyError:
            got = "thrown"
        if got is not None:
            yield got
    return "end"


async def async_steps():
    for _ in range(2):
        await asyncio.sleep(0)
        try:
            got = yield list(labels())
        except KeyError:
            got = "thrown"
        if got is not None:
            yield got


def test_generator(reports):
    """A generator that is returned is in the span, and its consumer is not."""
    stream = work()(returns(steps))()
    assert inspect.isgenerator(stream)
    assert (stream.__name__, reports) == ("steps", [])
    with metadata(of="consumer"):
        assert next(stream) == ["work", True]
        assert labels() == ("consumer", True)
        assert stream.send("sent") == "sent"
        assert next(stream) == ["work", True]
        assert stream.throw(KeyError()) == "thrown"
        assert reports == []
        with pytest.raises(StopIteration) as stop:
            next(stream)
    assert stop.value.value == "end"
    assert one(reports).respPayload == [["work", True], "sent", ["work", True], "thrown"]


async def test_async_generator(reports):
    """The same for an async one."""
    stream = work()(returns(async_steps))()
    assert inspect.isasyncgen(stream)
    assert (stream.__name__, reports) == ("async_steps", [])
    with metadata(of="consumer"):
        assert await anext(stream) == ["work", True]
        assert labels() == ("consumer", True)
        assert await stream.asend("sent") == "sent"
        assert await anext(stream) == ["work", True]
        assert await stream.athrow(KeyError()) == "thrown"
        assert reports == []
        assert [item async for item in stream] == []
    assert one(reports).respPayload == [["work", True], "sent", ["work", True], "thrown"]


@pytest.mark.parametrize("end", ["collected", "closed"])
@pytest.mark.parametrize("begun", [True, False])
def test_generator_left_early(reports, end, begun):
    """One that is closed or collected is reported then, with what it had given."""
    stream = work()(returns(steps))()
    if begun:
        next(stream)
    if end == "closed":
        stream.close()
        assert len(reports) == 1 or not begun  # until 3.12, or when it is collected
    del stream
    report = one(reports)
    assert report.statusCode == 200
    assert report.errorMessage == ("left before its end" if begun else "never iterated over")
    assert report.respPayload == ([["work", True]] if begun else None)


def test_work_that_a_forked_child_drops():
    """A child that drops its copy of the parent's work reports nothing; the parent reports it."""
    script = """
import os
from openpipe_report import span
from openpipe_report.testing import captured_reports
with captured_reports() as reports:
    stream = span("work")(lambda: (item for item in "ab"))()
    child = os.fork()
    del stream
    if not child:
        os._exit(len(reports))
    assert os.waitpid(child, 0)[1] == 0
    assert len(reports) == 1
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("begun", [True, False])
async def test_async_generator_left_early(reports, begun):
    """The same for an async one."""
    stream = work()(returns(async_steps))()
    if begun:
        await anext(stream)
    await stream.aclose()
    del stream
    report = one(reports)
    assert report.errorMessage == ("left before its end" if begun else "never iterated over")


def test_async_generator_without_a_loop(reports):
    """An async generator whose loop is gone is reported when it is collected."""
    stream = work()(returns(async_steps))()
    step = stream.asend(None)
    step.send(None)  # waits in a loop that never runs
    del step, stream
    gc.collect()
    assert one(reports).errorMessage == "left before its end"


def test_generator_in_other_contexts(reports):
    """A returned generator that a pool steps is in the span, with the blocks of its own."""

    def labelled():
        yield list(labels())
        with metadata(of="inner", report=False):
            yield list(labels())
            yield list(labels())

    stream = work()(returns(labelled))()
    with ThreadPoolExecutor(2) as pool:
        seen = [pool.submit(next, stream).result() for _ in range(3)]
        assert pool.submit(labels).result() == NOTHING
        stream.close()
    assert seen == [["work", True], ["inner", False], ["inner", False]]
    assert len(reports) == 1


# Streams of openai's.


@pytest.fixture(params=["sync", "async"])
def streaming(request, scripted):
    """Run a function of a client's that is decorated, and consume what it returns."""
    scripted.stream(chat_chunks("Hello there"))

    def run(function, consume):
        if request.param == "sync":
            with OpenAI(base_url=scripted.base_url, api_key="k") as client:
                return _drive(consume(work()(function)(client)))

        async def main():
            async with AsyncOpenAI(base_url=scripted.base_url, api_key="k") as client:
                return await consume(work()(function)(client))

        return asyncio.run(main())

    return run


def _drive(coroutine):
    """Run an async function that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


async def maybe(value):
    return await value if inspect.isawaitable(value) else value


async def items_of(stream):
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


class Entered:
    """`with` or `async with`."""

    def __init__(self, manager):
        self.manager = manager

    async def __aenter__(self):
        if hasattr(self.manager, "__aenter__"):
            return await self.manager.__aenter__()
        return self.manager.__enter__()

    async def __aexit__(self, *error):
        if hasattr(self.manager, "__aexit__"):
            return await self.manager.__aexit__(*error)
        return self.manager.__exit__(*error)


def create_stream(client):
    return client.chat.completions.create(model="m", messages=HELLO, stream=True)


def make_manager(client):
    stream = getattr(client.chat.completions, "stream", client.beta.chat.completions.stream)
    return stream(model="m", messages=HELLO)


def make_response_manager(client):
    create = client.chat.completions.with_streaming_response.create
    return create(model="m", messages=HELLO, stream=True)


def span_of(reports):
    [found] = [report for report in reports if report.reqPayload.get("name") == "work"]
    [call] = [report for report in reports if report is not found]
    assert call.tags["$parent_span_id"] == found.tags["$span_id"]
    return found


def test_stream(streaming, reports):
    """A stream of openai's is the same to its reader; the span ends with its last chunk."""

    async def consume(pending):
        stream = await maybe(pending)
        assert isinstance(stream, (openai.Stream, openai.AsyncStream))
        assert type(stream) in (openai.Stream, openai.AsyncStream)
        assert stream.response.status_code == 200
        async with Entered(stream) as entered:
            assert entered is stream
            return await items_of(stream)

    chunks = streaming(create_stream, consume)
    report = span_of(reports)
    assert [chunk["id"] for chunk in report.respPayload] == [chunk.id for chunk in chunks]
    assert (report.statusCode, report.errorMessage) == (200, None)


def test_stream_by_next(streaming, reports):
    """A stream that is read by next() and then by a loop is read on."""

    async def consume(pending):
        stream = await maybe(pending)
        take = getattr(stream, "__anext__", None) or stream.__next__
        chunks = [await maybe(take())]
        if hasattr(stream, "__aiter__"):
            async for chunk in stream:
                chunks.append(chunk)
                break
        else:
            for chunk in stream:
                chunks.append(chunk)
                break
        assert [report for report in reports if "name" in report.reqPayload] == []
        return chunks + await items_of(stream)

    chunks = streaming(create_stream, consume)
    assert len(span_of(reports).respPayload) == len(chunks) == len(list(chat_chunks("Hello there")))


@pytest.mark.parametrize("end", ["close", "with", "collected"])
@pytest.mark.parametrize("begun", [True, False])
def test_stream_left_early(streaming, reports, end, begun):
    """A stream that is closed, left or forgotten ends the span, and says so."""

    async def consume(pending):
        stream = await maybe(pending)
        if begun:
            await maybe((getattr(stream, "__anext__", None) or stream.__next__)())
        if end == "close":
            await maybe(stream.close())
            assert [report for report in reports if "name" in report.reqPayload]
        elif end == "with":
            async with Entered(stream):
                pass

    streaming(create_stream, consume)
    gc.collect()
    report = span_of(reports)
    assert report.statusCode == 200
    closed = "left before its end"
    assert report.errorMessage == (closed if begun or end != "collected" else "never read")
    assert len(report.respPayload or []) == begun


@pytest.mark.parametrize("name", ["span", "with_context"])
def test_streams_of_openais_own_clients(name):
    """Streams are known to a program that imports none of our clients."""
    script = f"""
from openpipe_report import {name}
from openai import OpenAI, Stream
from openpipe_report._context.returned_work import _find_keep_open
assert _find_keep_open(Stream) is not None
assert _find_keep_open(OpenAI) is None
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("method", ["iter_lines", "iter_bytes", "iter_text", "iter_raw"])
def test_stream_read_through_its_response(streaming, reports, method):
    """A stream of which only the response is kept ends the span when the body was read."""

    async def consume(pending):
        response = (await maybe(pending)).response
        gc.collect()
        if hasattr(pending, "__await__"):
            return [item async for item in getattr(response, f"a{method}")()]
        return list(getattr(response, method)())

    assert "[DONE]" in str(streaming(create_stream, consume)[-2:])
    report = span_of(reports)
    assert (report.statusCode, report.errorMessage) == (200, None)


def test_stream_begun_through_its_response(streaming, reports):
    """A stream whose response was read in part and then forgotten was left, not unread."""

    async def consume(pending):
        stream = await maybe(pending)
        if hasattr(stream, "__aiter__"):
            chunks = stream.response.aiter_raw()
            await anext(chunks)
            await chunks.aclose()
        else:
            next(stream.response.iter_raw())

    streaming(create_stream, consume)
    gc.collect()
    assert span_of(reports).errorMessage == "left before its end"


def test_stream_methods_taken_before_the_end(streaming, reports):
    """Methods of a stream that were bound early work after its end."""

    async def consume(pending):
        stream = await maybe(pending)
        step = getattr(stream, "__anext__", None) or stream.__next__
        close, close_response = stream.close, getattr(stream.response, "aclose", None)
        assert await items_of(stream)
        with pytest.raises((StopIteration, StopAsyncIteration)):
            await step() if hasattr(stream, "__anext__") else step()
        await maybe(close())
        if hasattr(stream, "__anext__"):
            await close_response()

    streaming(create_stream, consume)
    assert span_of(reports).errorMessage is None


def test_stream_under_two_decorators(streaming, reports):
    """Each decorator has its span, one in the other."""

    async def consume(pending):
        return await items_of(await maybe(pending))

    streaming(span("inner")(create_stream), consume)
    spans = {report.reqPayload.get("name"): report for report in reports}
    del spans[None]
    assert set(spans) == {"work", "inner"}
    assert spans["inner"].tags["$parent_span_id"] == spans["work"].tags["$span_id"]
    assert spans["inner"].respPayload == spans["work"].respPayload
    assert {report.errorMessage for report in reports} == {None}


def test_stream_that_every_call_returns(scripted, reports):
    """A stream that is returned again is a result then, and piles nothing up."""
    scripted.stream(chat_chunks("Hello there"))
    with OpenAI(base_url=scripted.base_url, api_key="k") as client:
        stream = create_stream(client)
        get = work()(lambda: stream)
        for _ in range(4):
            get()
        assert len(reports) == 3
        assert len(list(get())) == len(list(chat_chunks("Hello there")))
    spans = [report for report in reports if report.reqPayload.get("name")]
    assert len(spans) == 5
    assert {report.errorMessage for report in reports} == {None}


def test_stream_manager(streaming, reports):
    """A manager of `.stream()` sends its request inside the span, which ends when it is read."""

    async def consume(manager):
        assert type(manager).__module__.startswith("openai.")
        async with Entered(manager) as stream:
            assert type(stream).__module__.startswith("openai.")
            assert await items_of(stream)
            completion = await maybe(stream.get_final_completion())
        assert completion.choices[0].message.content == "Hello there"

    streaming(make_manager, consume)
    report = span_of(reports)
    assert len(report.respPayload) == len(list(chat_chunks("Hello there")))
    assert (report.statusCode, report.errorMessage) == (200, None)


def test_stream_manager_with_final_completion_only(streaming, reports):
    """The stream may be read by `get_final_completion()`, too."""

    async def consume(manager):
        async with Entered(manager) as stream:
            return await maybe(stream.get_final_completion())

    assert streaming(make_manager, consume).choices[0].message.content == "Hello there"
    report = span_of(reports)
    assert (report.statusCode, report.errorMessage) == (200, None)
    assert report.respPayload


def test_stream_manager_left_early(streaming, reports):
    """A manager that is left before its stream was read says so."""

    async def consume(manager):
        async with Entered(manager):
            pass

    streaming(make_manager, consume)
    assert span_of(reports).errorMessage == "left before its end"


@pytest.mark.parametrize("method", ["iter_lines", "iter_bytes", "iter_text", "read"])
@pytest.mark.parametrize("part", ["response", "stream"])
def test_response_manager(streaming, reports, method, part):
    """A manager of `with_streaming_response` sends its request inside the span."""

    async def consume(manager):
        async with Entered(manager) as response:
            if part == "stream":  # left alone: the response is read
                await maybe(response.parse())
            items = await maybe(getattr(response, method)())
            read = [item async for item in items] if hasattr(items, "__aiter__") else list(items)
            assert [span_of(reports).errorMessage] == [None]
            return read

    assert streaming(make_response_manager, consume)
    report = span_of(reports)
    assert (report.statusCode, report.errorMessage) == (200, None)


def test_response_manager_of_a_body_in_memory(reports):
    """A response that a mock or a cache has in memory is read, though nothing reads its stream."""
    answer = httpx.Response(200, json=chat_completion())
    transport = httpx.MockTransport(lambda _: answer)
    client = OpenAI(base_url="http://x", api_key="k", http_client=httpx.Client(transport=transport))
    with work()(make_response_manager)(client) as response:
        assert list(response.iter_lines())
    del response
    gc.collect()
    report = span_of(reports)
    assert (report.statusCode, report.errorMessage) == (200, None)


def test_manager_never_entered(reports):
    """A manager that nobody enters is reported when it is collected."""
    client = OpenAI(base_url="http://127.0.0.1:9", api_key="k")
    manager = work()(make_manager)(client)
    assert reports == []
    del manager
    gc.collect()
    assert one(reports).errorMessage == "never entered"


def test_manager_that_fails(reports):
    """The error of the request that a manager sends is the span's, too."""
    client = OpenAI(base_url="http://127.0.0.1:9", api_key="k", max_retries=0)
    with pytest.raises(openai.APIConnectionError), work()(make_manager)(client):
        pass
    report = span_of(reports)
    assert report.statusCode == 500
    assert report.errorMessage.startswith("APIConnectionError")


def test_other_results(reports):
    """Results that are no work end the span at once, and are what they were."""
    client = OpenAI(base_url="http://127.0.0.1:9", api_key="k")
    values = [None, 1, "x", [1], {"a": 1}, object(), client, ask, steps, iter([1]), map(abs, [1])]
    for value in values:
        assert work()(lambda value=value: value)() is value
    assert len(reports) == len(values)


# Objects of other classes.


class Slotted:
    """An awaitable with slots."""

    __slots__ = ("arguments",)

    def __init__(self, *args):
        self.arguments = args

    def __await__(self):
        return ask(*self.arguments).__await__()


class Iterator:
    """One that is sync and async, as LiteLLM's streams are."""

    def __init__(self):
        self.left = 3

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return list(labels())

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self):
        self.left = 0


class Stream(Iterator):
    """Another SDK's."""


class Connection:
    """Awaited or entered, as aiohttp's and asyncpg's."""

    def __await__(self):
        return self._open().__await__()

    async def _open(self):
        return self

    async def __aenter__(self):
        return await self

    async def __aexit__(self, *error): ...


@contextmanager
def session():
    yield labels()


RESULTS = {
    "awaitable": Awaitable,
    "awaitable with slots": Slotted,
    "iterator": Iterator,
    "stream": Stream,
    "connection": Connection,
    "context manager": session,
    "streaming response": lambda: StreamingResponse(iter(())),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_objects_of_other_classes(reports, kind):
    """An object of another class is a result: it is left as it is, and ends the span at once."""
    given = RESULTS[kind]()
    before, attributes = type(given), dict(getattr(given, "__dict__", {}))
    assert work()(lambda: given)() is given
    assert one(reports).errorMessage is None
    assert type(given) is before
    assert getattr(given, "__dict__", {}) == attributes


@pytest.mark.parametrize("kind", [Awaitable, Iterator, Stream, Connection])
def test_objects_can_be_pickled(reports, kind):
    """A returned object can be pickled as it could be without the decorator."""
    given = work()(returns(kind))()
    assert pickle.dumps(given) == pickle.dumps(kind())


def test_methods_taken_before_the_end(reports):
    """Methods of a returned iterator that were bound early work after its end."""
    with ExitStack() as stack:
        stream = work()(returns(Stream))()
        stack.callback(stream.close)
        step = stream.__next__
        assert len(list(stream)) == 3
        with pytest.raises(StopIteration):
            step()


async def test_span_around_a_streamed_body(reports):
    """A span on the generator of a streamed body lasts until the body was sent."""
    app = FastAPI()

    @work()
    def lines():
        for _ in range(3):
            yield repr(labels())

    @app.get("/")
    def serve() -> StreamingResponse:
        return StreamingResponse(lines())

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")
    assert answer.text == repr(("work", True)) * 3
    assert one(reports).respPayload == [repr(("work", True))] * 3


def test_nothing_is_logged(reports, caplog):
    """Following returned work makes no noise of its own."""
    caplog.set_level(logging.DEBUG, "openpipe_report")
    for value in (Slotted(), Awaitable(), Stream(), steps()):
        work()(lambda value=value: value)()
    gc.collect()
    assert not [line for line in caplog.messages if "internal error" in line]
