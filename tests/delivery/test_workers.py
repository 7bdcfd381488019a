"""The threads: who has the turn, and how many there are."""

from __future__ import annotations

import threading

import pytest
from support.backend import HANG_GUARD

from openpipe_report._delivery.budget import Budget
from openpipe_report._delivery.queue import PendingReport, ReportQueue
from openpipe_report._delivery.workers import SenderThreads


class FakeSender:
    """Has each report processed by a function of the test."""

    def __init__(self, process):
        self.queue, self.budget = ReportQueue(), Budget(1000, 1000)
        self.transport = self.retries = self
        self.process = process
        self.paused_until = 0.0

    def not_before(self):
        return 0.0

    def close_mine(self):
        pass


class Threads(SenderThreads):
    """Sender threads that process numbers."""

    def __init__(self, process, limit):
        self.done = []
        self.changed = threading.Condition()
        super().__init__(
            FakeSender(lambda pending, wait: self.act(process, pending, wait)),
            limit,
            self,
            idle=0.2,
            gather=0.0,
        )

    def act(self, process, pending, on_wait):
        process(on_wait)
        with self.changed:
            self.done.append(threading.current_thread())
            self.changed.notify_all()

    def put(self, count):
        for _ in range(count):
            self.enqueue(PendingReport(None, 0, None, None))

    def wait_for(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, HANG_GUARD)


def test_one_thread_where_the_network_keeps_nobody_waiting():
    """A server that answers at once is sent everything by one thread."""
    threads = Threads(lambda on_wait: None, limit=8)
    threads.put(500)
    threads.wait_for(lambda: len(threads.done) == 500)
    assert len(set(threads.done)) == 1


def test_one_at_a_time_has_the_turn():
    """Until it waits for the network, no other builds or sends."""
    busy = threading.Lock()

    def process(on_wait):
        assert busy.acquire(blocking=False)
        busy.release()
        on_wait()
        threading.Event().wait(0.001)

    threads = Threads(process, limit=8)
    threads.put(300)
    threads.wait_for(lambda: len(threads.done) == 300)
    assert 1 < len(set(threads.done)) <= 8


@pytest.mark.parametrize("limit", [1, 2, 16])
def test_as_many_as_the_network_keeps_waiting(limit):
    """While answers do not come there are as many threads as there may be, and no more."""
    together = threading.Barrier(limit)

    def process(on_wait):
        on_wait()
        together.wait(HANG_GUARD)

    for _ in range(20):
        threads = Threads(process, limit)
        threads.put(3 * limit)
        threads.wait_for(lambda threads=threads: len(threads.done) == 3 * limit)
        assert len(threads) <= limit


def test_a_thread_that_is_stuck_delays_nobody():
    """What comes while the only thread waits is processed by another."""
    stuck = threading.Event()
    numbers = iter(range(1000))

    def process(on_wait):
        if next(numbers) == 0:
            on_wait()
            stuck.wait(HANG_GUARD)

    threads = Threads(process, limit=2)
    threads.put(1)
    for number in range(1, 50):
        threads.put(1)
        threads.wait_for(lambda number=number: len(threads.done) == number)
    stuck.set()
    threads.wait_for(lambda: len(threads.done) == 50)


def test_threads_end():
    """Without work all of them end, and one begins again with the next report."""
    threads = Threads(lambda on_wait: on_wait(), limit=8)
    for _ in range(3):
        threads.put(100)
        while len(threads):
            threading.Event().wait(0.01)
    assert len(threads.done) == 300
