"""span() as a decorator, with_context(), Reporter.report()."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing

import pytest
from pydantic import BaseModel, ValidationError
from support.backend import HANG_GUARD, Backend

from openpipe_report import Report, Reporter, metadata, span, with_context
from openpipe_report._context.scope import scope


def current_scope():
    return scope.get().metadata.get("step")


@span("function", metadata={"step": "inner"}, tags={"kind": "test"})
def function(a, b=2, *rest, **more):
    """Its docstring."""
    if a == "raise":
        raise ValueError("no")
    return [current_scope(), a, b, *rest, *more]


@span("function", metadata={"step": "inner"}, tags={"kind": "test"})
async def coroutine(a, b=2, *rest, **more):
    """Its docstring."""
    await asyncio.sleep(0)
    if a == "raise":
        raise ValueError("no")
    return [current_scope(), a, b, *rest, *more]


@span("steps", metadata={"step": "inner"})
def generator(*items):
    """Its docstring."""
    for item in items:
        try:
            got = yield (current_scope(), item)
        except KeyError as error:
            yield error.args[0]
        else:
            if got is not None:
                yield got
    return "end"


@span("steps", metadata={"step": "inner"})
async def async_generator(*items):
    """Its docstring."""
    for item in items:
        await asyncio.sleep(0)
        try:
            got = yield (current_scope(), item)
        except KeyError as error:
            yield error.args[0]
        else:
            if got is not None:
                yield got


def run(value):
    return asyncio.run(value) if inspect.isawaitable(value) else value


@pytest.mark.parametrize("decorated", [function, coroutine])
def test_function(reports, decorated):
    """Each call is a report: its arguments by name, its result; the scope ends with it."""
    with metadata(step="outer"):
        assert run(decorated(1, 3, 4, c=5)) == ["inner", 1, 3, 4, "c"]
        assert run(decorated("x")) == ["inner", "x", 2]
        assert current_scope() == "outer"
    first, second = reports
    assert first.reqPayload["name"] == "function"
    assert first.reqPayload["input"] == {"a": 1, "b": 3, "rest": [4], "more": {"c": 5}}
    assert first.reqPayload["metadata"]["step"] == "inner"
    assert first.respPayload == ["inner", 1, 3, 4, "c"]
    assert (first.statusCode, first.tags["kind"]) == (200, "test")
    assert second.reqPayload["input"] == {"a": "x"}


@pytest.mark.parametrize("decorated", [function, coroutine])
def test_function_that_raises(reports, decorated):
    """Its exception goes on, and into the report; wrong arguments raise as they do undecorated."""
    with pytest.raises(ValueError, match="no"):
        run(decorated("raise"))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        run(decorated())
    no, missing = reports
    assert (no.statusCode, no.errorMessage) == (500, "ValueError: no")
    assert missing.errorMessage.startswith("TypeError: ")


@pytest.mark.parametrize(
    "decorated, is_kind",
    [
        (function, inspect.isfunction),
        (coroutine, inspect.iscoroutinefunction),
        (generator, inspect.isgeneratorfunction),
        (async_generator, inspect.isasyncgenfunction),
    ],
)
def test_kind(decorated, is_kind):
    """What is decorated stays of its kind, with its name, docstring and signature."""
    assert is_kind(decorated)
    assert is_kind(with_context(decorated))
    assert decorated.__doc__ == "Its docstring."
    assert decorated.__name__ in {"function", "coroutine", "generator", "async_generator"}
    assert inspect.signature(decorated) == inspect.signature(decorated.__wrapped__)


def test_method_and_unusual_values(reports):
    """`self` is left out, models are dumped, and what JSON cannot say is named."""

    class Model(BaseModel):
        x: int = 1

    class Agent:
        @span("ask")
        def ask(self, model, thing):
            return object()

        @classmethod
        @span("make", request={"given": True})
        def make(cls, x):
            return x

    Agent().ask(Model(), {1, 2})
    Agent.make(2)
    ask, make = reports
    assert ask.reqPayload["input"] == {"model": {"x": 1}, "thing": [1, 2]}
    assert ask.respPayload == "<object>"
    assert make.reqPayload["input"] == {"given": True}


def test_nested(reports):
    """Decorated functions that call each other are one trace."""

    @span("inner")
    def inner():
        pass

    @span("outer")
    def outer():
        inner()

    outer()
    inner_report, outer_report = (report.tags for report in reports)
    assert inner_report["$trace_id"] == outer_report["$trace_id"]
    assert inner_report["$parent_span_id"] == outer_report["$span_id"]


@pytest.mark.parametrize(
    "misuse, told",
    [
        (lambda: span(function), "a span needs a name"),
        (lambda: span("x")(staticmethod(function)), "below @staticmethod"),
        (lambda: span("x")(property(function)), "got property"),
        (lambda: span("x")(Report), "not on classes"),
        (lambda: with_context("x"), "got str"),
    ],
)
def test_misuse(misuse, told):
    """What cannot be decorated is refused at once, with the remedy."""
    with pytest.raises(TypeError, match=told):
        misuse()


def test_callable_objects(reports):
    """Objects that are called, sync and async, and partial functions are as functions."""

    class Ask:
        async def __call__(self, question):
            await asyncio.sleep(0)
            return question.upper()

    assert asyncio.run(span("ask")(Ask())("hi")) == "HI"
    assert asyncio.run(span("part")(functools.partial(coroutine, 1))()) == ["inner", 1, 2]
    assert span("len")(len)([1, 2]) == 2
    assert [report.respPayload for report in reports[:1]] == ["HI"]
    assert [report.reqPayload["name"] for report in reports] == ["ask", "function", "part", "len"]


def test_arguments_that_cannot_be_read(reports):
    """Whatever arguments do when they are looked at, the function runs."""

    class Odd(dict):
        def items(self):
            raise KeyError("odd")

    @span("work")
    def work(value):
        return 1

    assert work(Odd(a=1)) == 1
    assert reports[0].respPayload == 1


def test_report_false(reports):
    """Neither the function nor what is inside it is reported."""

    @span("outer", report=False)
    def outer():
        function(1)

    outer()
    with span("outer", report=False):
        function(1)
    assert reports == []
    function(1)
    assert len(reports) == 1


def test_generator(reports):
    """The scope is in force while it runs, not for its reader; send, throw, return go through."""
    with metadata(step="outer"):
        stream = generator("a", "b", "c")
        assert next(stream) == ("inner", "a")
        assert current_scope() == "outer"
        assert stream.send("sent") == "sent"
        assert next(stream) == ("inner", "b")
        assert stream.throw(KeyError("thrown")) == "thrown"
        assert next(stream) == ("inner", "c")
        assert reports == []
        with pytest.raises(StopIteration) as stop:
            next(stream)
        assert stop.value.value == "end"
        assert current_scope() == "outer"
    [report] = reports
    items = [["inner", "a"], "sent", ["inner", "b"], "thrown", ["inner", "c"]]
    assert report.to_wire()["respPayload"] == items
    assert (report.statusCode, report.errorMessage) == (200, None)


async def test_async_generator(reports):
    """The same for an async one."""
    with metadata(step="outer"):
        stream = async_generator("a", "b", "c")
        assert await anext(stream) == ("inner", "a")
        assert current_scope() == "outer"
        assert await stream.asend("sent") == "sent"
        assert await anext(stream) == ("inner", "b")
        assert await stream.athrow(KeyError("thrown")) == "thrown"
        assert [item async for item in stream] == [("inner", "c")]
        assert current_scope() == "outer"
    [report] = reports
    assert len(report.respPayload) == 5
    assert (report.statusCode, report.errorMessage) == (200, None)


def test_coroutine_left_early(reports):
    """A coroutine that is closed before it is done says so, as a generator does."""

    @span("work")
    async def work():
        await asyncio.sleep(0)

    coroutine = work()
    coroutine.send(None)
    coroutine.close()
    assert (reports[0].statusCode, reports[0].errorMessage) == (200, "left before its end")


async def test_generators_left_early(reports):
    """A generator that is closed says so, with what it had given; one never begun says nothing."""
    generator("a")
    with closing(generator("a", "b")) as stream:
        next(stream)
    async with aclosing(async_generator("a", "b")) as stream:
        await anext(stream)
    for report in reports:
        assert report.respPayload == [["inner", "a"]]
        assert (report.statusCode, report.errorMessage) == (200, "left before its end")
    assert len(reports) == 2


async def test_async_generator_closed_elsewhere(reports):
    """One that is closed by another task leaves that one's scope as it is."""
    stream = async_generator("a", "b")
    with metadata(step="outer"):
        await asyncio.create_task(anext(stream))

    async def close():
        with metadata(step="other"):
            await stream.aclose()
            return current_scope()

    assert await asyncio.create_task(close()) == "other"
    assert current_scope() is None
    assert len(reports) == 1


def test_generator_that_raises(reports):
    """What it raises goes on, and into the report."""

    @span("steps")
    def broken():
        yield 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(broken())
    assert (reports[0].statusCode, reports[0].respPayload) == (500, [1])


def test_metadata_inside_a_generator(reports):
    """What a generator puts in force inside is there again at its next step, and only there."""

    @span("steps")
    def steps():
        with metadata(step="own"):
            yield current_scope()
            yield current_scope()
        yield current_scope()

    with metadata(step="outer"):
        seen = []
        for item in steps():
            seen.append(item)
            assert current_scope() == "outer"
    assert seen == ["own", "own", "outer"]


def test_threads_of_a_pool(reports):
    """Threads of a pool begin without metadata and span; with_context() carries them there."""

    def ask(question):
        with span("ask"):
            return current_scope()

    with metadata(step="outer"), span("answer") as answer, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [None] * 4
        assert list(pool.map(with_context(ask), range(40))) == ["outer"] * 40
        assert pool.submit(current_scope).result() is None
    carried = [report.tags for report in reports[4:-1]]
    assert {each["$parent_span_id"] for each in carried} == {answer.span_id}
    assert {each["$trace_id"] for each in carried} == {answer.trace_id}


async def test_with_context_of_a_coroutine():
    """with_context() serves coroutine functions, wherever they are awaited."""

    async def ask():
        await asyncio.sleep(0)
        return current_scope()

    with metadata(step="outer"):
        carried = with_context(ask)
    assert await asyncio.gather(ask(), carried(), carried()) == [None, "outer", "outer"]
    found = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(carried())))
    thread.start()
    thread.join()
    assert found == ["outer"]


def test_carried_block_where_the_caller_has_opted_out():
    """An opt-out of the caller holds for each step of what with_context() carries."""

    def is_reported():
        return scope.get().report

    def steps():
        while True:
            yield is_reported()

    with metadata(step="outer"):
        carried, stream = with_context(is_reported), with_context(steps)()
    assert (carried(), next(stream)) == (True, True)
    with metadata(report=False):
        assert (carried(), next(stream)) == (False, False)
    assert (carried(), next(stream)) == (True, True)


def test_handmade_report():
    """A report by hand is sent as it was given, and later changes to it are not."""
    messages = [{"role": "user", "content": "Hi"}]
    with Backend() as backend:
        reporter = Reporter(base_url=backend.base_url)
        fields = {
            "requestedAt": 1_700_000_000_000,
            "receivedAt": 1_700_000_000_250.5,
            "reqPayload": {"model": "claude", "messages": messages},
            "respPayload": None,
            "statusCode": 529,
            "errorMessage": "overloaded",
            "tags": {"provider": "anthropic", "n": 1, "ok": False, "none": None},
        }
        assert reporter.report(**fields)
        messages.append("later")
        assert reporter.report(reqPayload={1: float("nan")})
        assert reporter.flush(HANG_GUARD)
        reporter.shutdown()
        assert reporter.report(statusCode=200) is False
        assert reporter.stats().dropped == {"shutdown": 1}
    first, second = sorted((post.report for post in backend.posts), key=len, reverse=True)
    messages.pop()
    assert first == fields
    assert second == {"reqPayload": {"1": "NaN"}}


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"statusCode": "200"}, "statusCode"),
        ({"unknown": 1}, "unknown"),
        ({"tags": {"a": []}}, "tags"),
        ({"requestedAt": None}, "must not be null"),
        ({"requestedAt": 10**5000}, "requestedAt"),
    ],
)
def test_wrong_handmade_report(reports, fields, told):
    """What the API would not take is told to whoever made it."""
    reporter = Reporter(base_url="http://127.0.0.1:9")
    with pytest.raises(ValidationError, match=told) as raised:
        reporter.report(**fields)
    assert "input_value" not in str(raised.value)
    assert reporter.stats().pending == 0


def test_captured_handmade_report(reports):
    """It is captured in tests."""
    assert Reporter(base_url="http://127.0.0.1:9").report(statusCode=200)
    assert reports == [Report(statusCode=200)]


def test_handmade_report_where_reporting_is_off(reports):
    """Switched off, it is neither queued nor captured, and says so."""
    assert Reporter(base_url="http://127.0.0.1:9", enabled=False).report(statusCode=200) is False
    assert reports == []


def test_wrong_tags():
    """A tag of another kind raises at once, with its key."""
    with pytest.raises(TypeError, match=r"tags\['x'\] must be a string"):
        span("work", tags={"x": []})
