"""metadata() and span()."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from dirty_equals import IsInt, IsStr
from pydantic import BaseModel, model_serializer
from support.blocks import labels
from support.shapes import chat_completion

import openpipe_report
from openpipe_report import Reporter, metadata, span
from openpipe_report._context.scope import current_scope, scope
from openpipe_report.testing import captured_reports

HEX_32, HEX_16 = IsStr(regex="[0-9a-f]{32}"), IsStr(regex="[0-9a-f]{16}")


def test_span(reports):
    """A span is one report, on leaving."""
    with span("rerank", request={"q": 1}, metadata={"k": 5}) as work:
        assert reports == []
        work.response = {"best": 2}
    [report] = reports
    assert report.to_wire() == {
        "requestedAt": IsInt(),
        "receivedAt": IsInt(ge=report.requestedAt),
        "reqPayload": {
            "name": "rerank",
            "input": {"q": 1},
            "metadata": {"k": 5},
        },
        "respPayload": {"best": 2},
        "statusCode": 200,
        "tags": {
            "$sdk": "openpipe-report",
            "$sdk.version": openpipe_report.__version__,
            "$endpoint": "span",
            "$trace_id": HEX_32,
            "$span_id": HEX_16,
        },
    }


def test_span_with_an_error(reports):
    """An exception goes on unchanged and is the report's message, with status 500."""
    error = ValueError("no")
    with pytest.raises(ValueError) as raised, span("work"):
        raise error
    assert raised.value is error
    [report] = reports
    assert (report.statusCode, report.errorMessage) == (500, "ValueError: no")


async def test_async_span(reports):
    """A span serves as an async context manager."""
    async with span("work") as work:
        work.response = 1
    assert reports[0].respPayload == 1


def test_nested_spans(reports):
    """What is inside shares the trace, knows its parent, and inherits metadata."""
    with metadata(a=1, b=1), span("outer", metadata={"b": 2, "c": 2}) as outer:  # noqa: SIM117
        with span("inner", metadata={"c": 3}) as inner:
            pass
    labels = {report.reqPayload["name"]: report.reqPayload["metadata"] for report in reports}
    assert labels == {"outer": {"a": 1, "b": 2, "c": 2}, "inner": {"a": 1, "b": 2, "c": 3}}
    tags = {report.reqPayload["name"]: report.tags for report in reports}
    trace = {"$trace_id": outer.trace_id}
    assert trace.items() <= tags["outer"].items()
    assert tags["outer"]["$span_id"] == outer.span_id
    assert "$parent_span_id" not in tags["outer"]
    assert {**trace, "$parent_span_id": outer.span_id}.items() <= tags["inner"].items()
    assert tags["inner"]["$span_id"] == inner.span_id


OURS = ("trace_id", "span_id", "parent_span_id")


@pytest.mark.parametrize("way", ["block", "span", "call", "openpipe"])
def test_labels_with_our_names(caller, scripted, reports, way):
    """A user's label is kept as it is, whatever it is called and whichever way it came."""
    given = dict.fromkeys(OURS, "mine")
    scripted.json(chat_completion())
    block = metadata(**given) if way == "block" else metadata()
    with block, span("work", metadata=given if way == "span" else None):
        arguments = {"metadata": given} if way == "call" else {}
        if way == "openpipe":
            arguments = {"extra_body": {"openpipe": {"metadata": given}}}
        messages = [{"role": "user", "content": "Hi"}]
        caller("chat.completions.create", model="m", messages=messages, **arguments)
    call, work = reports
    assert call.reqPayload["metadata"] == given
    if way in {"block", "span"}:
        assert work.reqPayload["metadata"] == given
    assert call.tags["$trace_id"] == work.tags["$trace_id"] != "mine"
    assert call.tags["$parent_span_id"] == work.tags["$span_id"]


def test_span_serves_one_block(reports):
    """A span that is entered again raises."""
    work = span("work")
    with work:
        pass
    with pytest.raises(RuntimeError, match="one block"), work:
        pass
    assert len(reports) == 1


def test_payloads_are_as_they_were(reports):
    """What changes a payload after it was given does not change the report."""
    request, response = [1], [2]
    with span("work", request=request) as work:
        request.append("later")
        work.response = response
    response.append("later")
    assert reports[0].reqPayload["input"] == [1]
    assert reports[0].respPayload == [2]


def test_unusual_payloads(reports):
    """What is not JSON is described, never raises."""
    with span("work", request={"f": float("nan"), 1: object()}) as work:
        work.response = print
    assert reports[0].reqPayload["input"] == {"f": "NaN", "1": "<object>"}
    assert reports[0].respPayload == "<builtin_function_or_method>"


@pytest.mark.parametrize("make", [metadata, lambda **kw: span("s", metadata=kw)])
@pytest.mark.parametrize("value", [[1], {"a": 1}, object(), float("nan"), b"x"])
def test_wrong_metadata(make, value):
    """Values that are no scalars raise at once, with the key's name and not the value."""
    with pytest.raises(TypeError, match="'bad'") as raised:
        make(bad=value)
    assert repr(value) not in str(raised.value)


def test_metadata_restores(reports):
    """Leaving a block brings back what was in force before, also after an error."""
    before = scope.get()
    with pytest.raises(ZeroDivisionError), metadata(a=1), metadata(b=2):
        raise ZeroDivisionError
    assert scope.get() is before


def test_left_in_another_context():
    """A block can be left in another context than it was entered in."""
    block = metadata(a=1)
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert scope.get().metadata == {}


async def test_tasks(reports):
    """Each task has the labels of the block it was started in."""

    async def work(number):
        with metadata(number=number):
            await asyncio.sleep(0)
            with span("work"):
                await asyncio.sleep(0)

    with metadata(outer=True):
        await asyncio.gather(*map(work, range(5)))
    labels = [report.reqPayload["metadata"] for report in reports]
    assert sorted(label["number"] for label in labels) == list(range(5))
    assert all(label["outer"] for label in labels)


def test_interleaved_generators():
    """A generator's block that is left first takes nothing of another's with it."""

    def one():
        with span("one", metadata={"of": "one"}):
            yield

    def other():
        with metadata(of="other", report=False):
            for _ in range(3):
                yield labels()

    first, second = one(), other()
    next(first)
    seen = [next(second)]
    first.close()
    seen += list(second)
    assert seen == [("other", False)] * 3
    assert labels() == (None, True)


async def test_abandoned_generators():
    """Async generators that are left with `break` leave nothing behind."""

    async def steps():
        with metadata(report=False, of="steps"):
            yield labels()
            yield labels()

    with metadata(of="outer"):
        for _ in range(50):
            async for found in steps():
                assert found == ("steps", False)
                break
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert labels() == ("outer", True)
        depth, current = 0, scope.get()
        while current.token is not None and current.token.outer is not None:
            depth, current = depth + 1, current.token.outer
        assert depth < 4
    assert labels() == (None, True)


async def test_generator_closed_by_another_task():
    """An undecorated one that another task closes leaves nothing behind in its reader's."""

    async def steps():
        with span("steps", metadata={"of": "steps"}), metadata(report=False):
            yield labels()

    stream = steps()
    assert await anext(stream) == ("steps", False)
    await asyncio.create_task(stream.aclose())
    assert labels() == (None, True)


async def test_tasks_outlive_their_block():
    """A task that was started inside a block keeps its labels after the block."""
    ended = asyncio.Event()

    async def work():
        await ended.wait()
        return labels()

    with metadata(of="block"):
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
    assert labels() == (None, True)
    ended.set()
    assert await task == ("block", True)


def test_generator_with_a_span_closed_early(reports):
    """A block in a generator that is closed early says so, and is no error."""

    def steps():
        with span("steps"):
            yield

    stream = steps()
    next(stream)
    stream.close()
    assert (reports[0].statusCode, reports[0].errorMessage) == (200, "left before its end")


@pytest.mark.parametrize(
    "values, told",
    [({1: 2}, "strings as keys, got 1"), ([("a", 1)], "must be a mapping, got list")],
)
def test_wrong_keys(values, told):
    """What is no mapping of names is refused at once."""
    for argument in ("metadata", "tags"):
        with pytest.raises(TypeError, match=told):
            span("work", **{argument: values})


def test_any_name():
    """Labels may be called `self`."""
    with metadata(self="x"):
        assert current_scope().metadata == {"self": "x"}


def test_report_false(reports):
    """Inside `metadata(report=False)` nothing is reported, however deep."""
    with metadata(report=False), metadata(report=True), span("work"):
        pass
    assert reports == []


def test_report_false_costs_nothing(reports):
    """What is not reported is not turned into JSON either."""

    asked = []

    class Odd(BaseModel):
        @model_serializer
        def plain(self):
            asked.append(self)
            return {}

    with metadata(report=False), span("work", request=Odd()) as work:
        work.response = Odd()
    with span("work", request=Odd(), report=False):
        pass
    assert (reports, asked) == ([], [])


def test_where_a_span_was_made_does_not_count(reports):
    """A span that served a block that is not reported still decorates functions that are."""
    work = span("work")
    with metadata(report=False), work:
        pass

    @work
    def function():
        return 1

    function()
    assert [report.respPayload for report in reports] == [1]


def test_reporter_of_a_span(monkeypatch):
    """The argument, else the enclosing span's, else the environment's, else the only one."""
    taken = []
    monkeypatch.setattr(Reporter, "submit", lambda self, source: taken.append(self))
    one = Reporter(base_url="http://127.0.0.1:9/1")
    with span("only"):
        pass
    two = Reporter(base_url="http://127.0.0.1:9/2")
    with span("outer", reporter=two), span("inner"):
        pass
    monkeypatch.setenv("OPENPIPE_BASE_URL", "http://127.0.0.1:9/3")
    with span("environment"):
        pass
    assert [reporter.settings.base_url[-1] for reporter in taken] == ["1", "2", "2", "3"]
    assert taken[0] is one


def test_no_reporter(caplog):
    """Without any reporter a span says once that it has nowhere to go."""
    for _ in range(2):
        with span("work"):
            pass
    lines = [record.getMessage() for record in caplog.records]
    assert sum("has no reporter" in line for line in lines) == 1


def test_captured_reports_nest():
    """The innermost block collects."""
    with captured_reports() as outer:
        with captured_reports() as inner, span("inner"):
            pass
        with span("outer"):
            pass
    assert [report.reqPayload["name"] for report in (*inner, *outer)] == ["inner", "outer"]


async def test_one_block_in_two_tasks():
    """A `metadata()` that several tasks share leaves each its own labels."""
    shared, gates = metadata(feature="s"), [asyncio.Event(), asyncio.Event()]
    seen = {}

    async def work(user, mine, other):
        with metadata(user=user):
            with shared:
                gates[mine].set()
                await gates[other].wait()
            seen[user] = dict(scope.get().metadata)

    await asyncio.gather(work("a", 0, 1), work("b", 1, 0))
    assert seen == {"a": {"user": "a"}, "b": {"user": "b"}}
    with shared, shared:
        pass
    assert scope.get().metadata == {}


def test_payload_that_refers_to_itself(reports):
    """A payload with a cycle is described, and neither hangs nor raises."""
    tree = {"kids": [{}, {}, {}]}
    for kid in tree["kids"]:
        kid["parent"] = tree
    with span("work", request=tree):
        pass
    assert reports[0].reqPayload["input"] == {"kids": [{"parent": "<circular>"}] * 3}


def test_payload_whose_serializer_raises(reports):
    """A model that cannot be serialized is named; the span goes on."""

    class Broken(BaseModel):
        @model_serializer
        def refuse(self):
            raise ValueError("no")

    with span("work", request={"m": Broken()}) as work:
        work.response = Broken()
    assert reports[0].reqPayload["input"] == {"m": "<Broken>"}
    assert reports[0].respPayload == "<Broken>"


def test_disabled_reporter():
    """A reporter that is switched off takes no span."""
    reporter = Reporter(base_url="http://127.0.0.1:9", enabled=False)
    with span("work", reporter=reporter):
        pass
    assert reporter.stats().pending == 0


def test_captured_whatever_the_reporter():
    """Inside `captured_reports()` nothing goes to a span's own reporter."""
    reporter = Reporter(base_url="http://127.0.0.1:9")
    with captured_reports() as captured, span("work", reporter=reporter):
        pass
    assert len(captured) == 1
    assert reporter.stats().pending == 0


def test_two_reporters_and_none_chosen():
    """A span that could go to several reporters goes to none, and is counted."""
    both = [Reporter(base_url=f"http://127.0.0.1:9/{number}") for number in (1, 2)]
    with span("work"):
        pass
    assert sum(reporter.stats().dropped.get("no reporter", 0) for reporter in both) == 1
