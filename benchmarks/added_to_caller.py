"""
What reporting adds to a call, on the caller's thread.

    python benchmarks/added_to_caller.py [--calls 1500] [--only plain] [--quick]

Real HTTP to a server in another process. Each line compares openai's client with ours and, beside
it (A/A), with an empty subclass of itself: what that differs by is noise. A bar counts only where
A/A plus or minus two standard errors is below half of it. Thread time is taken with the senders
held, so that it is the caller's own; wall time with senders at work comes after it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import multiprocessing
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import openai
from loopback import CHUNKS, loopback_server, text_of
from pairs import Ratio, compare, gc_frozen, measure

import openpipe_report
from openpipe_report import Reporter

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

    from pairs import Timed

BAR = 0.02
BLOCK = 10
"""Calls in one measurement of wall time."""

SIDES = ("bare", "ours", "empty")
FULL, DOWN = ", queue full", ", backend down"
WARM_UP = 60
RENEWALS = 6
"""How often the processes are started anew: where things happen to lie in memory weighs, too."""

ASKED: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": text_of(500)},
        {"role": "user", "content": text_of(1_500)},
    ],
}


class Held:
    """
    A reporter whose one sender is held, in `before_report`, by a report of its own.

    What has piled up meanwhile is let go unsent, outside the clock.
    """

    def __init__(self, **settings: Any) -> None:
        self._released = threading.Event()
        self._holding = threading.Event()
        self.reporter = Reporter(
            base_url="http://127.0.0.1:9",
            senders=1,
            before_report=self._hold,
            **{"max_queue_reports": 1_000, "max_queue_bytes": 2**30, **settings},
        )
        self._occupy()

    def _hold(self, _report: object) -> None:
        self._holding.set()
        self._released.wait()

    def _occupy(self) -> None:
        self._released.clear()
        self._holding.clear()
        with openpipe_report.span("held", reporter=self.reporter):
            pass
        self._holding.wait()

    def let_go(self) -> None:
        self._released.set()
        self.reporter.flush()
        self._occupy()

    def close(self) -> None:
        self._released.set()
        self.reporter.shutdown()


class Down:
    """A reporter whose server refuses connections."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.reporter = Reporter(base_url=f"http://127.0.0.1:{port}")

    def let_go(self) -> None:
        pass

    def close(self) -> None:
        self.reporter.shutdown(0)


def sync_call(client: openai.OpenAI, *, stream: bool) -> Timed:
    def plain() -> float:
        begin = time.thread_time()
        client.chat.completions.create(**ASKED)
        return time.thread_time() - begin

    def streamed() -> float:
        begin = time.thread_time()
        for _chunk in client.chat.completions.create(stream=True, **ASKED):
            pass
        return time.thread_time() - begin

    return streamed if stream else plain


def async_call(
    client: openai.AsyncOpenAI, loop: asyncio.AbstractEventLoop, *, stream: bool
) -> Timed:
    async def plain() -> float:
        begin = time.thread_time()
        await client.chat.completions.create(**ASKED)
        return time.thread_time() - begin

    async def streamed() -> float:
        begin = time.thread_time()
        async for _chunk in await client.chat.completions.create(stream=True, **ASKED):
            pass
        return time.thread_time() - begin

    once = streamed if stream else plain
    return lambda: loop.run_until_complete(once())


def client_of(kind: str, base_url: str, reporter: Reporter | None, *, is_async: bool) -> Any:
    """Make openai's own client, ours, or an empty subclass of openai's."""
    name = "AsyncOpenAI" if is_async else "OpenAI"
    given: dict[str, Any] = {"api_key": "none", "base_url": base_url}
    bare = getattr(openai, name)
    if kind == "ours":
        return getattr(openpipe_report, name)(reporter=reporter, **given)
    return type(name, (bare,), {})(**given) if kind == "empty" else bare(**given)


@dataclass(frozen=True)
class Line:
    """What is called, and what becomes of the reports."""

    stream: bool
    is_async: bool
    state: str = ""

    def __str__(self) -> str:
        kind = f"stream of {CHUNKS}" if self.stream else "plain call"
        return f"{kind}, {'async' if self.is_async else 'sync'}{self.state}"

    def make_reports(self) -> Held | Down:
        if self.state == DOWN:
            return Down()
        return Held(**({"max_queue_reports": 1} if self.state == FULL else {}))


def work(parent: Connection, kind: str, line: Line, base_url: str) -> None:
    """Call once for each message, until None comes; answer with the call's thread time."""
    logging.getLogger("openpipe_report").setLevel(logging.ERROR)
    reports = line.make_reports() if kind == "ours" else None
    reporter = reports.reporter if reports else None
    client = client_of(kind, base_url, reporter, is_async=line.is_async)
    loop = asyncio.new_event_loop()
    call = (
        async_call(client, loop, stream=line.stream)
        if line.is_async
        else sync_call(client, stream=line.stream)
    )
    for _ in range(WARM_UP):
        call()
    with gc_frozen():
        parent.send(None)
        calls = 0
        while parent.recv():
            call()  # what the other process has pushed out of the processor's caches comes back
            taken = call()
            calls += 1
            if calls % 20 == 0:
                gc.collect()
                if reports:
                    reports.let_go()
            parent.send(taken)
    if reports:
        reports.close()


@contextmanager
def workers(line: Line, base_url: str) -> Generator[dict[str, Timed]]:
    """
    Start a process for each side.

    In one process the sides would take turns in CPython's specialized bytecode, which holds for
    one class at a time; a user's program has one class.
    """
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    processes = []
    for kind in SIDES:
        pipes[kind], theirs = context.Pipe()
        arguments = (theirs, kind, line, base_url)
        processes.append(context.Process(target=work, args=arguments, daemon=True))
        processes[-1].start()
        theirs.close()
    for pipe in pipes.values():
        pipe.recv()

    def timed(pipe: Any) -> float:
        pipe.send(True)  # noqa: FBT003 - the message
        return float(pipe.recv())

    yield {kind: partial(timed, pipe) for kind, pipe in pipes.items()}
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()


def thread_time(line: Line, base_url: str, count: int) -> None:
    taken: list[tuple[list[float], list[float]]] = [([], []), ([], [])]
    renewals = min(RENEWALS, count // 20) or 1
    for _ in range(renewals):
        with workers(line, base_url) as sides:
            bare, ours, empty = (sides[kind] for kind in SIDES)
            measure(-(-count // renewals), [(bare, ours), (bare, empty)], taken)
    ours_to_bare, empty_to_bare = (compare(base, other) for base, other in taken)
    show(str(line), 1, ours_to_bare, empty_to_bare, judge(ours_to_bare, empty_to_bare))


def show(name: str, unit: int, ours: Ratio, noise: Ratio, verdict: str) -> None:
    added = (ours.value - 1) * ours.base / unit
    print(
        f"{name:<34} {ours.base / unit * 1e6:7.0f} us {added * 1e6:+7.1f} us  {ours.percent:>16}  "
        f"A/A {noise.percent:>16}  n={ours.pairs * unit:<5} {verdict}",
        flush=True,
    )


def judge(ours: Ratio, noise: Ratio) -> str:
    met = "met" if ours.value - 1 <= BAR else "missed"
    if abs(noise.value - 1) + 2 * noise.error < BAR / 2:
        return f"bar {BAR:.0%} {met}"
    return f"bar {BAR:.0%} {met}, but does not count: A/A"


def wall_time(name: str, base_url: str, reporter: Reporter, blocks: int) -> None:
    """Time blocks of calls, one call after the other; the senders work beside them."""

    def block_of(client: openai.OpenAI) -> Timed:
        def block() -> float:
            begin = time.perf_counter()
            for _ in range(BLOCK):
                client.chat.completions.create(**ASKED)
            return time.perf_counter() - begin

        return block

    sides = {kind: block_of(client_of(kind, base_url, reporter, is_async=False)) for kind in SIDES}
    for block in sides.values():
        block()
    taken: list[tuple[list[float], list[float]]] = [([], []), ([], [])]
    bare = sides["bare"]
    measure(blocks, [(bare, sides["ours"]), (bare, sides["empty"])], taken)
    ours, noise = (compare(base, other) for base, other in taken)
    show(name, BLOCK, ours, noise, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_500, help="calls a side")
    parser.add_argument("--only", default="", help="the lines whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="whether it runs at all")
    options = parser.parse_args()
    count = 20 if options.quick else options.calls

    print(f"openai {openai.__version__}; thread time of the caller, bare, and what ours adds")
    with loopback_server() as server:
        for state, stream, is_async in product(("", FULL, DOWN), (False, True), (False, True)):
            line = Line(stream, is_async, state)
            if options.only in str(line):
                thread_time(line, f"{server}/v1", count)
        print("wall time of a plain call, senders at work")
        for latency in (0, 20):
            name = f"wall, answers after {latency} ms"
            if options.only in name:
                reporter = Reporter(base_url=f"{server}/0ms/api/v1")
                blocks = max(4, count // BLOCK // (5 if latency else 1))
                wall_time(name, f"{server}/{latency}ms/v1", reporter, blocks)
                reporter.shutdown()


if __name__ == "__main__":
    main()
