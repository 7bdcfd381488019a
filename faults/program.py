"""
A user's process during a fault: `python faults/program.py NAME OPTIONS`.

NAME is a method of `Program`. OPTIONS is a JSON object: `openai` is the URL of the OpenAI server,
`reporter` has the settings of the reporter, and the other keys are for the method. The process
prints its findings as lines of JSON, and reads a line from stdin where it has to wait.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import statistics
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openpipe_report import AsyncOpenAI, OpenAI, Reporter, flush, shutdown, stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpipe_report import Stats

TEXT = "The quick brown fox jumps over the lazy dog. " * 110
"""A prompt of about 5 KB; the answer is as long."""


def print_json(**found: object) -> None:
    os.write(1, json.dumps(found).encode() + b"\n")


class Program:
    """The clients and the reporter of the process; each public method is one program."""

    def __init__(self, openai: str, reporter: dict[str, Any], **options: Any) -> None:
        self.url = openai
        self.reporter = Reporter(**reporter)
        self.options = options
        given: dict[str, Any] = {"api_key": "sk-none", "reporter": self.reporter, "max_retries": 0}
        self.client = OpenAI(base_url=self.url, **given)
        self.async_client = AsyncOpenAI(base_url=self.url, **given)

    def call(self, number: int, text: str = TEXT) -> None:
        self.client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": text}],
            metadata={"n": number},  # type: ignore[dict-item] - the receiver compares numbers
        )

    def report(self, number: int, text: str = "") -> None:
        self.reporter.report(
            requestedAt=1, reqPayload={"metadata": {"n": number}, "text": text}, statusCode=200
        )

    def print_stats(self, **more: object) -> None:
        print_json(**_counts(self.reporter.stats()), **more)

    @property
    def breaker_is_open(self) -> bool:
        return self.reporter.channel.sender.retries.breaker.is_open

    def watch_breaker(self) -> threading.Event:
        """Return what is set as soon as the circuit breaker is seen to be open."""
        opened = threading.Event()

        def watch() -> None:
            while not opened.wait(0.005):
                if self.breaker_is_open:
                    opened.set()

        threading.Thread(target=watch, daemon=True).start()
        return opened

    def steady(self) -> None:
        """Make calls at an even pace, then wait until they are delivered."""
        calls, seconds = self.options["calls"], self.options["seconds"]
        begin = time.monotonic()
        for number in range(calls):
            self.call(number)
            time.sleep(max(0.0, begin + seconds * (number + 1) / calls - time.monotonic()))
        self.print_stats()
        self.reporter.flush(120)
        self.print_stats()

    def burst(self) -> None:
        """Make calls one after the other, then wait until they are delivered."""
        opened = self.watch_breaker()
        for number in range(self.options["calls"]):
            self.call(number)
        self.reporter.flush(None)
        self.print_stats(opened=opened.is_set())

    def reports(self) -> None:
        """Make reports all at once, and measure the time until they are delivered."""
        begin = time.monotonic()
        for number in range(self.options["calls"]):
            self.report(number)
        self.reporter.flush(None)
        self.print_stats(seconds=time.monotonic() - begin)

    def storm(self) -> None:
        """Compute without an outage, in one with reports pending, and after it, as told."""
        sys.stdin.readline()
        print_json(speed=_speed())
        sys.stdin.readline()
        for number in range(self.options["calls"]):
            self.report(number)
        while not self.breaker_is_open:
            time.sleep(0.01)
        self.print_stats()
        sys.stdin.readline()
        print_json(speed=_speed())
        sys.stdin.readline()
        self.reporter.flush(None)
        self.print_stats()
        sys.stdin.readline()
        print_json(speed=_speed())

    def clients(self) -> None:
        """Make a client with a hook of its own for each call."""
        target = self.reporter.settings.base_url
        threads = 0
        for number in range(self.options["calls"]):
            with OpenAI(
                api_key="sk-none",
                base_url=self.url,
                openpipe={"base_url": target, "before_report": lambda report, _=number: report},
            ) as self.client:
                self.call(number)
            names = [thread.name for thread in threading.enumerate()]
            threads = max(threads, names.count("openpipe-report"))
        flush()
        print_json(**_counts(stats()), threads=threads, senders=self.reporter.settings.senders)

    def forked(self) -> None:
        """Fork while reports are pending; the child looks for them, and reports once."""
        calls = self.options["calls"]
        for number in range(calls):
            self.report(number, "x" * 10_000)
        while not self.breaker_is_open:
            time.sleep(0.01)
        time.sleep(0.5)  # the attempts that are under way end
        warnings.simplefilter("ignore")  # of a fork beside threads
        if (child := os.fork()) == 0:
            self._in_child(calls)
        sys.stdin.readline()
        os.waitpid(child, 0)
        self.reporter.flush(None)
        self.print_stats()

    def _in_child(self, number: int) -> None:
        kept = sum(type(each).__name__ == "PendingReport" for each in gc.get_objects())
        before = self.reporter.stats()
        self.report(number)
        self.reporter.flush(None)
        delivered = self.reporter.stats().delivered
        held_back = {"pending": before.pending, "bytes": before.pending_bytes}
        print_json(**held_back, kept=kept, delivered=delivered)
        os._exit(0)

    def after_shutdown(self) -> None:
        """Make calls after the shutdown, and count the threads that they start."""
        shutdown(0)
        started = 0
        start = threading.Thread.start

        def count(thread: threading.Thread) -> None:
            nonlocal started
            started += 1
            start(thread)

        threading.Thread.start = count  # type: ignore[method-assign]
        for number in range(self.options["calls"]):
            self.call(number)
        self.print_stats(threads=started)

    def paused(self) -> None:
        """Make one call; when the server has asked for a pause, make the others and exit."""
        self.call(0)
        while "HTTP" not in self.reporter.flush(0).reason:
            time.sleep(0.001)
        for number in range(1, self.options["calls"]):
            self.call(number)

    def poisoned(self) -> None:
        """Make calls of which some always get 500; wait until the others are delivered."""
        good, bad = self.options["good"], self.options["bad"]
        opened = self.watch_breaker()
        begin = time.monotonic()
        for number in range(bad):
            self.call(-1 - number, "poison")
        for number in range(good):
            self.call(number)
        while self.reporter.stats().delivered < good:
            time.sleep(0.001)
        seconds = time.monotonic() - begin
        time.sleep(1.0)  # only the poisoned ones are left, and fail again
        self.print_stats(seconds=seconds, opened=opened.is_set())
        os._exit(0)

    def memory(self) -> None:
        """Make calls while the backend is down, and measure the memory."""
        for _ in range(500):
            self.client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": TEXT}],
                extra_body={"openpipe": {"log_request": False}},
            )
        before = peak = _resident()
        calls = self.options["calls"]
        for number in range(calls):
            self.call(number)
            if number % 500 == 0:
                peak = max(peak, _resident())
        self.print_stats(
            grown=max(peak, _resident()) - before, limit=self.reporter.settings.max_queue_bytes
        )
        os._exit(0)

    def leave(self) -> None:
        """Make calls, print their number, wait for a line, and exit."""
        how, first = self.options["how"], self.options.get("first", 0)
        numbers = range(first, first + self.options["calls"])
        if how == "asyncio.run":
            asyncio.run(self._leave_async(numbers))
            return
        for number in numbers:
            self.call(number)
        kept = [self._open_stream(numbers.stop + i) for i in range(self.options.get("open", 0))]
        print_json(calls=len(numbers) + len(kept))
        sys.stdin.readline()
        if how == "sys.exit":
            sys.exit(3)
        if how == "unhandled exception":
            raise ValueError("of the user")
        if how == "os._exit":
            os._exit(0)

    async def _leave_async(self, numbers: range) -> None:
        await asyncio.gather(
            *(
                self.async_client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": TEXT}],
                    metadata={"n": number},  # type: ignore[dict-item] - as above
                )
                for number in numbers
            )
        )
        await self.async_client.close()
        print_json(calls=len(numbers))
        sys.stdin.readline()

    def _open_stream(self, number: int) -> Iterator[object]:
        stream = self.client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[],
            stream=True,
            metadata={"n": number},  # type: ignore[dict-item] - as above
        )
        next(stream)
        return stream

    def endless(self) -> None:
        """Make calls until killed; print a line for each that has ended, with its time."""
        text = "x" * self.options["size"]
        if self.options.get("busy"):
            threading.Thread(target=_compute, daemon=True).start()
        threading.Thread(target=_exit_on_line, daemon=True).start()
        number = self.options["first"]
        while True:
            self.call(number, text)
            print_json(n=number, at=time.monotonic())
            number += 1
            time.sleep(self.options["pause"])

    def next_one(self) -> None:
        """Make one call; deliver it, and what a spool holds, until told to end."""
        self.call(self.options["first"])
        sys.stdin.readline()
        self.reporter.flush()
        self.print_stats()


def _counts(found: Stats) -> dict[str, int]:
    lost = sum(found.dropped.values()) + found.rejected
    return {"delivered": found.delivered, "lost": lost, "pending": found.pending}


def _speed(windows: int = 3, seconds: float = 0.5) -> float:
    """
    Measure how fast this thread computes: the median of some windows.

    It is taken in rounds a second of the process's CPU time. So what our threads take counts, as
    they hold the interpreter's lock, and what other processes take does not.
    """
    return statistics.median(_rounds(seconds) for _ in range(windows))


def _rounds(seconds: float) -> float:
    begin, rounds = time.process_time(), 0
    while (taken := time.process_time() - begin) < seconds:
        for _ in range(1_000):
            pass
        rounds += 1
    return rounds / taken


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _exit_on_line() -> None:
    sys.stdin.readline()
    os._exit(0)


def _compute() -> None:
    while True:
        sum(range(1000))


if __name__ == "__main__":
    _, name, options = sys.argv
    getattr(Program(**json.loads(options)), name)()
