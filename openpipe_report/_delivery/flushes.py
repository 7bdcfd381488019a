"""
What `flush()` waits for, and what it found.

Waiters use a plain lock, not an Event: Event.set() takes a lock that is not re-entrant, and would
deadlock if a finalizer called it during Event.wait().
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_numbers = count()


class FlushEpoch:
    """Counts the reports queued between two calls of `flush()`, so that it can wait for them."""

    __slots__ = ("current", "dropped_at_exit", "lost", "number", "pending", "waiters")

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.pending = 0
        self.lost: Counter[str] = Counter()
        self.current = True
        self.dropped_at_exit = False
        self.waiters: list[threading.Lock] = []

    def notify(self) -> None:
        """Wake who waits, if all has ended."""
        while not self.pending and not self.current:
            try:
                self.waiters.pop().release()
            except IndexError:
                return

    def wait(self, timeout: float) -> None:
        """Wait until all has ended, at most so many seconds."""
        waiter = threading.Lock()
        waiter.acquire()
        self.waiters.append(waiter)
        self.notify()  # all may have ended before
        if not waiter.acquire(timeout=timeout):
            with suppress(ValueError):
                self.waiters.remove(waiter)


@dataclass(frozen=True, slots=True)
class Flushed:
    """
    What `flush()` found; true exactly if every report queued before it was delivered.
    """

    pending: int = 0
    """Reports that were not delivered in the time given."""
    lost: int = 0
    """Reports that were rejected or dropped instead."""
    reason: str = ""
    """Why: the kinds of loss, and the last failure of a pending report."""

    def __bool__(self) -> bool:
        return not (self.pending or self.lost)


_SHORTEST_INTERVAL = 0.001
_LONGEST_INTERVAL = 0.05
"""Seconds between two looks of `Flushes.wait_async()`, which grow."""


class _Submitting(threading.local):
    """The epochs of the reports that this thread has been admitted for, and not queued yet."""

    def __init__(self) -> None:
        self.epochs: list[FlushEpoch] = []


class Flushes:
    """
    Lets `flush()` wait for what was admitted before it, and tells it of every loss once.

    Args:
        lock: The accounting's, which guards all of this.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._epoch = FlushEpoch()
        self._epochs = [self._epoch]
        self._submitting = _Submitting()

    def admit(self, *, is_new: bool) -> FlushEpoch:
        """
        Count a report that was admitted, under the lock; return its epoch.

        Until `note_queued()`, a flush of the same thread does not wait for it: that is one of a
        signal handler, which would wait in vain for a report that the code below it has not queued.

        Args:
            is_new: Whether this thread is submitting it.
        """
        epoch = self._epoch
        epoch.pending += 1
        if epoch not in self._epochs:  # a signal handler has called flush() in between
            self._epochs.append(epoch)
        if is_new:
            self._submitting.epochs.append(epoch)
        return epoch

    def note_queued(self, epoch: FlushEpoch) -> None:
        """Note that this thread has queued what it was admitted for."""
        with suppress(ValueError):  # a fork in between has begun anew
            self._submitting.epochs.remove(epoch)

    def _outstanding(self, epoch: FlushEpoch) -> int:
        """Count what is pending of an epoch, without what this thread is about to queue."""
        return epoch.pending - self._submitting.epochs.count(epoch)

    def count_loss(self, reason: str) -> None:
        """Count, under the lock, a report that was not even admitted."""
        self._epoch.lost[reason] += 1

    def drop_remaining(self, reason: str) -> None:
        """At exit: take all that is pending for lost, whatever becomes of it."""
        with self._lock:
            epochs, self._epoch = self._epochs, FlushEpoch()
            self._epochs = [self._epoch]
            for epoch in epochs:
                if epoch.pending:
                    epoch.lost[reason] += epoch.pending
                epoch.pending, epoch.current, epoch.dropped_at_exit = 0, False, True
        for epoch in epochs:
            epoch.notify()

    def wait(self, timeout: float | None) -> Flushed:
        """
        Wait until what was admitted before has ended, and tell how.

        It does not wait in a signal handler that interrupted one of the steps here: no report can
        end while this thread holds the lock.
        """
        if self._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition does
            timeout = 0.0
        limit = threading.TIMEOUT_MAX if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        deadline = time.monotonic() + limit
        epochs = self._begin_waiting()
        for epoch in epochs:
            if not self._submitting.epochs:
                if epoch.pending:
                    epoch.wait(max(0.0, deadline - time.monotonic()))
                continue
            while self._outstanding(epoch) > 0 and time.monotonic() < deadline:
                time.sleep(_SHORTEST_INTERVAL)
        return self._end_waiting(epochs)

    async def wait_async(
        self, timeout: float | None, sleep: Callable[[float], Awaitable[object]]
    ) -> Flushed:
        """
        Wait as `wait()` does, in a coroutine that looks again after each `sleep`.

        The intervals grow from a millisecond. A thread that waits in its place could find no room
        in the event loop's pool, and not be cancelled; a callback would hold on to a loop that may
        be closed by then.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        interval = _SHORTEST_INTERVAL
        epochs = self._begin_waiting()
        while any(self._outstanding(epoch) > 0 for epoch in epochs):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await sleep(min(left, interval))
            interval = min(2 * interval, _LONGEST_INTERVAL)
        return self._end_waiting(epochs)

    def _begin_waiting(self) -> list[FlushEpoch]:
        with self._lock:
            self._epoch.current = False
            # Of what was cancelled, epochs may be left that have ended without a loss.
            epochs = [epoch for epoch in self._epochs if epoch.pending or epoch.lost]
            self._epoch = FlushEpoch()
            self._epochs = [*epochs, self._epoch]
            return epochs

    def _end_waiting(self, epochs: list[FlushEpoch]) -> Flushed:
        with self._lock:
            # An epoch is kept until a flush has reported all its losses.
            self._epochs = [epoch for epoch in self._epochs if epoch.pending or epoch not in epochs]
            lost: Counter[str] = sum((epoch.lost for epoch in epochs), Counter())
            pending = sum(max(0, self._outstanding(epoch)) for epoch in epochs)
            return Flushed(pending, lost.total(), ", ".join(lost))
