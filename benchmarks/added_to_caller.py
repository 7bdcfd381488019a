"""
The time that reporting adds to a call on the caller's thread.

    python benchmarks/added_to_caller.py [--calls 1500] [--only plain] [--quick]

The calls are real HTTP requests to a server in another process. Each line compares openai's client
with ours and, as a control (A/A), with an empty subclass of openai's, whose difference is noise. A
limit counts only if the A/A difference plus or minus two standard errors is below half of it.

Thread time is measured with the senders blocked, so that it is the caller's own. Working senders
share the caller's caches and the GIL; there, a backend that is down must add no more time than a
healthy one. Wall time is measured last.

Each client makes a block of calls before the other's turn, and the first calls of a block are not
timed. CPython specializes openai's bytecode for one class at a time and needs up to 53 misses to do
so again. A user's program has one class; clients that alternate at each call would measure mostly
this effect.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import math
import socket
import statistics
import threading
import time
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import openai
from loopback import CHUNKS, loopback_server, text_of
from pairs import Ratio, compare, gc_frozen, measure

import openpipe_report
from openpipe_report import Reporter

if TYPE_CHECKING:
    from pairs import Timed

BAR = 0.02
"""Limit of the added time, as a share of the call's own."""
WALL_BLOCK = 10
"""Calls in one measurement of wall time."""

RENEWED_AFTER = 5
"""Pairs of blocks after which new clients are made: their place in memory matters as well."""

SIDES = ("bare", "ours", "empty")
FULL, BESIDE, DOWN = ", queue full", ", senders at work", ", backend down"
STATES = ("", FULL, BESIDE, DOWN)

ASKED: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": text_of(500)},
        {"role": "user", "content": text_of(1_500)},
    ],
}


@dataclass(frozen=True)
class Line:
    """One line of the output: a kind of call and a state of the delivery."""

    stream: bool
    is_async: bool
    state: str = ""

    def __str__(self) -> str:
        kind = f"stream of {CHUNKS}" if self.stream else "plain call"
        return f"{kind}, {'async' if self.is_async else 'sync'}{self.state}"

    @property
    def block(self) -> tuple[int, int]:
        """The number of untimed calls in a block, and of timed ones."""
        return (2, 5) if self.stream else (60, 30)


class Held:
    """
    A reporter whose only sender is blocked by a report in `before_report`.

    `let_go()` discards the reports that have queued up since; this is not timed.
    """

    def __init__(self, **settings: Any) -> None:
        self._released = threading.Event()
        self._holding = threading.Event()
        self.reporter = Reporter(
            base_url="http://127.0.0.1:9", senders=1, before_report=self._hold, **settings
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


class AtWork:
    """A reporter whose senders work as usual."""

    def __init__(self, base_url: str) -> None:
        self.reporter = Reporter(base_url=base_url)

    def let_go(self) -> None:
        pass

    def close(self) -> None:
        self.reporter.shutdown(0)


def make_reports(state: str, server: str) -> Held | AtWork:
    if state == BESIDE:
        return AtWork(f"{server}/0ms/api/v1")
    if state == DOWN:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return AtWork(f"http://127.0.0.1:{listener.getsockname()[1]}")
    return Held(max_queue_reports=1) if state == FULL else Held()


def make_client(kind: str, reporter: Reporter, *, is_async: bool, **given: Any) -> Any:
    """Make openai's own client, ours, or an empty subclass of openai's."""
    name = "AsyncOpenAI" if is_async else "OpenAI"
    if kind == "ours":
        return getattr(openpipe_report, name)(api_key="none", reporter=reporter, **given)
    bare = getattr(openai, name)
    cls = type(name, (bare,), {}) if kind == "empty" else bare
    return cls(api_key="none", **given)


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


def thread_time(line: Line, server: str, calls: int) -> tuple[Ratio, Ratio]:
    loop = asyncio.new_event_loop()
    reports = make_reports(line.state, server)
    # All clients share one httpx client, and so the same connection in the same state.
    http_client: Any = (
        openai.DefaultAsyncHttpxClient() if line.is_async else openai.DefaultHttpxClient()
    )
    untimed, timed = line.block

    def block_of(kind: str) -> Timed:
        client = make_client(
            kind,
            reports.reporter,
            is_async=line.is_async,
            base_url=f"{server}/v1",
            http_client=http_client,
        )
        call = (
            async_call(client, loop, stream=line.stream)
            if line.is_async
            else sync_call(client, stream=line.stream)
        )

        def block() -> float:
            reports.let_go()
            gc.collect()
            for _ in range(untimed):
                call()
            return statistics.median([call() for _ in range(timed)])

        return block

    taken: list[tuple[list[float], list[float]]] = [([], []), ([], [])]
    pairs = max(2, calls // timed)
    with gc_frozen():
        for done in range(0, pairs, RENEWED_AFTER):
            bare, ours, empty = (block_of(kind) for kind in SIDES)
            bare()
            measure(min(RENEWED_AFTER, pairs - done), [(bare, ours), (bare, empty)], taken)
    reports.close()
    if line.is_async:
        loop.run_until_complete(http_client.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    result, noise = (compare(base, other) for base, other in taken)
    return result, noise


def wall_time(name: str, base_url: str, reporter: Reporter, blocks: int) -> None:
    """Time blocks of consecutive calls while the senders work."""

    def block_of(kind: str) -> Timed:
        client = make_client(kind, reporter, is_async=False, base_url=base_url)

        def block() -> float:
            begin = time.perf_counter()
            for _ in range(WALL_BLOCK):
                client.chat.completions.create(**ASKED)
            return (time.perf_counter() - begin) / WALL_BLOCK

        block()
        return block

    taken: list[tuple[list[float], list[float]]] = [([], []), ([], [])]
    bare, ours, empty = (block_of(kind) for kind in SIDES)
    measure(blocks, [(bare, ours), (bare, empty)], taken)
    result, noise = (compare(base, other) for base, other in taken)
    show(name, result, noise, blocks * WALL_BLOCK)


def judge_as_well(down: Ratio, well: Ratio) -> str:
    error = 2 * math.hypot(down.error, well.error)
    return f"bar {well.percent} {'met' if down.value - well.value <= error else 'missed'}"


def judge(ours: Ratio, noise: Ratio) -> str:
    met = "met" if ours.value - 1 <= BAR else "missed"
    if abs(noise.value - 1) + 2 * noise.error < BAR / 2:
        return f"bar {BAR:.0%} {met}"
    return f"bar {BAR:.0%} {met}, but does not count: A/A is too noisy"


def show(name: str, ours: Ratio, noise: Ratio, calls: int, verdict: str = "") -> None:
    added = (ours.value - 1) * ours.base
    print(
        f"{name:<34} {ours.base * 1e6:7.0f} us {added * 1e6:+7.1f} us  {ours.percent:>16}  "
        f"A/A {noise.percent:>16}  n={calls:<5} {verdict}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_500, help="number of timed calls per client")
    parser.add_argument("--only", default="", help="only lines whose name contains this text")
    parser.add_argument(
        "--quick", action="store_true", help="make few calls, only to try the benchmark"
    )
    options = parser.parse_args()
    calls = 20 if options.quick else options.calls
    logging.getLogger("openpipe_report").setLevel(logging.ERROR)

    print(f"openai {openai.__version__}; the caller's thread time, and what reporting adds to it")
    well: dict[tuple[bool, bool], Ratio] = {}
    with loopback_server() as server:
        for stream, is_async, state in product((False, True), (False, True), STATES):
            line = Line(stream, is_async, state)
            if options.only not in str(line):
                continue
            result, noise = thread_time(line, server, calls)
            verdict = ""
            if state in {"", FULL}:
                verdict = judge(result, noise)
            elif state == BESIDE:
                well[stream, is_async] = result
            elif (stream, is_async) in well:
                verdict = judge_as_well(result, well[stream, is_async])
            show(str(line), result, noise, result.pairs * line.block[1], verdict)

        print("wall time of a plain call, senders at work")
        for latency in (0, 20):
            name = f"wall, answers after {latency} ms"
            if options.only in name:
                reporter = Reporter(base_url=f"{server}/0ms/api/v1")
                blocks = max(4, calls // WALL_BLOCK // (5 if latency else 1))
                wall_time(name, f"{server}/{latency}ms/v1", reporter, blocks)
                reporter.shutdown()


if __name__ == "__main__":
    main()
