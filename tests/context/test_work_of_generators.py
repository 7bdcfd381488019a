"""Opt-outs of blocks in generators hold for the work that their steps start elsewhere."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

import anyio
import anyio.to_thread
import pytest
from support.backend import HANG_GUARD
from support.blocks import NOTHING, async_labels, check_nothing_left, labels
from support.shapes import chat_completion

from openpipe_report import AsyncOpenAI, metadata, span
from openpipe_report._context.binding import open_blocks

OPTED_OUT = ("gen", False)


@pytest.fixture(autouse=True)
def nothing_left():
    """No block is left open, and none in force."""
    yield
    check_nothing_left()


def opt_out():
    return metadata(of="gen", report=False)


# Work that a step of an async generator starts.


async def by_gather():
    [found, _] = await asyncio.gather(async_labels(), asyncio.sleep(0))
    return found


async def by_to_thread():
    return await asyncio.to_thread(labels)


async def by_wait_for():
    return await asyncio.wait_for(async_labels(), 5)


async def by_create_task():
    return await asyncio.create_task(async_labels())


async def by_a_nested_task():
    return await asyncio.create_task(by_gather())


async def by_anyio():
    return await anyio.to_thread.run_sync(labels)


async def by_copied_context():
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(None, context.run, labels)


async def by_run_coroutine_threadsafe():
    loop = asyncio.get_running_loop()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(async_labels(), loop))


STARTS = [
    by_gather,
    by_to_thread,
    by_wait_for,
    by_create_task,
    by_a_nested_task,
    by_anyio,
    by_copied_context,
    by_run_coroutine_threadsafe,
]


async def in_this_task(stream):
    return await anext(stream)


async def in_a_task(stream):
    return await asyncio.create_task(stream.__anext__())


async def in_an_empty_task(stream):
    async def step():
        return await anext(stream)

    return await contextvars.Context().run(lambda: asyncio.ensure_future(step()))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("take", [in_this_task, in_a_task, in_an_empty_task])
async def test_work_of_later_steps(start, take):
    """Tasks and threads that a later step starts are in the block; the consumer's are not."""

    async def work():
        with opt_out():
            for _ in range(3):
                yield await start()
        yield await start()

    stream = work()
    for _ in range(3):
        assert await take(stream) == OPTED_OUT
        assert await start() == NOTHING
        assert labels() == NOTHING
    assert await take(stream) == NOTHING
    await stream.aclose()


async def test_task_that_outlives_its_step():
    """A task that a later step has started stays in the block when the generator goes on."""
    going = asyncio.Event()

    async def later():
        await going.wait()
        return await asyncio.gather(async_labels())

    async def work():
        with opt_out():
            yield None
            yield asyncio.create_task(later())

    stream = work()
    await in_a_task(stream)
    task = await in_a_task(stream)
    await stream.aclose()
    going.set()
    assert await task == [OPTED_OUT]


async def test_labels_of_the_consumer():
    """Work of a step has the labels of the block, which joins its own to the consumer's."""

    async def work():
        with span("work", metadata={"of": "gen"}, report=False):
            for _ in range(2):
                yield await asyncio.gather(async_labels())

    with metadata(of="consumer"):
        stream = work()
        for _ in range(2):
            assert await in_a_task(stream) == [OPTED_OUT]
            assert await asyncio.gather(async_labels()) == [("consumer", True)]
        await stream.aclose()


async def test_calls(scripted, reports):
    """Calls that later steps make in tasks are not reported; the consumer's are."""
    for _ in range(6):
        scripted.json(chat_completion())
    async with AsyncOpenAI(base_url=scripted.base_url, api_key="k") as client:

        async def call(text):
            messages = [{"role": "user", "content": text}]
            await client.chat.completions.create(model="m", messages=messages)

        async def work():
            with metadata(report=False):
                for _ in range(2):
                    yield await asyncio.gather(call("secret"), call("secret"))

        stream = work()
        for _ in range(2):
            await in_a_task(stream)
            await asyncio.gather(call("public"))
        await stream.aclose()
    assert [report.reqPayload["messages"][0]["content"] for report in reports] == ["public"] * 2


async def test_two_async_generators():
    """The work of each of two generators is in that one's block."""

    async def work(of, report):
        with metadata(of=of, report=report):
            for _ in range(3):
                yield await by_gather(), await by_to_thread()

    one, two = work("one", False), work("two", True)
    for _ in range(3):
        assert await in_a_task(one) == (("one", False),) * 2
        assert await in_a_task(two) == (("two", True),) * 2
    await one.aclose()
    await two.aclose()


async def test_task_factory():
    """A task factory of the program's is still called, and is back when no block is open."""
    made = []

    def make(loop, coroutine, **options):
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def work():
        with opt_out():
            while True:
                yield await by_create_task()

    loop = asyncio.get_running_loop()
    loop.set_task_factory(make)
    stream = work()
    for _ in range(2):
        assert await in_a_task(stream) == OPTED_OUT
    assert len(made) == 4
    await stream.aclose()
    await asyncio.create_task(asyncio.sleep(0))
    assert loop.get_task_factory() is make
    assert len(made) == 5


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has no eager tasks")
async def test_eager_task_factory():
    """Eager tasks have the block and start at once, but not in a group of anyio's."""
    order = []

    async def child():
        order.append(labels())

    async def work():
        with opt_out():
            while True:
                task = asyncio.create_task(child())
                order.append("made")
                await task
                async with anyio.create_task_group() as group:
                    group.start_soon(child)
                    order.append("started")
                yield

    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    stream = work()
    await anext(stream)
    assert order == [OPTED_OUT, "made", "started", OPTED_OUT]
    await stream.aclose()
    await asyncio.create_task(asyncio.sleep(0))
    assert loop.get_task_factory() is asyncio.eager_task_factory


def test_copy_context_is_like_the_builtin(monkeypatch):
    """It becomes no method of a class, can be pickled, and needs no caller in Python."""

    def work():
        with opt_out():
            yield

    class Holder:
        copy = contextvars.copy_context

    stream = work()
    next(stream)
    Holder.later = contextvars.copy_context
    assert isinstance(Holder().copy(), contextvars.Context)
    assert isinstance(Holder().later(), contextvars.Context)
    assert pickle.loads(pickle.dumps(contextvars.copy_context)) is contextvars.copy_context
    raised = []
    monkeypatch.setattr(sys, "unraisablehook", lambda problem: raised.append(problem.exc_value))
    context, is_over = contextvars.Context(), threading.Event()
    weakref.finalize(context, is_over.set)
    _thread.start_new_thread(context.run, (contextvars.copy_context,))
    del context
    assert is_over.wait(HANG_GUARD)
    stream.close()
    assert raised == []


def test_modules_that_are_not_loaded_yet(tmp_path):
    """A lazy module is not executed because a block is entered in a generator."""
    (tmp_path / "lazy.py").write_text("open('executed', 'w').close()")
    script = """
import contextvars, importlib.util, sys
from openpipe_report import metadata
spec = importlib.util.find_spec("lazy")
spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules["lazy"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["lazy"])
before = contextvars.copy_context
def work():
    with metadata(report=False):
        yield
next(stream := work())
assert contextvars.copy_context is not before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, cwd=tmp_path)
    assert not (tmp_path / "executed").exists()


def test_loop_without_task_factories(caplog):
    """An event loop that knows no task factories does not fail the program's block."""

    class Loop(asyncio.SelectorEventLoop):
        def get_task_factory(self):
            raise NotImplementedError

    async def work():
        with opt_out():
            for _ in range(2):
                yield await asyncio.to_thread(labels)

    async def main():
        stream = work()
        for _ in range(2):
            assert await in_a_task(stream) == OPTED_OUT
        await stream.aclose()

    loop = Loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert [line for line in caplog.messages if "NotImplementedError" in line]


async def test_work_of_a_generator_that_is_closed():
    """Tasks that the cleanup of an async generator starts are in the block."""
    found = []

    async def work():
        with opt_out():
            try:
                yield
            finally:
                found.append(await by_gather())

    stream = work()
    await in_a_task(stream)
    await asyncio.create_task(stream.aclose())
    assert found == [OPTED_OUT]


# Work that a step of a plain generator starts.


def in_a_context(step):
    return contextvars.copy_context().run(step)


def in_an_empty_context(step):
    return contextvars.Context().run(step)


def in_a_thread(step):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(step).result()


def by_context():
    return contextvars.copy_context().run(labels)


def by_thread_with_the_context():
    found = []
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: found.append(context.run(labels)))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("take", [in_a_context, in_an_empty_context, in_a_thread])
@pytest.mark.parametrize("start", [by_context, by_thread_with_the_context])
def test_contexts_of_later_steps(take, start):
    """A context that a later step copies has the block; one that the consumer copies has not."""

    def work():
        with opt_out():
            for _ in range(3):
                yield start()
        yield start()

    stream = work()
    for _ in range(3):
        assert take(lambda: next(stream)) == OPTED_OUT
        assert start() == NOTHING
    assert take(lambda: next(stream)) == NOTHING
    stream.close()


@pytest.mark.parametrize("take", [lambda step: step(), in_a_context, in_a_thread])
def test_context_used_between_steps(take):
    """A context that was copied inside carries the block to wherever it is used, and whenever."""

    def work():
        with opt_out():
            for _ in range(2):
                yield contextvars.copy_context()

    stream = work()
    contexts = [take(lambda: next(stream)) for _ in range(2)]
    assert [context.run(labels) for context in contexts] == [OPTED_OUT] * 2
    assert [in_a_thread(lambda c=context: c.run(labels)) for context in contexts] == [OPTED_OUT] * 2
    stream.close()
    assert [context.run(labels) for context in contexts] == [OPTED_OUT] * 2


# Blocks that helpers enter.


class EnteredByAMethod:
    def __enter__(self):
        self.open()

    def open(self):
        self._block = opt_out()
        self._block.__enter__()

    def __exit__(self, *error):
        self.close()

    def close(self):
        self._block.__exit__(None, None, None)


class Stacked:
    def __enter__(self):
        self._stack = ExitStack()
        self.open()

    def open(self):
        self._stack.enter_context(opt_out())

    def __exit__(self, *error):
        self._stack.close()


@contextmanager
def managed():
    with opt_out():
        yield


class Begun:
    """Begins a generator by hand, as contextlib does it."""

    def __enter__(self):
        self.begin()

    def begin(self):
        self._generator = managed.__wrapped__()
        next(self._generator)

    def __exit__(self, *error):
        next(self._generator, None)


@contextmanager
def delegated():
    with EnteredByAMethod():
        yield


def enter(manager):
    """A function that enters a block and leaves it open."""
    manager.__enter__()


HELPERS = [EnteredByAMethod, Stacked, managed, Begun, delegated]


@pytest.fixture(params=HELPERS)
def helper(request):
    """A way to enter an opt-out through a helper."""
    return request.param


@pytest.mark.parametrize("take", [lambda step: step(), in_an_empty_context, in_a_thread])
def test_helper_in_a_generator(helper, take):
    """A block that a helper enters is the generator's whose `with` calls the helper."""

    def work():
        with helper():
            yield labels()
            yield labels()
            yield by_context()
        yield labels()

    stream = work()
    for _ in range(3):
        assert take(lambda: next(stream)) == OPTED_OUT
        assert take(labels) == NOTHING
    assert take(lambda: next(stream)) == NOTHING
    stream.close()


def test_helper_in_a_function(helper):
    """A block that a helper enters is in force in the body of a function's `with`."""
    with helper():
        assert labels() == by_context() == OPTED_OUT
    assert labels() == NOTHING


@pytest.mark.parametrize("take", [in_an_empty_context, in_a_thread])
def test_block_left_open_by_a_function(helper, take):
    """A block that a function leaves open is that of the generator that calls the function."""

    def work():
        manager = helper()
        enter(manager)
        yield labels()
        yield labels()
        manager.__exit__(None, None, None)
        yield labels()

    stream = work()
    assert [take(lambda: next(stream)) for _ in range(3)] == [OPTED_OUT, OPTED_OUT, NOTHING]
    stream.close()


@asynccontextmanager
async def async_managed():
    async with opt_out():
        yield


async def enter_into(stack):
    await stack.enter_async_context(async_managed())


async def test_block_left_open_by_a_coroutine():
    """A block that a coroutine leaves open is that of the generator that awaits it."""

    async def work():
        async with AsyncExitStack() as stack:
            await enter_into(stack)
            for _ in range(3):
                yield await async_labels(), await by_gather()

    stream = work()
    for _ in range(3):
        assert await in_an_empty_task(stream) == (OPTED_OUT, OPTED_OUT)
        assert labels() == NOTHING
    await stream.aclose()


def test_functions_blocks_inside_a_generator():
    """A `with` of a function's or task's own is bound to no generator below it on the stack."""
    found = []

    def function():
        with metadata(of="function"):
            found.append(len(open_blocks))
            return labels()

    async def task():
        with metadata(of="task"):
            await asyncio.sleep(0)
            found.append(len(open_blocks))
            return labels()

    async def both():
        return await asyncio.gather(task(), async_labels())

    def work():
        yield function()
        yield asyncio.run(both())

    assert list(work()) == [("function", True), [("task", True), NOTHING]]
    assert found == [0, 0]
