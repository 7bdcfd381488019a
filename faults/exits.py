"""Faults: the exit of a process, with a healthy backend and without one."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crashes import arrived
from environment import (
    BUDGET,
    ROOT,
    FaultyProxy,
    Result,
    compare_numbers,
    free_port,
    held,
    limit,
    logged_as_lost,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from environment import Environment

REFUSES, SILENT = "refuses connections", "never answers"
CODES = {"sys.exit": 3, "unhandled exception": 1}
PYTEST = """
import json, sys
sys.path.insert(0, {folder!r})
from program import Program

def test_calls():
    Program(**json.loads({options!r})).leave()
"""


def leave(
    environment: Environment, how: str, ready: Callable[[], None] | None = None, **options: Any
) -> tuple[float, list[str], list[str]]:
    """Let a process make calls and exit; return the seconds of the exit, stderr, violations."""
    if how == "pytest":
        file = environment.folder / "test_calls.py"
        given = environment.options(how=how, **options)
        file.write_text(PYTEST.format(folder=str(ROOT / "faults"), options=given))
        user = environment.start(
            ["-m", "pytest", "-sq", "-p", "no:cacheprovider", "-p", "no:asyncio", str(file)]
        )
    else:
        user = environment.user("leave", how=how, **options)
    user.line()
    if ready is not None:
        ready()
    begin = time.monotonic()
    user.go_on()
    _, errors = user.end()
    taken = time.monotonic() - begin
    code = user.process.returncode
    wrong = [] if code == CODES.get(how, 0) else [f"{how}: exit code {code}: {errors}"]
    return taken, errors, wrong


def healthy(environment: Environment, *, calls: int = 500) -> list[Result]:
    """A process exits with a backlog, in each of the usual ways."""
    environment.receiver.start()
    rows, done = [], 0
    ways = ("return", "sys.exit", "unhandled exception", "asyncio.run", "pytest", "open streams")
    for how in ways:
        opened = 3 if how == "open streams" else 0
        go = threading.Event()
        with FaultyProxy(environment.receiver) as proxy:
            proxy.answer = lambda post, go=go, proxy=proxy: go.wait() and proxy.forward(post)
            taken, errors, wrong = leave(
                environment,
                how,
                go.set,
                calls=calls - opened,
                first=done,
                open=opened,
                reporter={"base_url": proxy.base_url},
            )
        lost = logged_as_lost(errors)
        count, missing = compare_numbers(
            environment.receiver.numbers(), range(done, done + calls), counted_as_lost=lost
        )
        done += calls
        if how == "unhandled exception" and errors[-1] == "ValueError: of the user":
            errors = errors[:-1]
            errors = errors if sum("Traceback" in line for line in errors) > 1 else []
        if len(errors) != bool(lost):
            wrong.append(f"{how}: {errors}")
        rows.append(
            Result(
                f"process exit ({how}), healthy backend",
                f"a backlog of {calls} is delivered, no traceback, no thread error",
                f"{count} delivered ({held(not lost)}) in {taken:.1f} s",
                wrong + missing,
            )
        )
    return rows


@contextmanager
def black_hole() -> Generator[int]:
    """Yield a port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        yield silent.getsockname()[1]


def no_backend(environment: Environment, *, calls: int = 200) -> list[Result]:
    """A process exits while the backend refuses connections, or never answers."""
    rows = []
    with black_hole() as hole:
        for how, port in ((REFUSES, free_port()), (SILENT, hole)):
            url = f"http://127.0.0.1:{port}/api/v1"
            taken, errors, wrong = leave(
                environment, "return", calls=calls, reporter={"base_url": url}
            )
            if len(errors) != 1 or f"{calls} report(s)" not in errors[0]:
                wrong.append(f"stderr: {errors}")
            rows.append(
                Result(
                    f"exit while the backend {how}, memory only, {calls} reports",
                    "exit within its budget + 0.5 s; one log line counts the lost reports",
                    f"{limit(taken, BUDGET + 0.5)} for the whole exit; one log line counts {calls}",
                    wrong,
                )
            )
    return rows


def no_backend_but_a_spool(environment: Environment, *, calls: int = 200) -> list[Result]:
    """A process with a spool exits in the same way; the next process delivers its reports."""
    rows, port, done = [], environment.receiver.port, 0
    for how in (REFUSES, SILENT):
        spool = {"spool": str(environment.folder / f"{how}.spool")}
        hole = None
        if how == SILENT:
            environment.receiver.stop()
            hole = socket.create_server(("127.0.0.1", port), backlog=100)
        taken, errors, wrong = leave(environment, "return", calls=calls, first=done, reporter=spool)
        if hole is not None:
            hole.close()
        if len(errors) != 1 or "are left in the spool" not in errors[0]:
            wrong.append(f"stderr: {errors}")
        environment.receiver.start()
        begin = time.monotonic()
        user = environment.user("next_one", first=done + calls, reporter=spool)
        wanted = range(done, done + calls + 1)
        found = arrived(environment, {*wanted}, patience=20.0)
        later = time.monotonic() - begin
        user.go_on()
        user.end()
        count, missing = compare_numbers(found, wanted)
        done += calls + 1
        rows.append(
            Result(
                f"exit while the backend {how}, with `spool=`, {calls} reports",
                "exit within its budget + 0.5 s; the spool keeps the undelivered reports",
                f"{limit(taken, BUDGET + 0.5)} for the whole exit; {count - 1} delivered by the "
                f"next process, within {later:.1f} s of its start",
                wrong + missing,
            )
        )
    return rows
