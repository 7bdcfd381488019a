"""
The threads that send the reports of one reporter.

Threads start with the backlog, up to the number worth running; one more is kept in reserve in case
the others block. They are daemons, and end when there is nothing to do. No thread waits out a
backoff: a report between attempts lies in the queue's heap, and new reports take turns with due
ones. At the end of the process, where no thread can be started, the exiting one does the work.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from weakref import ref

from openpipe_report._delivery import process
from openpipe_report._log import log_internal_error, run_guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from openpipe_report._delivery.accounting import Budget
    from openpipe_report._delivery.queue import NewReport, PendingReport, ReportQueue
    from openpipe_report._delivery.sender import Sender

_IDLE = 10.0
"""Seconds after which a thread ends for want of work."""

_BLOCKED_AFTER = 0.25
"""A thread busy with one report for this many seconds is treated as blocked."""

_READY, _RESERVE_THREAD = math.inf, -math.inf


class _Here(threading.local):
    delivering = False


_here = _Here()


def is_delivering() -> bool:
    """Whether this is a sender thread; a flush from it would wait for itself."""
    return _here.delivering


@contextmanager
def delivering() -> Generator[None]:
    """Note that this thread delivers while the block runs."""
    outer, _here.delivering = _here.delivering, True
    try:
        yield
    finally:
        _here.delivering = outer


class SenderThreads:
    """
    Takes reports out of the queue and processes them, on at most `senders` threads.

    Args:
        senders: How many threads there may be.
        budget: Says what is pending.
        queue: Has the reports.
        delivery: Advances them.
        owner: Kept alive while a thread runs, so that the exit finds it.
    """

    def __init__(
        self,
        senders: int,
        budget: Budget,
        queue: ReportQueue,
        sender: Sender,
        owner: object,
    ) -> None:
        self._senders = senders
        self._budget = budget
        self._queue = queue
        self._sender = sender
        self._owner = ref(owner)
        self._threads: dict[threading.Thread, float] = {}
        """
        Each thread, and when (monotonic) it took what it is at: `_READY` if it waits for work,
        `_RESERVE_THREAD` if it waits for one that is stuck.
        """
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._starting = threading.Lock()
        self._leaving = threading.Lock()

    def __len__(self) -> int:
        return len(self._threads)

    def enqueue(self, pending: NewReport | PendingReport) -> None:
        """Let the threads have a report: a new one, or one that went through the spool."""
        self._queue.put(pending)
        if len(self._threads) < self._senders and not self._has_spare():
            self._start()

    def run_soon(self, task: Callable[[], None]) -> None:
        """Let a thread run a short function that never raises, before its next report."""
        self._tasks.put(task)
        self._queue.wake(1)
        if not self._threads:
            self._start()

    def ensure_thread(self) -> None:
        """Start another thread if too few are running or none is idle."""
        if len(self._threads) < self._senders and (self._shortfall() > 0 or not self._has_spare()):
            self._start()

    def _has_spare(self) -> bool:
        """Whether there is a thread that could take over."""
        threads = [*self._threads.values()]
        return _READY in threads or _RESERVE_THREAD in threads

    def _shortfall(self) -> int:
        """How many more threads are worth having; negative if there are too many."""
        since = time.monotonic() - _BLOCKED_AFTER
        making_progress = sum(took > since for took in [*self._threads.values()])
        return self._sender.concurrency.wanted - making_progress

    def _start(self) -> None:
        """Start a thread if there may be another; while the interpreter exits there may not."""
        if sys.is_finalizing():  # start() would wait for ever for a thread that never runs
            return
        if not self._starting.acquire(blocking=False):  # somebody does, maybe under a finalizer
            return
        try:
            if len(self._threads) < self._senders:
                self._start_one()
        finally:
            self._starting.release()

    def _start_one(self) -> None:
        thread = threading.Thread(
            target=self._work, args=(self._owner(),), name="openpipe-report", daemon=True
        )
        self._threads[thread] = _READY
        process.hook_exit()
        try:
            thread.start()
        except RuntimeError:
            self._threads.pop(thread, None)

    def _work(self, _owner: object) -> None:
        _here.delivering = True
        try:
            self._work_until_idle()
        finally:
            run_guarded("closing a connection", self._sender.close_mine)

    def _work_until_idle(self) -> None:
        waiting_first = False
        while True:
            waiting_first = not waiting_first
            try:
                if self._shortfall() < 0 and self._wait_in_reserve():
                    return
                if not self._step(waiting_first=waiting_first) and self._may_end():
                    return
            except BaseException:  # noqa: BLE001 - a thread that dies delivers nothing
                log_internal_error("a sending thread")

    def _step(self, *, waiting_first: bool) -> bool:
        """Advance one report; False if there was none."""
        me = threading.current_thread()
        self._run_tasks()
        pending = self._queue.take(
            waiting_first=waiting_first, idle=_IDLE, not_before=self._sender.not_before
        )
        self._threads[me] = time.monotonic()
        try:
            if pending is not None:
                if self._budget.pending > 1:
                    self.ensure_thread()
                self._sender.process(pending)
            self._sender.log_drops()
        finally:
            self._threads[me] = _READY
        return pending is not None

    def _run_tasks(self) -> None:
        with suppress(Empty):
            while True:
                self._tasks.get_nowait()()

    def _wait_in_reserve(self) -> bool:
        """
        Wait in reserve while enough others make progress.

        Returns:
            True if a reserve thread already exists and this one should exit.
        """
        me = threading.current_thread()
        with self._leaving:
            if self._shortfall() >= 0:
                return False
            if _RESERVE_THREAD in [*self._threads.values()]:
                del self._threads[me]
                return True
            self._threads[me] = _RESERVE_THREAD
        while self._shortfall() <= 0 and self._budget.pending and not self._queue.closed:
            time.sleep(_BLOCKED_AFTER)
        self._threads[me] = _READY
        return False

    def _may_end(self) -> bool:
        """Leave, unless there is something to do."""
        me = threading.current_thread()
        with self._leaving:
            closed = self._queue.closed
            if (self._budget.pending or not self._tasks.empty()) and not closed:
                return False
            if len(self._threads) == 1:
                self._sender.close()
            del self._threads[me]
            # `enqueue()` may have put a report in and still have seen this thread; it looks for
            # threads after it has put, so here the order is the other way round.
            if self._budget.pending and not closed and not self._threads:
                self._threads[me] = _READY
                return False
        if closed:
            self.drop_pending()
        return True

    def drop_pending(self) -> None:
        """After the shutdown: count as lost what waits."""
        self._sender.drop_pending("shutdown", None)
        if not self._threads:
            self._sender.close()

    def drain(self, deadline: float) -> None:
        """
        Wait until what is pending was delivered or tried once more, or `deadline` (monotonic).

        Sender threads do the work, because a DNS lookup cannot be interrupted; the calling thread
        sends only if none can be started. A `Retry-After` that ends in time is waited for.
        """
        self._sender.expire_delays()
        if self._budget.pending:
            self.ensure_thread()
        while self._budget.pending and (left := deadline - time.monotonic()) > 0:
            if self.all_scheduled_after(deadline):
                break
            if self._threads:
                self.ensure_thread()
                time.sleep(min(left, 0.005))
                continue
            pending = self._queue.take(
                waiting_first=True, idle=min(left, 0.02), not_before=self._sender.not_before
            )
            if pending is not None:
                self._sender.process(pending, within=left)
        if not self._threads:
            self._sender.close()

    def all_scheduled_after(self, deadline: float) -> bool:
        """Whether every pending report is scheduled for after the deadline."""
        resumed = self._sender.paused_until
        if time.monotonic() < resumed < deadline:
            return False
        idle = self._queue.is_idle(self._sender.not_before())
        return idle and self._budget.pending <= self._queue.waiting
