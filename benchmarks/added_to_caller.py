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
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import openai
from loopback import CHUNKS, loopback_server, text_of
from pairs import Ratio, gc_frozen, measure

import openpipe_report
from openpipe_report import Reporter

if TYPE_CHECKING:
    from pairs import Timed

BAR = 0.02
BLOCK = 10
"""Calls in one measurement of wall time."""

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
        self._pairs = 0
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

    def after_pair(self) -> None:
        self._pairs += 1
        if self._pairs % 20 == 0:
            self._released.set()
            self.reporter.flush()
            gc.collect()
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

    def after_pair(self) -> None:
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


def sync_clients(base_url: str, reporter: Reporter) -> list[openai.OpenAI]:
    """The bare client, ours, and an empty subclass, on one connection."""
    given: Any = {"api_key": "none", "base_url": base_url}
    given["http_client"] = openai.DefaultHttpxClient()
    empty = type("OpenAI", (openai.OpenAI,), {})
    return [
        openai.OpenAI(**given),
        openpipe_report.OpenAI(reporter=reporter, **given),
        empty(**given),
    ]


def async_clients(base_url: str, reporter: Reporter) -> list[openai.AsyncOpenAI]:
    given: Any = {"api_key": "none", "base_url": base_url}
    given["http_client"] = openai.DefaultAsyncHttpxClient()
    empty = type("AsyncOpenAI", (openai.AsyncOpenAI,), {})
    return [
        openai.AsyncOpenAI(**given),
        openpipe_report.AsyncOpenAI(reporter=reporter, **given),
        empty(**given),
    ]


def show(name: str, unit: int, ours: Ratio, noise: Ratio, verdict: str) -> None:
    added = (ours.value - 1) * ours.base / unit
    print(
        f"{name:<36} {ours.base / unit * 1e6:7.0f} us {added * 1e6:+7.1f} us  {ours.percent:>16}  "
        f"A/A {noise.percent:>16}  n={ours.pairs * unit:<5} {verdict}",
        flush=True,
    )


def judge(ours: Ratio, noise: Ratio) -> str:
    met = "met" if ours.value - 1 <= BAR else "missed"
    if abs(noise.value - 1) + 2 * noise.error < BAR / 2:
        return f"bar {BAR:.0%} {met}"
    return f"bar {BAR:.0%} {met}, but does not count: A/A"


def thread_time(name: str, reports: Held | Down, calls: list[Timed], count: int) -> None:
    bare, ours, empty = calls
    with closing(reports):
        for call in calls * 20:
            call()
        with gc_frozen():
            result, noise = measure(count, [(bare, ours), (bare, empty)], reports.after_pair)
    show(name, 1, result, noise, judge(result, noise))


def wall_time(name: str, base_url: str, reports: Reporter, blocks: int) -> None:
    """Time blocks of calls, one call after the other; the senders work beside them."""

    def block_of(client: openai.OpenAI) -> Timed:
        def block() -> float:
            begin = time.perf_counter()
            for _ in range(BLOCK):
                client.chat.completions.create(**ASKED)
            return time.perf_counter() - begin

        return block

    calls = [block_of(client) for client in sync_clients(base_url, reports)]
    bare, ours, empty = calls
    for call in calls:
        call()
    result, noise = measure(blocks, [(bare, ours), (bare, empty)], lambda: None)
    show(name, BLOCK, result, noise, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_500, help="calls a side")
    parser.add_argument("--only", default="", help="the lines whose name has this in it")
    parser.add_argument("--quick", action="store_true", help="whether it runs at all")
    options = parser.parse_args()
    count = 20 if options.quick else options.calls
    logging.getLogger("openpipe_report").setLevel(logging.ERROR)

    states: list[tuple[str, Any]] = [
        ("", Held),
        (", queue full", lambda: Held(max_queue_reports=1)),
        (", backend down", Down),
    ]
    print(f"openai {openai.__version__}; thread time of the caller, bare, and what ours adds")
    with loopback_server() as server:
        loop = asyncio.new_event_loop()
        for state, make in states:
            for stream in (False, True):
                kind = f"stream of {CHUNKS} chunks" if stream else "plain call"
                for is_async in (False, True):
                    name = f"{kind}, {'async' if is_async else 'sync'}{state}"
                    if options.only not in name:
                        continue
                    reports = make()
                    base_url = f"{server}/v1"
                    calls = (
                        [
                            async_call(client, loop, stream=stream)
                            for client in async_clients(base_url, reports.reporter)
                        ]
                        if is_async
                        else [
                            sync_call(client, stream=stream)
                            for client in sync_clients(base_url, reports.reporter)
                        ]
                    )
                    thread_time(name, reports, calls, count)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

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
