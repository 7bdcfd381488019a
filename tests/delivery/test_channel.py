"""What reporters with the same destination share, and what each keeps for itself."""

from __future__ import annotations

import sys
import threading

import httpx
import pytest
from support.backend import HANG_GUARD, OK, Backend, Made
from support.timing import NEVER, timed_reporter

import openpipe_report
from openpipe_report import Reporter


def test_hooks_of_their_own_cost_no_thread():
    """A hundred reporters with closures as hooks share the threads and connections of one."""
    with Backend() as backend:
        backend.answer = lambda post: OK
        reporters = [
            Reporter(base_url=backend.base_url, senders=2, before_report=lambda report, n=n: report)
            for n in range(100)
        ]
        for number, reporter in enumerate(reporters):
            reporter.submit(Made(number))
        assert len({reporter.channel for reporter in reporters}) == 1
        assert reporters[0].stats().threads <= 2
        assert all(reporter.flush() for reporter in reporters)
        assert backend.labels == list(range(100))
        assert backend.connections <= 2
    assert [reporter.stats().delivered for reporter in reporters] == [1] * 100


def test_each_hears_of_its_own_losses():
    """`on_drop`, `stats()` and `flush()` tell each reporter about its own reports."""
    heard: list[str] = []
    with Backend() as backend:
        backend.answer = lambda post: (400, b"", {}) if post.label == 1 else OK
        good = Reporter(base_url=backend.base_url, on_drop=lambda *_: heard.append("good"))
        bad = Reporter(base_url=backend.base_url, on_drop=lambda *_: heard.append("bad"))
        assert good.channel is bad.channel
        good.submit(Made(0))
        bad.submit(Made(1))
        assert good.flush()
        assert bad.flush().lost == 1
    assert heard == ["bad"]
    assert (good.stats().delivered, bad.stats().rejected) == (1, 1)


def test_shutdown_of_one_leaves_the_others():
    """What the others have pending is still delivered, over the same channel."""
    gate = threading.Event()
    with Backend() as backend:
        backend.answer = lambda post: (gate.wait(), OK)[1]
        one, other = (Reporter(base_url=backend.base_url, senders=1) for _ in range(2))
        for number in range(3):
            one.submit(Made(number))
            other.submit(Made(10 + number))
        assert not one.shutdown(timeout=0.0)
        gate.set()
        assert other.flush()
        assert not one.submit(Made(5))
        assert {10, 11, 12} <= set(backend.labels)
    assert other.stats().delivered == 3
    assert one.stats().dropped["shutdown"] >= 2


@pytest.mark.parametrize(
    "different",
    [
        {"base_url": "http://127.0.0.1:8"},
        {"api_key": "another"},
        {"read_timeout": 1.0},
        {"http_client": httpx.Client()},
    ],
    ids=["url", "key", "timeout", "client"],
)
def test_another_destination(different):
    """Another URL, key, timeout or client is another channel."""
    given = {"base_url": "http://127.0.0.1:9", "api_key": "key"}
    one, same, other = Reporter(**given), Reporter(**given), Reporter(**{**given, **different})
    assert one.channel is same.channel
    assert one.channel is not other.channel


def test_a_closed_channel_is_not_used_again():
    """After the last reporter's shutdown a new one begins with a channel of its own."""
    with Backend() as backend:
        backend.answer = lambda post: OK
        first = Reporter(base_url=backend.base_url)
        first.submit(Made(0))
        assert first.shutdown()
        second = Reporter(base_url=backend.base_url)
        assert second.channel is not first.channel
        second.submit(Made(1))
        assert second.flush()
        assert backend.labels == [0, 1]


def test_reporters_made_while_others_are_asked():
    """Making reporters on one thread disturbs no flush or stats on another."""
    over = threading.Event()
    errors: list[BaseException] = []
    kept = [Reporter(base_url="http://127.0.0.1:9") for _ in range(50)]

    def ask():
        while not over.is_set():
            try:
                openpipe_report.flush()
                openpipe_report.stats()
            except BaseException as error:  # noqa: BLE001 - whatever it is
                errors.append(error)
                return

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(300):
            kept[number % 50] = Reporter(base_url="http://127.0.0.1:9")
        over.set()
        for thread in threads:
            thread.join(HANG_GUARD)
    finally:
        sys.setswitchinterval(before)
    assert errors == []


def test_threads_of_a_channel_are_counted_once():
    """However many reporters share them."""
    with Backend() as backend:
        backend.answer = lambda post: OK
        reporters = [Reporter(base_url=backend.base_url, senders=1) for _ in range(5)]
        before = openpipe_report.stats().threads
        for reporter in reporters:
            reporter.submit(Made(0))
        assert openpipe_report.stats().threads <= before + 1
        assert all(reporter.flush() for reporter in reporters)


def test_a_shutdown_keeps_the_backoff_of_others():
    """What others have scheduled stays scheduled."""
    with Backend() as backend:
        backend.answer = lambda post: (503, b"", {})
        url = backend.base_url
        waiting, *others = [timed_reporter(NEVER, base_url=url) for _ in range(20)]
        waiting.submit(Made(0))
        while not waiting.channel.queue.waiting:
            threading.Event().wait(0.001)
        tried = len(backend.posts)
        for other in others:
            other.shutdown(0)
        threading.Event().wait(0.2)
        assert len(backend.posts) == tried
        assert waiting.channel.queue.waiting == 1
        waiting.shutdown(0)
