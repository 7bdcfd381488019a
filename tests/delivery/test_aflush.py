"""aflush(): what flush() does, for coroutines."""

from __future__ import annotations

import asyncio
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import trio
from support.backend import HANG_GUARD, OK, Backend, Made, run_script
from support.mock_server import Gate, Server, make

import openpipe_report


def run_asyncio(function):
    return asyncio.run(asyncio.wait_for(function(), HANG_GUARD))


LOOPS = pytest.mark.parametrize("run", [run_asyncio, trio.run], ids=["asyncio", "trio"])


@LOOPS
def test_delivered(run):
    """It is true once all that was queued before is delivered."""
    server = Server()
    reporter = make(server)
    for _ in range(20):
        reporter.submit(Made())
    assert run(reporter.aflush)
    assert len(server.bodies) == 20
    assert run(openpipe_report.aflush)


@LOOPS
def test_out_of_time(run):
    """It tells what is pending when its time is over, and why."""
    gate = Gate()
    reporter = make(Server(gate))
    reporter.submit(Made())
    assert gate.reached.wait(HANG_GUARD)
    for flush in (reporter.aflush, openpipe_report.aflush):
        flushed = run(partial(flush, 0.01))
        assert (flushed.pending, flushed.lost, flushed.reason) == (1, 0, "not answered yet")
    gate.opened.set()
    assert run(partial(reporter.aflush, math.inf))


def test_losses():
    """What was lost is told once, by whichever flush ends first."""
    reporter = make(Server(lambda request: 400))
    reporter.submit(Made())
    assert run_asyncio(openpipe_report.aflush).lost == 1
    assert reporter.flush()
    assert run_asyncio(reporter.aflush)


async def test_other_tasks_go_on():
    """Other tasks run while it waits."""
    gate = Gate()
    reporter = make(Server(gate))
    reporter.submit(Made())
    assert gate.reached.wait(HANG_GUARD)
    flush = asyncio.create_task(reporter.aflush(None))
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert not flush.done()
    gate.opened.set()
    assert await flush


async def test_cancelled():
    """However often it is cancelled, nothing is left behind and no loss is forgotten."""
    gate = Gate()

    def refuse(request):
        gate(request)
        return 400

    reporter = make(Server(refuse))
    reporter.submit(Made())
    assert gate.reached.wait(HANG_GUARD)
    for _ in range(100):
        flush = asyncio.create_task(reporter.aflush(None))
        await asyncio.sleep(0)
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush
    assert len(reporter.accounting.flushes._epochs) <= 3
    gate.opened.set()
    assert (await reporter.aflush()).lost == 1
    assert await reporter.aflush()


def test_cancelled_by_trio():
    """A cancel scope of trio's ends it."""
    gate = Gate()
    reporter = make(Server(gate))
    reporter.submit(Made())

    async def leave():
        with trio.move_on_after(0.01) as scope:
            await reporter.aflush(None)
        assert scope.cancelled_caught

    trio.run(leave)
    gate.opened.set()
    assert reporter.flush()


async def test_no_thread_to_wait_in():
    """It needs none of the loop's threads, be they all busy or shut down."""
    over = threading.Event()
    reporter = make(Server())
    with ThreadPoolExecutor(1) as busy:
        asyncio.get_running_loop().set_default_executor(busy)
        blocked = asyncio.get_running_loop().run_in_executor(None, over.wait)
        reporter.submit(Made())
        assert await reporter.aflush()
        over.set()
        await blocked
    reporter.submit(Made())
    assert await reporter.aflush()


@LOOPS
def test_in_a_hook(run):
    """Inside a hook it does not wait for the report that the hook holds up."""
    told = []

    def hook(report):
        told.append(run(partial(reporter.aflush, None)).pending)
        return report

    reporter = make(Server(), before_report=hook)
    reporter.submit(Made())
    assert reporter.flush()
    assert told == [1]


def test_at_exit():
    """At the exit of the interpreter it delivers, as `flush()` does."""
    script = """
import asyncio, atexit
from openpipe_report import aflush

def at_exit():
    reporter.submit(Made())
    assert asyncio.run(aflush(10)), asyncio.run(aflush(0))

atexit.register(at_exit)
reporter.submit(Made())
"""
    with Backend() as backend:
        backend.answer = lambda post: OK
        done = run_script(backend.base_url, script)
        assert len(backend.posts) == 2
    assert (done.returncode, done.stderr) == (0, "")
