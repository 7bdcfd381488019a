"""
Workers: the threads that send the reports of one reporter.

They start as the backlog grows: as many as the network keeps waiting, and one that stands by for
when no answer comes. They are daemons, and end when there is nothing to do. No thread waits out a
backoff: a report between attempts lies in the outbox's heap, and new reports take turns with due
ones. At the end of the process, where no thread can be started, the exiting one does the work.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import ref

from openpipe_report._delivery import process
from openpipe_report._log import note_fault

if TYPE_CHECKING:
    from collections.abc import Generator

    from openpipe_report._delivery.accounting import Ledger
    from openpipe_report._delivery.queue import New, Outbox, Queued
    from openpipe_report._delivery.sender import Delivery

_IDLE = 10.0
"""Seconds after which a thread ends for want of work."""

_STUCK = 0.25
"""Seconds on one report after which a thread counts no more, and another takes its place."""

_READY, _STANDBY = math.inf, -math.inf


class _Here(threading.local):
    delivering = False


_here = _Here()


def is_delivering() -> bool:
    """Whether this thread delivers: were it to wait for a delivery, it would wait for itself."""
    return _here.delivering


@contextmanager
def delivering() -> Generator[None]:
    """Mark this thread as one that delivers."""
    outer, _here.delivering = _here.delivering, True
    try:
        yield
    finally:
        _here.delivering = outer


class Workers:
    """
    Takes reports out of an outbox and advances them, on at most `senders` threads.

    Args:
        senders: How many threads there may be.
        ledger: Says what is pending.
        outbox: Has the reports.
        delivery: Advances them.
        owner: Kept alive while a thread runs, so that the exit finds it.
    """

    def __init__(
        self, senders: int, ledger: Ledger, outbox: Outbox, delivery: Delivery, owner: object
    ) -> None:
        self._senders = senders
        self._ledger = ledger
        self._outbox = outbox
        self._delivery = delivery
        self._owner = ref(owner)
        self._threads: dict[threading.Thread, float] = {}
        """
        Each thread, and when (monotonic) it took what it is at: `_READY` if it waits for work,
        `_STANDBY` if it waits for one that is stuck.
        """
        self._starting = threading.Lock()
        self._leaving = threading.Lock()

    def __len__(self) -> int:
        return len(self._threads)

    def pass_on(self, queued: New | Queued) -> None:
        """Let the threads have a report: a new one, or one that went through the spool."""
        self._outbox.put(queued)
        if len(self._threads) < self._senders and not self._has_spare():
            self._start()

    def ensure(self) -> None:
        """Start a thread if there are fewer than wanted, or none to spare."""
        if len(self._threads) < self._senders and (self._missing() > 0 or not self._has_spare()):
            self._start()

    def _has_spare(self) -> bool:
        """Whether there is a thread that could take over."""
        threads = [*self._threads.values()]
        return _READY in threads or _STANDBY in threads

    def _missing(self) -> int:
        """How many more threads are worth having; negative if there are too many."""
        since = time.monotonic() - _STUCK
        get_anywhere = sum(took > since for took in [*self._threads.values()])
        return self._delivery.concurrency.wanted - get_anywhere

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
        waiting_first = False
        while True:
            waiting_first = not waiting_first
            try:
                if self._missing() < 0 and self._stand_by():
                    return
                if not self._step(waiting_first=waiting_first) and self._may_end():
                    return
            except BaseException:  # noqa: BLE001 - a thread that dies delivers nothing
                note_fault("a sending thread")

    def _step(self, *, waiting_first: bool) -> bool:
        """Advance one report; False if there was none."""
        me = threading.current_thread()
        queued = self._outbox.take(
            waiting_first=waiting_first, idle=_IDLE, hold=self._delivery.hold
        )
        self._threads[me] = time.monotonic()
        try:
            if queued is not None:
                if self._ledger.pending > 1:
                    self.ensure()
                self._delivery.advance(queued)
            self._delivery.tell_losses()
        finally:
            self._threads[me] = _READY
        return queued is not None

    def _stand_by(self) -> bool:
        """Rest while the others get along; True if one does so already, and this one is to end."""
        me = threading.current_thread()
        with self._leaving:
            if self._missing() >= 0:
                return False
            if _STANDBY in [*self._threads.values()]:
                del self._threads[me]
                return True
            self._threads[me] = _STANDBY
        while self._missing() <= 0 and self._ledger.pending and not self._outbox.closed:
            time.sleep(_STUCK)
        self._threads[me] = _READY
        return False

    def _may_end(self) -> bool:
        """Leave, unless there is something to do."""
        me = threading.current_thread()
        with self._leaving:
            closed = self._outbox.closed
            if self._ledger.pending and not closed:
                return False
            if len(self._threads) == 1:
                self._delivery.close()
            del self._threads[me]
            # `pass_on()` may have put a report in and still have seen this thread; it looks for
            # threads after it has put, so here the order is the other way round.
            if self._ledger.pending and not closed and not self._threads:
                self._threads[me] = _READY
                return False
        if closed:
            self.abandon()
        return True

    def abandon(self) -> None:
        """After the shutdown: count as lost what waits."""
        self._delivery.abandon("shutdown")
        if not self._threads:
            self._delivery.close()

    def drain(self, deadline: float) -> None:
        """
        Wait until what is pending was delivered or tried once more, or `deadline` (monotonic).

        The threads do it, for one look-up of a name can take longer than there is time. Only where
        there is none, and none can be started, does this thread; a `Retry-After` that ends in time
        is waited for.
        """
        self._delivery.hurry()
        if self._ledger.pending:
            self.ensure()
        while self._ledger.pending and (left := deadline - time.monotonic()) > 0:
            if self.is_tried(deadline):
                break
            if self._threads:
                self.ensure()
                time.sleep(min(left, 0.005))
                continue
            queued = self._outbox.take(
                waiting_first=True, idle=min(left, 0.02), hold=self._delivery.hold
            )
            if queued is not None:
                self._delivery.advance(queued, within=left)
        if not self._threads:
            self._delivery.close()

    def is_tried(self, deadline: float) -> bool:
        """Whether all that is pending waits for a time that will not come."""
        resumed = self._delivery.paused_until
        if time.monotonic() < resumed < deadline:
            return False
        idle = self._outbox.is_idle(self._delivery.hold())
        return idle and self._ledger.pending <= self._outbox.waiting
