"""A change of labels has the life of a report: retried, counted, bounded, delivered at exit."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

import httpx
import pytest
from support.backend import HANG_GUARD, MATCHED, OK, UPDATE, Backend, Made, run_script, take
from support.timing import AT_ONCE, NEVER, timed_reporter

from openpipe_report import Reporter


@pytest.fixture
def reporter_of():
    """Make reporters that are shut down at the end."""
    with ExitStack() as stack:

        def reporter_of(backend, timing=AT_ONCE, **settings):
            reporter = timed_reporter(timing, base_url=backend.base_url, **settings)
            stack.callback(reporter.shutdown, 0)
            return reporter

        yield reporter_of


def update(reporter, number=1):
    return reporter.update_metadata(completion_id=f"id-{number}", metadata={"score": number})


def wire(number=1):
    """What the server gets for it."""
    return {
        "filters": [{"field": "completionId", "equals": f"id-{number}"}],
        "metadata": {"score": str(number)},
    }


@pytest.mark.parametrize("way", ["direct", "proxy", "http_client"])
def test_request_on_the_wire(reporter_of, monkeypatch, way):
    """It is a POST of the API's JSON to its own path, with the headers of reports."""
    settings = {}
    with Backend() as backend, ExitStack() as stack:
        if way == "proxy":
            monkeypatch.setenv("HTTP_PROXY", backend.base_url.removesuffix("/api/v1"))
            monkeypatch.setattr(Backend, "base_url", "http://receiver.test/api/v1")
            backend.answer = lambda post: MATCHED if post.path.endswith(UPDATE) else OK
        if way == "http_client":
            settings["http_client"] = stack.enter_context(httpx.Client(trust_env=False))
        reporter = reporter_of(backend, api_key="opk-1", **settings)
        for number in (1, 2):
            reporter.submit(Made(number))
            assert reporter.flush(HANG_GUARD)
            assert update(reporter, number)
            assert reporter.flush(HANG_GUARD)
        assert [post.path.rpartition("/api/v1")[2] for post in backend.posts] == [
            "/report",
            "/logs/update-metadata",
        ] * 2
        sent = backend.posts[1]
    assert sent.report == wire()
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["authorization"] == "Bearer opk-1"
    assert sent.key != backend.posts[0].key
    assert reporter.stats().delivered == 4


UPSIDE_DOWN = {UPDATE: OK, "/api/v1/report": MATCHED}


@pytest.mark.parametrize(
    "answer, counted",
    [
        pytest.param(MATCHED, {"delivered": 1}, id="matched"),
        pytest.param((200, b'{"matchedLogs":0}', {}), {"delivered": 1}, id="none matched"),
        pytest.param((200, b'{"matchedLogs":1.0,"x":1}', {}), {"delivered": 1}, id="lenient"),
        pytest.param((400, b"", {}), {"rejected": 1}, id="refused"),
        pytest.param((401, b"", {}), {"rejected": 1}, id="wrong key"),
        pytest.param((404, b"", {}), {"rejected": 1}, id="no such path"),
        pytest.param((503, b"", {}), {"pending": 1}, id="overloaded"),
        pytest.param((200, b"<html>", {}), {"pending": 1}, id="captive portal"),
        pytest.param(OK, {"pending": 1}, id="answer to a report"),
        pytest.param((200, b'{"matchedLogs":"1"}', {}), {"pending": 1}, id="string"),
        pytest.param(None, {"pending": 1}, id="no answer"),
    ],
)
def test_outcomes(reporter_of, answer, counted):
    """It is delivered when the server says how many reports matched, none being no error."""
    with Backend() as backend:
        backend.answer = lambda post: answer
        reporter = reporter_of(backend, NEVER)
        update(reporter)
        while (stats := reporter.stats()).pending != reporter.channel.queue.waiting:
            threading.Event().wait(0.001)
    found = {name: getattr(stats, name) for name in ("delivered", "rejected", "pending")}
    assert found == {"delivered": 0, "rejected": 0, "pending": 0, **counted}
    assert stats.dropped == {}


def test_answer_of_the_other_kind(reporter_of):
    """A report that is answered like a change is not taken for delivered."""
    with Backend() as backend:
        backend.answer = lambda post: UPSIDE_DOWN[post.path]
        reporter = reporter_of(backend, NEVER)
        reporter.submit(Made())
        update(reporter)
        while reporter.channel.queue.waiting < 2:
            threading.Event().wait(0.001)
        assert reporter.flush(0).pending == 2


def test_retried_with_one_key(reporter_of):
    """It is retried until the server takes it, under the same Idempotency-Key."""
    with Backend() as backend:
        answers = iter([(503, b"", {}), None, (429, b"", {}), MATCHED])
        backend.answer = lambda post: next(answers)
        reporter = reporter_of(backend)
        update(reporter)
        assert reporter.flush(HANG_GUARD)
        assert backend.updates == [wire()] * 4
        assert len({post.key for post in backend.posts}) == 1
        assert reporter.stats().delivered == 1


def test_bounded_and_counted(reporter_of, caplog):
    """A full queue drops it, a closed reporter too; each is counted and named in one line."""
    gate = threading.Event()
    with Backend() as backend:
        backend.answer = lambda post: gate.wait(HANG_GUARD) and take(post)
        reporter = reporter_of(backend, max_queue_reports=2)
        assert [update(reporter, number) for number in range(4)] == [True, True, False, False]
        assert reporter.stats().pending_bytes > 100
        gate.set()
        assert not (flushed := reporter.flush(HANG_GUARD))
        assert (flushed.pending, flushed.lost, flushed.reason) == (0, 2, "queue full")
        assert reporter.shutdown(HANG_GUARD)
        assert not update(reporter, 5)
    assert reporter.stats().dropped == {"queue full": 2, "shutdown": 1}
    assert reporter.stats().pending_bytes == 0
    assert sorted(each["metadata"]["score"] for each in backend.updates) == ["0", "1"]


def test_held_back_and_too_large(reporter_of):
    """What a hook holds back is counted as not to be sent, what it raises on as lost."""
    with Backend() as backend:
        held = reporter_of(backend, before_report=lambda report: None)
        raising = reporter_of(backend, before_report=lambda report: report.nothing)
        small = reporter_of(backend, max_report_bytes=1024)
        update(held)
        update(raising)
        small.update_metadata(completion_id="x", metadata={"corrected": "y" * 1024})
        for reporter in (held, raising, small):
            reporter.flush(HANG_GUARD)
        assert backend.posts == []
    assert held.stats().sampled_out == 1
    assert raising.stats().dropped == {"before_report raised": 1}
    assert small.stats().dropped == {"too large": 1}


async def test_from_a_coroutine(reporter_of):
    """It does not block an event loop, and `aflush()` waits for it."""
    with Backend() as backend:
        reporter = reporter_of(backend)
        assert update(reporter)
        assert await reporter.aflush(HANG_GUARD)
        assert backend.updates == [wire()]


def call(completion_id):
    return f"reporter.update_metadata(completion_id={completion_id}, metadata=dict(score=1))"


EACH = f"[{call('str(number)')} for number in range(300)]"


@pytest.mark.parametrize(
    "script",
    [EACH, f"atexit.register(lambda: {EACH})"],
    ids=["at the end", "in an atexit callback"],
)
def test_exit(script):
    """A backlog is delivered at exit, what comes during the exit included."""
    with Backend() as backend:
        done = run_script(backend.base_url, script)
        ids = [each["filters"][0]["equals"] for each in backend.updates]
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(ids, key=int) == [str(number) for number in range(300)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork():
    """A forked child sends its own, and none of its parent's."""
    script = f"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
{EACH}
child = os.fork()
if child == 0:
    {call("'child'")}
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    with Backend() as backend:
        done = run_script(backend.base_url, script)
        ids = [each["filters"][0]["equals"] for each in backend.updates]
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(ids) == sorted([*map(str, range(300)), "child"])


def test_off():
    """A reporter that is switched off sends nothing, and says so."""
    with Backend() as backend:
        reporter = Reporter(base_url=backend.base_url, enabled=False)
        assert not update(reporter)
        assert reporter.flush(HANG_GUARD)
        assert (backend.posts, reporter.stats().pending) == ([], 0)
