"""
A user's process during a fault: `python faults/program.py NAME OPTIONS`.

NAME is a method of `Program`. OPTIONS is a JSON object: `openai` is the URL of the OpenAI server,
`reporter` has the settings of the reporter, and the other keys are for the method. The process
prints its findings as lines of JSON, and reads a line from stdin where it has to wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openpipe_report import AsyncOpenAI, OpenAI, Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def print_stats(self, **more: object) -> None:
        stats = self.reporter.stats()
        lost = sum(stats.dropped.values()) + stats.rejected
        print_json(delivered=stats.delivered, lost=lost, pending=stats.pending, **more)

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
        for number in range(self.options["calls"]):
            self.call(number)
        self.reporter.flush(None)
        self.print_stats()

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
        begin = time.monotonic()
        for number in range(bad):
            self.call(-1 - number, "poison")
        for number in range(good):
            self.call(number)
        while self.reporter.stats().delivered < good:
            time.sleep(0.001)
        self.print_stats(seconds=time.monotonic() - begin)
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
        """Make one call, and wait until the spool is empty."""
        self.call(self.options["first"])
        path = Path(self.reporter.settings.spool or "")
        while not path.exists() or self._rows_in(path):
            time.sleep(0.01)
        self.reporter.flush()
        self.print_stats()

    def _rows_in(self, path: Path) -> int:
        try:
            with closing(sqlite3.connect(path)) as connection:
                return int(connection.execute("SELECT count(*) FROM reports").fetchone()[0])
        except sqlite3.OperationalError:  # the file is being created
            return 1


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
