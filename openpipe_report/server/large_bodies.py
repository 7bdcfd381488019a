"""
Parses large bodies in another process, so that they stop nobody.

Parsing 60 MB takes seconds, in which Python's lock is held: a thread would stop the event loop as
well. The process has a lower priority, takes one body after the other, and ends after a body of
`RECYCLE_BYTES`, whose memory it would keep, or after `IDLE` seconds without one.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, cast

from openpipe_report.server.errors import ApiError, unavailable

Parse = Callable[[bytes | bytearray, int], Any]
"""A function of a body and `Limits.max_nodes`; of a module, so that the process can import it."""

RECYCLE_BYTES = 8 * 2**20
"""Size of a body after which the process ends, in bytes."""
IDLE = 60.0
"""Seconds without a large body after which the process ends."""

_STOPPING = "The receiver is stopping: try again later"
_CODE = """
import sys
sys.path[:] = sys.argv[1:]
from openpipe_report.server.large_bodies import parse_until_end
parse_until_end()
"""


@dataclass(frozen=True)
class _Job:
    parse: Parse
    body: bytes | bytearray
    max_nodes: int
    done: Future[Any] = field(default_factory=Future[Any])


class LargeBodies:
    """
    A process that parses bodies, and the thread that gives them to it.

    Both start with the first body. The thread is a daemon. Use it from one event loop at a time.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    async def parse(
        self,
        parse: Callable[[bytes | bytearray, int], Any],
        body: bytes | bytearray,
        max_nodes: int,
    ) -> Any:
        """
        Return `parse(body, max_nodes)`.

        Args:
            parse: A function of a module; what it returns and raises must be picklable.
            body: The body of a request.
            max_nodes: `Limits.max_nodes`.

        Raises:
            ApiError: 503, the process could not be started, or has ended.
            Exception: Whatever `parse` raises.

        """
        if self._closed:
            raise unavailable(_STOPPING)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="openpipe-report-large-bodies", daemon=True
            )
            self._thread.start()
        job = _Job(parse, body, max_nodes)
        self._jobs.put(job)
        return await asyncio.wrap_future(job.done)

    def close(self) -> None:
        """End the process, also in the middle of a body. May be called twice."""
        self._closed = True
        self._jobs.put(None)
        process = self._process
        if process is not None:
            process.kill()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE if self._process else None)
            except queue.Empty:
                self._end_process()
                continue
            if job is None:
                self._end_process()
                return
            if not job.done.set_running_or_notify_cancel():
                continue
            if self._closed:
                job.done.set_exception(unavailable(_STOPPING))
            else:
                self._parse(job)

    def _parse(self, job: _Job) -> None:
        try:
            outcome = self._ask(job)
        except (OSError, EOFError, pickle.UnpicklingError):
            self._end_process()
            job.done.set_exception(unavailable("The body could not be parsed: try again later"))
            return
        if len(job.body) >= RECYCLE_BYTES:
            self._end_process()
        if isinstance(outcome, Exception):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome)

    def _ask(self, job: _Job) -> Any:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                [sys.executable, "-c", _CODE, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        to, by = self._process.stdin, self._process.stdout
        assert to is not None and by is not None  # noqa: S101, PT018 - for the type checker
        pickle.dump((job.parse, job.max_nodes, len(job.body)), to)
        to.write(job.body)
        to.flush()
        return pickle.load(by)  # noqa: S301 - our own process wrote it

    def _end_process(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


def parse_until_end() -> None:
    """Parse the bodies on stdin, one after the other; the process of `LargeBodies` runs this."""
    if hasattr(os, "nice"):
        os.nice(10)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whatever prints must not get between the answers
    while True:
        try:
            parse, max_nodes, size = cast(
                "tuple[Parse, int, int]",
                pickle.load(source),  # noqa: S301
            )
        except EOFError:
            return
        body = source.read(size)
        if len(body) < size:
            return
        try:
            outcome = parse(body, max_nodes)
        except MemoryError:
            outcome = ApiError(413, "The body takes more memory than the receiver has")
        except Exception as error:  # noqa: BLE001 - it is raised in the other process
            outcome = error
        del body
        pickle.dump(outcome, target, protocol=pickle.HIGHEST_PROTOCOL)
        target.flush()
        del outcome
