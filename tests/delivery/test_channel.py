"""What reporters with the same destination share, and what each keeps for itself."""

from __future__ import annotations

import threading

import httpx
import pytest
from support.backend import OK, Backend, Made

from openpipe_report import Reporter
from openpipe_report._delivery.channel import DEFAULT_TIMING, channel_for


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
        assert channel_for(second.settings, DEFAULT_TIMING) is second.channel
        second.submit(Made(1))
        assert second.flush()
        assert backend.labels == [0, 1]
