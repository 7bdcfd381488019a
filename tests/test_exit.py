"""What a process reports on its way out."""

from __future__ import annotations

import signal
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing

import pytest
from support.backend import HANG_GUARD, Backend, run_script
from support.shapes import chat_chunks


@pytest.mark.parametrize(
    "ending, code",
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise RuntimeError('on purpose')", 1),
        ("asyncio.run(asyncio.sleep(0))", 0),
        ("threading.Thread(target=reporter.submit, args=[Made(500)]).start()", 0),
    ],
    ids=["return", "sys-exit", "exception", "asyncio", "thread"],
)
def test_backlog_is_delivered(ending, code):
    """However the process ends, a backlog of 500 is delivered, and nothing is written."""
    script = f"for number in range(500):\n    reporter.submit(Made(number))\n{ending}"
    with Backend() as backend:
        done = run_script(backend.base_url, script)
        expected = 501 if "Thread" in ending else 500
        assert backend.labels == list(range(expected))
    assert done.returncode == code
    assert done.stderr == "" or "on purpose" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "script",
    [
        "reporter.submit(Made(1)); atexit.register(reporter.submit, Made(2))",
        "atexit.register(reporter.submit, Made(2)); reporter.submit(Made(1))",
        "reporter.submit(Made(1)); reporter.flush(); atexit.register(reporter.submit, Made(2))",
        "atexit.register(lambda: (reporter.submit(Made(1)), reporter.submit(Made(2))))",
        """
from support.timing import idle_for, timed_reporter
reporter = timed_reporter(idle_for(0.0), base_url=sys.argv[1])
reporter.submit(Made(1))
while reporter.stats().threads:
    pass
atexit.register(reporter.submit, Made(2))
""",
    ],
    ids=["before-ours", "after-ours", "flushed", "first-of-all", "no-thread-left"],
)
def test_reported_in_an_atexit_callback(script):
    """What an atexit callback reports is delivered, also as the first report of the process."""
    with Backend() as backend:
        done = run_script(backend.base_url, script)
        assert backend.labels == [1, 2]
    assert (done.returncode, done.stderr) == (0, "")


def test_what_waits_gets_a_last_attempt():
    """At exit what waits for another attempt is tried once more at once."""
    script = """
from support.timing import NEVER, timed_reporter
reporter = timed_reporter(NEVER, base_url=sys.argv[1])
reporter.submit(Made(1))
while not reporter.channel.queue.waiting:
    pass
"""
    with Backend() as backend:
        answers = iter([(500, b"", {}), (200, b'{"status":"ok"}', {})])
        backend.answer = lambda post: next(answers)
        done = run_script(backend.base_url, script)
        assert backend.labels == [1, 1]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pause_is_kept():
    """At exit no attempt is made to a host that asked for a pause; what is lost is named once."""
    script = """
reporter.submit(Made(1))
while not reporter.channel.queue.waiting:
    pass
reporter.submit(Made(2))
"""
    with Backend() as backend:
        backend.answer = lambda post: (429, b"", {"Retry-After": "300"})
        done = run_script(backend.base_url, script)
        assert backend.labels == [1]
    [line] = done.stderr.splitlines()
    assert "2 report(s) to 127.0.0.1:" in line
    assert "lost: exit (HTTP 429)" in line


def test_refused():
    """A backend that refuses does not hold the process; what is lost is named in one line."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v1"
        began = time.monotonic()
        done = run_script(url, "for number in range(500): reporter.submit(Made(number))")
    assert time.monotonic() - began < HANG_GUARD / 2
    [line] = done.stderr.splitlines()
    assert "500 report(s)" in line
    assert "lost: exit (ConnectError" in line


def test_black_hole():
    """A backend that never answers holds the process for one budget, however many reporters."""
    script = """
reporter.shutdown()  # its budget would be the longest
for number in range(3):
    one = Reporter(base_url=f"{sys.argv[1]}/{number}", exit_timeout=0.5)
    for _ in range(20):
        one.submit(Made(number))
    globals()[f"reporter{number}"] = one
"""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1"
        began = time.monotonic()
        done = run_script(url, script)
    assert time.monotonic() - began < HANG_GUARD / 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all("20 report(s)" in line and "exit (not answered in time)" in line for line in lines)


def test_interrupted():
    """Ctrl-C ends the waiting at once; what is lost is named all the same."""
    script = """
reporter.shutdown()
import signal, time
from openpipe_report._delivery.process import exit_state
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in background jobs
reporter = Reporter(base_url=sys.argv[1], exit_timeout=3600)
for number in range(20):
    reporter.submit(Made(number))
def interrupt():
    while not exit_state().draining:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
"""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        done = run_script(f"http://127.0.0.1:{silent.getsockname()[1]}", script)
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert "20 report(s)" in line


@pytest.mark.parametrize("spool", ["", "spool"], ids=["memory", "spool"])
def test_reported_by_a_finalizer_at_the_end(spool, tmp_path):
    """What is reported when nothing runs any more neither hangs nor raises."""
    script = """
import builtins
reporter = Reporter(base_url=sys.argv[1], spool=sys.argv[2] or None)
reporter.submit(Made(1))
class Late:
    def __del__(self):
        print(reporter.submit(Made(2)), reporter.stats().dropped)
builtins.late = Late()
"""
    with Backend() as backend:
        path = str(tmp_path / spool) if spool else ""
        done = run_script(backend.base_url, script, path)
        assert backend.labels == [1]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout in {"", "False {'exit': 1}\n"}


def test_spool_that_hangs(tmp_path):
    """A spool whose disk does not answer does not hold the exit, nor is it called empty."""
    path = tmp_path / "spool"
    script = """
from openpipe_report._spool.locked_database import sqlite_lock
reporters = [
    Reporter(base_url=f"{sys.argv[1]}/{number}", spool=sys.argv[2], exit_timeout=0.1)
    for number in range(3)
]
for reporter in reporters:
    for number in range(10):
        reporter.submit(Made(number))
    assert reporter.channel.spool.sync(60)
hangs = threading.Event()
def hang():
    with sqlite_lock:
        hangs.set()
        threading.Event().wait()
threading.Thread(target=hang, daemon=True).start()
hangs.wait()
"""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api/v1"
        done = run_script(url, "reporter.shutdown()\n" + script, str(path))
    assert done.returncode == 0
    assert "lost" not in done.stderr
    rows = 0
    for file in path.glob("reports-*.spool"):
        with closing(sqlite3.connect(file)) as connection:
            rows += connection.execute("SELECT count(*) FROM reports").fetchone()[0]
    assert rows == 30


def test_after_shutdown():
    """A reporter that was shut down asks nothing more of the exit."""
    with Backend() as backend:
        done = run_script(backend.base_url, "reporter.submit(Made(1)); reporter.shutdown()")
        assert backend.labels == [1]
    assert (done.returncode, done.stderr) == (0, "")


STREAM = """
import openai, openpipe_report, sys
from openpipe_report import OpenAI, span
client = OpenAI(base_url=sys.argv[2] + "/v1", api_key="sk-test", reporter=reporter, max_retries=0)
def stream():
    return client.chat.completions.create(model="m", messages=[], stream=True)
def work():
    with span("work", reporter=reporter):
        yield
@span("work", reporter=reporter)
def decorated():
    yield 1
async def async_steps():
    yield 1
async def ask():
    pass
def returning(make):
    return span("work", reporter=reporter)(lambda: make())()
"""


@pytest.mark.parametrize(
    "ending, messages",
    [
        ("kept = stream(); next(kept)", ["stream still open at exit"]),
        ("kept = stream()", ["stream still open at exit"]),
        ("for chunk in stream():\n    break", ["stream still open at exit"]),
        ("kept = work(); next(kept)", ["still open at exit"]),
        ("kept = decorated(); next(kept)", ["still open at exit"]),
        ("kept = returning(decorated.__wrapped__)", ["still open at exit"]),
        ("kept = returning(async_steps)", ["still open at exit"]),
        ("kept = returning(ask)", ["still open at exit"]),
        ("kept = span('work', reporter=reporter); kept.__enter__()", ["still open at exit"]),
    ],
    ids=[
        "open",
        "unread",
        "left",
        "suspended-span",
        "decorated",
        "returned",
        "returned-async",
        "coroutine",
        "block",
    ],
)
def test_first_report_at_exit(ending, messages, scripted):
    """A stream or a span that is all the process has at its end neither holds it nor is lost."""
    scripted.stream([*chat_chunks("One two"), threading.Event()])
    with Backend() as backend:
        done = run_script(backend.base_url, STREAM + ending, scripted.root)
        found = [post.report.get("errorMessage") for post in backend.posts]
    # CPython 3.13 may crash when it finalizes a generator of openai's, with the bare client, too.
    crashes = sys.version_info >= (3, 13) and done.returncode == -signal.SIGSEGV
    assert done.returncode == 0 or crashes, done.stderr
    assert [message for message in found if message] == messages


def test_span_open_at_exit_without_a_reporter():
    """A span that is all the process has is sent by the environment's reporter, made at its end."""
    script = """
import os
from openpipe_report import span
os.environ["OPENPIPE_BASE_URL"] = sys.argv[1]
@span("work")
def steps():
    yield 1
kept = steps()
next(kept)
"""
    with Backend() as backend:
        done = run_script(backend.base_url, "reporter.shutdown()\n" + script)
        [report] = [post.report for post in backend.posts]
    assert (report["respPayload"], report["errorMessage"]) == ([1], "still open at exit")
    assert done.returncode == 0
