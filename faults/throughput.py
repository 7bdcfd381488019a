"""Faults: a slow server, attempts that are never answered, a client a request."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

from environment import Result, Sink, compare_numbers, held, limit

if TYPE_CHECKING:
    from environment import Environment
    from support.backend import Post

LATENCY = 0.3
SLOWEST = 150.0
"""Reports a second from one process, to a server that answers after 0.3 s."""
TIMEOUT = 15.0
"""Seconds without an answer, more than a reporter waits for one."""


def slow(environment: Environment, *, calls: int = 2_000) -> Result:
    """The server takes its time to answer."""
    with Sink() as sink:
        answer = sink.answer
        sink.answer = lambda post: time.sleep(LATENCY) or answer(post)
        stats = _burst(environment, sink, calls)
    rate = calls / stats["seconds"]
    count, wrong = compare_numbers(sink.found, calls)
    if stats["delivered"] != calls or stats["lost"]:
        wrong.append(f"stats: {stats}")
    return Result(
        f"server that answers after {LATENCY * 1000:.0f} ms, {calls:,} reports",
        f"at least {SLOWEST:g} reports/s from one process",
        f"{count:,} delivered, {rate:.0f} reports/s ({held(rate >= SLOWEST)})",
        wrong,
    )


def hanging(environment: Environment, *, calls: int = 1_500) -> Result:
    """Some attempts are never answered."""
    numbers, over = itertools.count(), threading.Event()
    hung = 0

    def answer(post: Post) -> object:
        nonlocal hung
        if next(numbers) % 20 in {3, 10, 16}:
            hung += 1
            over.wait(TIMEOUT)
            return None
        return sink.take(post)

    with Sink(answer) as sink:
        stats = _burst(environment, sink, calls)
        over.set()
    count, wrong = compare_numbers(sink.found, calls)
    if stats["delivered"] != calls or stats["lost"]:
        wrong.append(f"stats: {stats}")
    return Result(
        f"15 % of the attempts never answered, {calls:,} reports",
        "all are delivered, within 60 s",
        f"{count:,} delivered in {limit(stats['seconds'], 60)}, {hung} attempts never answered",
        wrong,
    )


def _burst(environment: Environment, sink: Sink, calls: int) -> dict[str, float]:
    user = environment.user("reports", calls=calls, reporter={"base_url": sink.base_url})
    stats: dict[str, float] = user.line()
    user.end()
    return stats


def clients(environment: Environment, *, calls: int = 100) -> Result:
    """Each request makes a client of its own, with a hook of its own."""
    with Sink() as sink:
        answer = sink.answer
        sink.answer = lambda post: time.sleep(0.05) or answer(post)
        user = environment.user("clients", calls=calls, reporter={"base_url": sink.base_url})
        found = user.line()
        user.end()
        connections = sink.connections
    count, wrong = compare_numbers(sink.found, calls)
    if found["delivered"] != calls or found["lost"]:
        wrong.append(f"stats: {found}")
    few = found["threads"] <= found["senders"] and connections <= found["senders"]
    return Result(
        f"{calls} clients, each with a closure as `before_report`",
        "at most `senders` threads; one set of connections, one a thread",
        f"{count} delivered; at most {found['threads']} threads at once and {connections} "
        f"connections in all, `senders` is {found['senders']} ({held(few)})",
        wrong,
    )
