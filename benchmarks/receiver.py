"""
The rate of the receiver against a bare FastAPI route that parses the same model and stores nothing.

Both run on uvicorn with httptools and uvloop, each in a process of its own, and take turns: a round
of one is followed by a round of the other. A third process sends reports of 4 KB over connections
that are kept open, each with an `Idempotency-Key` of its own, the next one after the answer.

The receiver also waits for the disk, which the bare route does not: another program that writes to
the same disk lowers its rate alone. A folder in memory shows the rate without the disk.

    python benchmarks/receiver.py [--seconds 3] [--rounds 6] [--connections 8 32] [--folder PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from loopback import chat_answer, text_of
from pairs import compare

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

REPORT_BYTES = 4_096
WARM_UP = 0.5
"""Seconds of each round that are not measured."""
GOAL_RATE = 0.6
GOAL_P99_MS = 50


def report_body() -> bytes:
    """Return a chat completion's report of `REPORT_BYTES`."""
    report: dict[str, Any] = {
        "requestedAt": 1_700_000_000_000,
        "receivedAt": 1_700_000_001_234,
        "reqPayload": {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": ""}],
            "temperature": 0.2,
            "metadata": {"user": "ada", "feature": "search", "prompt_id": "answer-7"},
        },
        "respPayload": json.loads(chat_answer(2_000)),
        "statusCode": 200,
        "tags": {
            "$endpoint": "/chat/completions",
            "$sdk": "openpipe-report",
            "$trace_id": "0" * 32,
        },
    }
    room = REPORT_BYTES - len(json.dumps(report, separators=(",", ":")))
    report["reqPayload"]["messages"][0]["content"] = text_of(room)
    return json.dumps(report, separators=(",", ":")).encode()


def run_receiver(parent: Connection, folder: str) -> None:
    from openpipe_report.server.app import create_app  # noqa: PLC0415 - in its own process
    from openpipe_report.server.http import listen, serve  # noqa: PLC0415
    from openpipe_report.server.store import Store  # noqa: PLC0415

    listener = listen("127.0.0.1", 0)
    with Store(Path(folder) / "reports.db") as store:
        app = create_app(store, api_key="key")
        serve(app, listener, lambda: parent.send(listener.getsockname()[1]))


def run_bare(parent: Connection, _folder: str) -> None:
    import uvicorn  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415

    from openpipe_report._report.model import Report  # noqa: PLC0415
    from openpipe_report.server.http import listen  # noqa: PLC0415

    app = FastAPI()

    async def report(report: Report) -> dict[str, str]:
        del report
        return {"status": "ok"}

    # The annotation is a string here, and its name is not one of the module's.
    report.__annotations__["report"] = Report
    app.post("/api/v1/report")(report)
    listener = listen("127.0.0.1", 0)
    parent.send(listener.getsockname()[1])
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", log_level="warning", access_log=False
    )
    uvicorn.Server(config).run([listener])


@contextmanager
def server(run: Any, folder: str) -> Generator[int]:
    """Run a server in a process of its own; yield its port."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run, args=(there, folder), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


@dataclass(frozen=True)
class Round:
    """Reports per second, and the waits for their answers in milliseconds, in order."""

    rate: float
    waits: list[float]

    def percentile(self, percent: float) -> float:
        return self.waits[min(len(self.waits) - 1, int(len(self.waits) * percent / 100))]


class Sender(asyncio.Protocol):
    """One connection: sends a report, waits for its answer, and sends the next one."""

    keys = itertools.count()

    def __init__(self, port: int, measured_from: float, until: float) -> None:
        body = report_body()
        self._head = (
            f"POST /api/v1/report HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Authorization: Bearer key\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nIdempotency-Key: "
        ).encode()
        self._body = b"\r\n\r\n" + body
        self._measured_from, self._until = measured_from, until
        self._started_at = time.perf_counter()
        self._answer = b""
        self.waits: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(repr(self._answer)))
            self._transport.abort()
            return
        if not self._answer.endswith(b"}"):
            return  # the head alone; the body follows
        self._answer = b""
        now = time.perf_counter()
        if self._started_at >= self._measured_from:
            self.waits.append((now - self._started_at) * 1_000)
        if now < self._until:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def _send(self) -> None:
        self._started_at = time.perf_counter()
        key = f"{time.time_ns():x}-{next(self.keys)}".encode()
        self._transport.write(self._head + key + self._body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the server closed the connection"))


async def load(port: int, connections: int, seconds: float) -> Round:
    loop = asyncio.get_running_loop()
    measured_from = time.perf_counter() + WARM_UP
    until = measured_from + seconds
    senders = []
    for _ in range(connections):
        _, sender = await loop.create_connection(
            lambda: Sender(port, measured_from, until), "127.0.0.1", port
        )
        senders.append(sender)
    await asyncio.gather(*(sender.done for sender in senders))
    waits = sorted(wait for sender in senders for wait in sender.waits)
    return Round(len(waits) / seconds, waits)


def measure(port: int, connections: int, seconds: float) -> Round:
    return uvloop.run(load(port, connections, seconds))


def fsync_ms(folder: str) -> float:
    """Return the median time of an fsync, in milliseconds: a commit waits for one."""
    waits = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(100):
            file.write(b"x" * 40_000)
            file.flush()
            started_at = time.perf_counter()
            os.fsync(file.fileno())
            waits.append((time.perf_counter() - started_at) * 1_000)
    return statistics.median(waits)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3, help="measured seconds of a round")
    options.add_argument("--rounds", type=int, default=6, help="rounds of each server")
    options.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    options.add_argument("--folder", help="where the database is made; default: the temporary one")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        server(run_bare, folder) as bare_port,
        server(run_receiver, folder) as our_port,
    ):
        print(f"an fsync of this disk takes {fsync_ms(folder):.2f} ms", flush=True)
        for connections in given.connections:
            ports, rounds = (bare_port, our_port), ([], [])  # type: ignore[var-annotated]
            for number in range(given.rounds):
                for side in (1, 0) if number % 2 else (0, 1):
                    rounds[side].append(measure(ports[side], connections, given.seconds))
            bare, ours = ([one.rate for one in side] for side in rounds)
            p50, p99 = (
                statistics.median(one.percentile(percent) for one in rounds[1])
                for percent in (50, 99)
            )
            print(
                f"{connections} connections: receiver {statistics.median(ours):.0f}/s, "
                f"bare route {statistics.median(bare):.0f}/s: {compare(bare, ours).times} of it "
                f"(goal {GOAL_RATE}); answers after {p50:.1f} ms, p99 {p99:.1f} ms "
                f"(goal {GOAL_P99_MS})",
                flush=True,
            )


if __name__ == "__main__":
    main()
