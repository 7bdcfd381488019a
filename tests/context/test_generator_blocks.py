"""metadata() and span() as blocks in generators, whoever takes their steps."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AsyncExitStack,
    ExitStack,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
)

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from support.blocks import NOTHING, async_labels, check_nothing_left, labels

from openpipe_report import metadata, span, with_context
from openpipe_report._context.binding import open_blocks
from openpipe_report._context.scope import current_scope


@contextmanager
def entered(of, **values):
    with metadata(of=of, **values):
        yield


@contextmanager
def entered_twice(of, **values):
    with entered(of, **values):
        yield


class Entered:
    def __init__(self, of, **values):
        self._block = entered_twice(of, **values)

    def __enter__(self):
        return self._block.__enter__()

    def __exit__(self, *error):
        return self._block.__exit__(*error)


@contextmanager
def stacked(of, **values):
    with ExitStack() as stack:
        stack.enter_context(metadata(of=of, **values))
        yield


BLOCKS = {
    "metadata": lambda of, **values: metadata(of=of, **values),
    "span": lambda of, report=True: span("work", metadata={"of": of}, report=report),
    "contextmanager": entered,
    "nested": entered_twice,
    "class": Entered,
    "stack": stacked,
}


@pytest.fixture(params=BLOCKS.values(), ids=BLOCKS)
def block(request, reports):
    """A way to enter a block."""
    return request.param


@pytest.fixture(autouse=True)
def nothing_left():
    """No block is left open, and none in force."""
    yield
    check_nothing_left()


def in_a_context(step):
    return contextvars.copy_context().run(step)


def in_an_empty_context(step):
    return contextvars.Context().run(step)


def in_a_thread(step):
    found = []
    thread = threading.Thread(target=lambda: found.append(step()))
    thread.start()
    thread.join()
    return found[0]


def in_a_loop(step):
    async def run():
        return step()

    return asyncio.run(run())


@pytest.fixture(params=["here", "context", "empty context", "thread", "pool", "loop"])
def take(request):
    """A way to take the steps of a generator."""
    if request.param == "pool":
        with ThreadPoolExecutor(3) as pool:
            yield lambda step: pool.submit(step).result()
        return
    yield {
        "here": lambda step: step(),
        "context": in_a_context,
        "empty context": in_an_empty_context,
        "thread": in_a_thread,
        "loop": in_a_loop,
    }[request.param]


def steps(block, of="gen", **values):
    with block(of, **values):
        yield labels()
        yield nested()
        yield labels()
    yield labels()


def nested():
    """A function that the generator calls, with a block of its own."""
    with metadata(inner=1):
        return labels()


@pytest.mark.parametrize("report", [True, False])
def test_steps_elsewhere(block, take, report):
    """A block in a generator holds for the whole block, and for nothing of its consumer's."""
    with metadata(of="consumer"):
        stream = steps(block, report=report)
        seen = []
        for _ in range(4):
            seen.append(take(lambda: next(stream)))
            assert take(labels)[1] is True
            assert labels() == ("consumer", True)
    assert seen[:3] == [("gen", report)] * 3
    assert seen[3][0] != "gen"
    assert seen[3][1] is True


def test_delegation(block, take):
    """`yield from` keeps the blocks of both generators."""

    def outer():
        with block("outer", report=False):
            yield from steps(entered, "inner")
            yield labels()

    stream = outer()
    seen = [take(lambda: next(stream)) for _ in range(5)]
    assert seen == [("inner", False)] * 3 + [("outer", False)] * 2
    stream.close()


def test_two_blocks_of_one_generator(block, take):
    """Blocks within one another, and one after the other, in one generator."""

    def work():
        with block("outer"):
            with block("inner", report=False):
                yield labels()
                yield labels()
            yield labels()
            with block("next"):
                yield labels()
        with metadata(of="last"):
            yield labels()

    stream = work()
    seen = [take(lambda: next(stream)) for _ in range(5)]
    stream.close()
    assert [of for of, _ in seen] == ["inner", "inner", "outer", "next", "last"]
    assert [report for _, report in seen] == [False, False, True, True, True]


def test_interleaved(block, take):
    """Generators that take turns keep each its own, in whatever order they end."""
    with closing(steps(block, "one", report=False)) as one, closing(steps(block, "two")) as two:
        seen = [take(lambda s=stream: next(s)) for stream in (one, two, one, two, one)]
        one.close()
        seen.append(take(lambda: next(two)))
        assert labels() == NOTHING
    ones, twos = ("one", False), ("two", True)
    assert seen == [ones, twos, ones, twos, ones, twos]


def test_blocks_of_the_consumer_between_steps(block):
    """The consumer's blocks, entered and left between steps, do not change the generator's."""
    stream = steps(block)
    with metadata(of="first"):
        seen = [next(stream)]
        assert labels() == ("first", True)
    with metadata(of="second"):
        seen.append(next(stream))
        assert labels() == ("second", True)
    assert labels() == NOTHING
    seen.append(next(stream))
    assert seen == [("gen", True)] * 3
    assert next(stream) == NOTHING


def test_opt_out_around_a_step(block, take):
    """An opt-out that is in force where a step is taken holds for that step."""
    stream = steps(block)

    def step():
        with metadata(report=False):
            return next(stream)

    assert take(lambda: next(stream)) == ("gen", True)
    assert take(step) == ("gen", False)
    assert take(lambda: next(stream)) == ("gen", True)
    stream.close()


def test_opt_out_of_a_generator_around_anothers_step(block, take):
    """A generator that is not reported takes steps of another that began elsewhere."""
    inner = steps(block, "inner")
    next(inner)

    def outer():
        with block("outer", report=False):
            yield next(inner)
            yield next(inner)

    stream = outer()
    assert [take(lambda: next(stream)) for _ in range(2)] == [("inner", False)] * 2
    assert next(inner) == NOTHING
    stream.close()


def test_closed_and_collected(block, take):
    """A generator that is closed or forgotten half way leaves nothing behind."""
    closed = steps(block, report=False)
    assert take(lambda: next(closed)) == ("gen", False)
    take(closed.close)
    assert not open_blocks
    forgotten = [steps(block, report=False)]
    assert take(lambda: next(forgotten[0])) == ("gen", False)
    forgotten.clear()
    assert not open_blocks
    assert take(labels) == NOTHING


def test_collected_in_a_cycle(block):
    """A generator that the garbage collector finds leaves nothing behind."""
    stream = steps(block)
    next(stream)
    cycle = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()
    assert not open_blocks


def test_frames_that_are_used_again(block):
    """Generators that take the memory of finished ones have nothing of theirs."""
    for _ in range(50):
        stream = steps(block, report=False)
        next(stream)
        del stream
        plain = (labels() for _ in range(2))
        assert list(plain) == [NOTHING] * 2


def test_error_in_a_generator(block, take):
    """An exception that leaves the block ends it."""

    def work():
        try:
            with block("gen", report=False):
                yield labels()
                raise KeyError
        except KeyError:
            yield labels()

    stream = work()
    assert take(lambda: next(stream)) == ("gen", False)
    assert take(lambda: next(stream)) == NOTHING
    stream.close()


def test_one_block_in_two_generators(take):
    """A `metadata()` that generators share serves each, in whatever order they end."""
    shared = metadata(of="shared", report=False)

    def work(own):
        with metadata(own=own), shared:
            yield current_scope().metadata
            yield current_scope().metadata
        yield current_scope().metadata

    one, two = work(1), work(2)
    seen = [take(lambda s=stream: next(s)) for stream in (one, two, one, one, two)]
    assert [dict(found) for found in seen] == [
        {"own": 1, "of": "shared"},
        {"own": 2, "of": "shared"},
        {"own": 1, "of": "shared"},
        seen[3],
        {"own": 2, "of": "shared"},
    ]
    assert "of" not in seen[3]
    two.close()
    one.close()


def test_context_managers_made_of_generators(block):
    """A block in a `@contextmanager` is in force in the body of its `with`, outside generators."""

    @contextmanager
    def labelled():
        with block("gen"):
            yield

    with labelled():
        assert labels() == ("gen", True)
        assert in_a_context(labels) == ("gen", True)
    assert labels() == NOTHING


@pytest.fixture
def fixture_with_a_block():
    """A fixture that puts labels in force for its test."""
    with metadata(of="fixture"):
        yield
    assert labels() == NOTHING


def test_fixtures(fixture_with_a_block):
    """A block in a fixture is in force in the test."""
    assert labels() == ("fixture", True)


def test_loop_on_top_of_a_generator(block):
    """Tasks that a generator runs to their end have its labels; its consumer's have not."""

    def work():
        with block("gen", report=False):
            yield asyncio.run(async_labels())
            yield asyncio.run(async_labels())
            yield labels()

    stream = work()
    assert next(stream) == ("gen", False)
    assert asyncio.run(async_labels()) == NOTHING
    assert in_a_thread(lambda: next(stream)) == ("gen", False)
    assert asyncio.run(async_labels()) == NOTHING
    stream.close()


def test_threads_that_a_generator_starts(block):
    """with_context() and copied contexts carry a generator's labels into threads."""

    def work(pool):
        with block("gen", report=False):
            context = contextvars.copy_context()
            yield pool.submit(context.run, labels).result()
            yield pool.submit(with_context(labels)).result()

    with ThreadPoolExecutor(1) as pool:
        stream = work(pool)
        assert next(stream) == ("gen", False)
        assert in_a_context(lambda: next(stream)) == ("gen", False)
        assert pool.submit(labels).result() == NOTHING
        stream.close()


def test_carried_function_in_a_generator(block, take):
    """What with_context() carried from elsewhere is within the generator that calls it."""
    with metadata(of="carried"):
        carried = with_context(labels)

    def work(**values):
        with block("gen", **values):
            yield carried()
            yield carried()

    stream = work()
    assert [take(lambda: next(stream)) for _ in range(2)] == [("carried", True)] * 2
    stream.close()
    stream = work(report=False)
    assert [take(lambda: next(stream)) for _ in range(2)] == [("carried", False)] * 2
    stream.close()


def test_decorated_generators(block, take, reports):
    """Blocks in a generator that is decorated, and that such a one runs in."""

    @span("work", metadata={"of": "span"})
    def decorated():
        yield labels()
        with block("block", report=False):
            yield labels()
            yield labels()
        yield labels()

    def outer():
        with block("outer"):
            yield from decorated()
            yield labels()

    stream = outer()
    seen = []
    for _ in range(5):
        seen.append(take(lambda: next(stream)))
        assert labels() == NOTHING
    stream.close()
    assert [of for of, _ in seen] == ["span", "block", "block", "span", "outer"]
    assert [report for _, report in seen] == [True, False, False, True, True]


def test_trace_of_a_generator(take, reports):
    """The spans of later steps are children of the generator's."""

    def work():
        with span("outer"):
            for number in range(3):
                with span(f"inner {number}"):
                    pass
                yield

    stream = work()
    for _ in range(4):
        take(lambda: next(stream, None))
    outer = reports[-1]
    assert outer.reqPayload["name"] == "outer"
    for report in reports[:-1]:
        assert report.tags["$trace_id"] == outer.tags["$trace_id"]
        assert report.tags["$parent_span_id"] == outer.tags["$span_id"]
    assert len(reports) == 4


def test_memory_of_one_thread(block):
    """A thread that takes first steps for ever does not pile up what they left in its context."""
    held = []
    with ThreadPoolExecutor(1) as pool:
        previous = None
        for _ in range(30):
            stream = steps(block)
            pool.submit(next, stream).result()
            token = next(iter(open_blocks.values()))() if len(open_blocks) == 1 else None
            held.append(weakref.ref(token) if token else lambda: None)
            del token
            previous = stream
        del previous, stream
        pool.submit(labels).result()
        gc.collect()
        assert [token() for token in held] == [None] * len(held)


def test_many_threads(block):
    """Generators that many threads step at once each keep their own."""

    def work(number):
        with block(number, report=number % 2 == 0):
            for _ in range(50):
                yield labels() == (number, number % 2 == 0)

    streams = [work(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            assert all(pool.map(next, streams))
            assert set(pool.map(lambda _: labels(), range(40))) == {NOTHING}
        list(pool.map(lambda stream: stream.close(), streams))


@pytest.mark.parametrize("report", [True, False])
async def test_streaming_response(block, report):
    """A plain generator that FastAPI streams keeps its labels to its end, and to itself."""
    app, after = FastAPI(), []

    @app.get("/")
    def serve() -> StreamingResponse:
        def work():
            with block("gen", report=report):
                for _ in range(5):
                    yield repr(labels())
            after.append(labels())

        return StreamingResponse(work())

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        found = await asyncio.gather(*(client.get("/") for _ in range(4)))
    assert [answer.text for answer in found] == [repr(("gen", report)) * 5] * 4
    assert after == [NOTHING] * 4


# Asynchronous generators.


async def async_steps(block, of="gen", **values):
    with block(of, **values):
        for _ in range(3):
            await asyncio.sleep(0)
            yield await async_labels()
    yield labels()


async def in_this_task(stream):
    return await anext(stream)


async def in_a_task(stream):
    return await asyncio.create_task(stream.__anext__())


async def in_an_empty_task(stream):
    return await contextvars.Context().run(lambda: asyncio.ensure_future(in_this_task(stream)))


async def under_wait_for(stream):
    return await asyncio.wait_for(anext(stream), 5)


ASYNC_STEPS = [in_this_task, in_a_task, in_an_empty_task, under_wait_for]


@pytest.fixture(params=ASYNC_STEPS)
def take_async(request):
    """A way to take the steps of an async generator."""
    return request.param


@pytest.mark.parametrize("take", ASYNC_STEPS)
@pytest.mark.parametrize("report", [True, False])
async def test_async_steps_elsewhere(block, take, report):
    """A block in an async generator holds for the whole block, and not for its consumer."""
    with metadata(of="consumer"):
        stream = async_steps(block, report=report)
        seen = []
        for _ in range(3):
            seen.append(await take(stream))
            assert labels() == await async_labels() == ("consumer", True)
        last = await take(stream)
    assert seen == [("gen", report)] * 3
    assert last[0] != "gen"
    assert last[1] is True


@pytest.mark.parametrize("take", ASYNC_STEPS)
async def test_interleaved_async(block, take):
    """Async generators that take turns keep each its own."""
    async with aclosing(async_steps(block, "two")) as two:
        one = async_steps(block, "one", report=False)
        seen = [await take(stream) for stream in (one, two, one, two)]
        await one.aclose()
        seen.append(await take(two))
        assert labels() == NOTHING
    ones, twos = ("one", False), ("two", True)
    assert seen == [ones, twos, ones, twos, twos]


async def test_tasks_that_an_async_generator_starts(block):
    """Tasks and threads that are started inside have its labels, also after its end."""
    going = asyncio.Event()

    async def later():
        await going.wait()
        return labels()

    async def work():
        with block("gen", report=False):
            yield await asyncio.gather(async_labels(), asyncio.to_thread(labels))
            yield asyncio.create_task(later())

    stream = work()
    assert await anext(stream) == [("gen", False)] * 2
    task = await anext(stream)
    await stream.aclose()
    going.set()
    assert await task == ("gen", False)


async def test_async_block_in_an_async_generator(reports):
    """`async with` is bound as `with` is, through context managers and stacks, too."""

    @asynccontextmanager
    async def labelled(of):
        async with metadata(of=of):
            yield

    async def work():
        async with span("work", metadata={"of": "span"}):
            yield labels()
            async with labelled("manager"):
                yield labels()
                yield labels()
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(labelled("stack"))
                yield labels()
                yield labels()
            yield labels()

    stream = work()
    seen = []
    for _ in range(6):
        seen.append(await in_an_empty_task(stream))
        assert labels() == NOTHING
    await stream.aclose()
    assert [of for of, _ in seen] == ["span", "manager", "manager", "stack", "stack", "span"]
    async with labelled("body"):
        assert await async_labels() == ("body", True)


def test_async_generator_that_is_never_finished():
    """One whose event loop has ended is forgotten with its block."""

    async def work():
        with metadata(of="gen"):
            yield labels()
            yield labels()

    stream = work()
    step = stream.asend(None)
    with pytest.raises(StopIteration) as stop:
        step.send(None)
    assert stop.value.value == ("gen", True)
    assert labels() == NOTHING
    del stop, step, stream
    gc.collect()
    assert not open_blocks


async def test_sync_generator_in_async_consumers(block):
    """Tasks that a plain generator's consumer starts between its steps are not in its block."""
    stream = steps(block, report=False)
    for _ in range(3):
        assert next(stream) == ("gen", False)
        assert await asyncio.gather(async_labels(), async_labels()) == [NOTHING] * 2
        assert await async_labels() == NOTHING
    assert next(stream) == NOTHING


def test_trio(block):
    """Tasks of trio's that an async generator starts have its labels; its consumer has not."""
    trio = pytest.importorskip("trio")

    async def work():
        with block("gen", report=False):
            for _ in range(2):
                seen = []

                async def child(seen=seen):
                    await trio.sleep(0)
                    seen.append(labels())

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(child)
                yield seen

    async def main():
        async for seen in work():
            assert seen == [("gen", False)]
            assert labels() == NOTHING
        assert labels() == NOTHING

    trio.run(main)


def test_task_of_trio_that_outlives_its_block():
    """A task that is started inside a block keeps its labels when its parent leaves the block."""
    trio = pytest.importorskip("trio")

    async def main():
        left = trio.Event()
        found = []

        async def child():
            await left.wait()
            found.append(labels())

        async with trio.open_nursery() as nursery:
            with metadata(of="block", report=False):
                nursery.start_soon(child)
            left.set()
            assert labels() == NOTHING
        assert found == [("block", False)]

    trio.run(main)


async def test_consumers_block_that_ends_between_steps(block):
    """A consumer's block that was left while a generator's is open is in nobody's way."""
    outer = metadata(of="outer")
    outer.__enter__()
    stream = steps(block)
    next(stream)
    outer.__exit__(None, None, None)
    assert await asyncio.gather(async_labels()) == [NOTHING]
    assert next(stream) == ("gen", True)
    stream.close()
    assert await asyncio.gather(async_labels()) == [NOTHING]


async def test_decorated_async_generator(take_async, reports):
    """One that is decorated is exact for the tasks of its own and of its consumer."""

    @span("work", metadata={"of": "span"})
    async def work():
        with metadata(report=False):
            for _ in range(3):
                yield await asyncio.gather(async_labels(), asyncio.to_thread(labels))

    stream = work()
    for _ in range(3):
        assert await take_async(stream) == [("span", False)] * 2
        assert await asyncio.gather(async_labels()) == [NOTHING]
    await stream.aclose()


async def test_dependencies():
    """A block in a dependency of FastAPI's labels the endpoint, and what that streams."""
    app = FastAPI()

    async def labelled():
        with metadata(of="dependency"):
            yield

    @app.get("/", dependencies=[Depends(labelled)])
    async def serve() -> StreamingResponse:
        own = labels()
        return StreamingResponse(repr(each) for each in (own, labels()))

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/")).text == repr(("dependency", True)) * 2
    assert labels() == NOTHING
