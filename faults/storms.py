"""Faults: the server fails every attempt while thousands of reports are pending."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from environment import Result, Sink, compare_numbers, held, limit
from support.backend import Reset

if TYPE_CHECKING:
    from environment import Environment, User

MOST_ATTEMPTS = 2.0
"""Attempts a second, once the circuit breaker is open."""
SLOWEST = 0.97
"""Speed of a computing thread of the user's, over its speed without an outage."""
RECOVERY = 30.0
"""Seconds after its return within which the server has 5,000 reports."""
IN_FLIGHT = 12.0
"""Seconds after which the attempts have ended that were in flight as the breaker opened."""

PORTAL = (200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})


class Storm:
    """One server that fails in one way, and a process that has reports for it."""

    def __init__(self, environment: Environment, what: str, answer: Any, pending: int) -> None:
        self._over = threading.Event()
        self.what, self._pending = what, pending
        self.sink = Sink(answer or self._never)
        self._environment = environment

    def _never(self, _: object) -> None:
        self._over.wait()

    def start(self) -> None:
        """Start the process."""
        target = {"base_url": self.sink.base_url}
        self.user: User = self._environment.user("storm", calls=self._pending, reporter=target)

    def begin(self) -> None:
        """Measure the speed without an outage, and let the process report."""
        self.user.go_on()
        self._speeds = [self.user.line()["speed"]]
        self.user.go_on()

    def wait_until_open(self) -> None:
        """Wait until the circuit breaker is open."""
        self.stats = self.user.line()
        self._opened = time.monotonic()

    def measure(self) -> None:
        """Measure the speed in the outage."""
        self.user.go_on()
        self._in_outage = self.user.line()["speed"]

    def end(self) -> Result:
        """Let the server recover, wait for all reports, and measure the speed once more."""
        now = time.monotonic()
        since = self._opened + (IN_FLIGHT if self.what == "timeouts" else 1.0)
        rate = sum(since < at for at in self.sink.arrived) / (now - since)
        before, stats = len(self.sink.arrived), self.stats
        self.sink.recover()
        self._over.set()
        self.user.go_on()
        last = self.user.line()
        taken = time.monotonic() - now
        self.user.go_on()
        self._speeds.append(self.user.line()["speed"])
        self.user.end()
        count, wrong = compare_numbers(self.sink.found, self._pending)
        if stats["pending"] != self._pending or last["delivered"] != self._pending or last["lost"]:
            wrong.append(f"stats in the outage: {stats}, after it: {last}")
        speed = self._in_outage / statistics.mean(self._speeds)
        bar = RECOVERY * max(1.0, self._pending / 5_000)
        return Result(
            f"server with {self.what}, {self._pending:,} reports pending",
            f"at most {MOST_ATTEMPTS:g} attempts/s once the breaker is open; a computing thread "
            f"keeps {SLOWEST:.0%} of its speed; then all are delivered",
            f"{rate:.1f} attempts/s ({held(rate <= MOST_ATTEMPTS)}) over {now - since:.0f} s after "
            f"{before:,} attempts in all; speed {speed:.1%} ({held(speed >= SLOWEST)}); {count:,} "
            f"delivered, the last {limit(taken, bar)} after its return",
            wrong,
        )


def storms(environment: Environment) -> list[Result]:
    """A server fails every attempt in one way; several of them beside each other."""
    kinds = [
        ("503", lambda _: (503, b"", {}), 3_000),
        ("503", lambda _: (503, b"", {}), 20_000),
        ("502", lambda _: (502, b"", {}), 3_000),
        ("429 without Retry-After", lambda _: (429, b"", {}), 3_000),
        ("resets", lambda _: Reset(), 3_000),
        ("timeouts", None, 3_000),
        ("a captive portal's 200 with HTML", lambda _: PORTAL, 3_000),
    ]
    with ExitStack() as stack:
        all_storms = [Storm(environment, *kind) for kind in kinds]
        for storm in all_storms:
            stack.enter_context(storm.sink)
            storm.start()
        for storm in all_storms:
            storm.begin()
        for storm in all_storms:
            storm.wait_until_open()
        time.sleep(IN_FLIGHT)
        for storm in all_storms:
            storm.measure()
        return [storm.end() for storm in all_storms]
