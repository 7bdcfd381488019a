"""
The accounting of one reporter: what is pending, what became of the rest, and who waits for it.

Its lock is re-entrant, because a finalizer may admit a report in the midst of one of its methods.
While it is held, nothing waits, logs or calls out. Waiters use a plain lock, not an Event:
Event.set() takes a non-reentrant lock and would deadlock if a finalizer called it during
Event.wait().
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from openpipe_report._log import internal_error_count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

_MAX_PARTS = 100
"""How many stats of reporters that are gone are kept apart."""

_LONGEST_INTERVAL = 0.05
"""Seconds at the most between two looks of `Accounting.wait_async()`."""


class FlushEpoch:
    """Counts the reports queued between two calls of `flush()`, so that it can wait for them."""

    __slots__ = ("current", "dropped_at_exit", "lost", "pending", "waiters")

    def __init__(self) -> None:
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
class Stats:
    """
    What became of the reports of one reporter, or of all, since this process began.

    Every report is in exactly one of `delivered`, `rejected`, `dropped`, `spooled`, `sampled_out`
    and `pending`. One that this process took over from a dead one counts as its own.
    """

    delivered: int = 0
    """The server acknowledged them."""
    rejected: int = 0
    """The server refused them for good."""
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    """Lost, by reason: "queue full", "too large", "gave up", "exit", "shutdown", ..."""
    spooled: int = 0
    """Left in the spool: for the next process that opens it, or given up, as dead letters."""
    sampled_out: int = 0
    """Left out because of `sample_rate`, or by `before_report` returning None."""
    pending: int = 0
    """Waiting to be sent, or for another attempt."""
    pending_bytes: int = 0
    """The memory that these and the open streams hold."""
    open_streams: int = 0
    """Streamed answers that are still being read."""
    threads: int = 0
    """Threads that send; they end when there is nothing to do."""
    faults: int = 0
    """Errors inside this package that were kept from your calls, in the whole process."""


def sum_stats(parts: Iterable[Stats]) -> Stats:
    """Add up the stats of several reporters."""
    parts = list(parts)
    added: dict[str, Any] = {
        each.name: sum(getattr(part, each.name) for part in parts)
        for each in fields(Stats)
        if each.name not in {"dropped", "faults"}
    }
    dropped: Counter[str] = sum((Counter(part.dropped) for part in parts), Counter())
    return Stats(**added, dropped=dict(dropped), faults=internal_error_count())


class PastStats:
    """The stats of the reporters of this process that are gone; a forked child begins anew."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child."""
        self._parts: list[Stats] = []
        self._lock = threading.RLock()
        """Held while the parts are added up."""

    def add(self, stats: Stats) -> None:
        """Keep the stats of a reporter that ends. Called from finalizers: waits for no lock."""
        self._parts.append(stats)
        if len(self._parts) > _MAX_PARTS and self._lock.acquire(blocking=False):
            try:
                self._add_up()
            finally:
                self._lock.release()

    def total(self) -> Stats:
        """Add up what all of them have counted."""
        with self._lock:
            return self._add_up()

    def _add_up(self) -> Stats:
        parts = []
        with suppress(IndexError):
            while True:
                parts.append(self._parts.pop())
        total = sum_stats(parts)
        self._parts.append(total)
        return total


past_stats = PastStats()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=past_stats.reset)


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


class Reservation:
    """
    The memory that one open stream is charged for; nothing once it is closed.

    The stream's reader lets it grow, a sender thread lets it shrink, whoever ends the stream closes
    it: each in one step, under the accounting's lock.
    """

    __slots__ = ("_accounting", "_is_closed", "_size")

    def __init__(self, accounting: Accounting) -> None:
        self._accounting = accounting
        self._size = 0
        self._is_closed = False

    def grow(self, size: int) -> bool:
        """Charge so many bytes more; False when there is no room for them."""
        with self._accounting.lock:
            if self._is_closed or not self._accounting.try_charge(size):
                return False
            self._size += size
            return True

    def shrink(self, size: int) -> None:
        """Give so many bytes back."""
        with self._accounting.lock:
            size = min(size, self._size)
            self._size -= size
            self._accounting.charge(-size)

    def close(self) -> None:
        """Give all of it back, for good."""
        with self._accounting.lock:
            self.shrink(self._size)
            self._is_closed = True


class Budget:
    """
    What all reporters of one channel may hold together.

    Args:
        max_reports: How many reports may be pending.
        max_bytes: How much memory they and the open streams may take.
    """

    def __init__(self, max_reports: int, max_bytes: int) -> None:
        self._max_reports = max_reports
        self._max_bytes = max_bytes
        self.lock = threading.RLock()
        """Guards these counts and those of each reporter's accounting."""
        self.pending = 0
        self.bytes = 0

    @property
    def room(self) -> tuple[int, int]:
        """How many more reports and bytes there is room for."""
        return self._max_reports - self.pending, self._max_bytes - self.bytes

    def has_room(self, size: int, reports: int = 0) -> bool:
        """Whether so many bytes, and so many more reports, fit in."""
        return self.pending + reports <= self._max_reports and self.bytes + size <= self._max_bytes

    @property
    def over_limit(self) -> bool:
        """Whether reports became larger in the building than there is room for."""
        return self.bytes > self._max_bytes


class Accounting:
    """
    Counts each report of one reporter once, and lets `flush()` wait.

    Args:
        budget: Bounds what is pending, of all reporters of the channel.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.lock = budget.lock
        self._epoch = FlushEpoch()
        self._epochs = [self._epoch]
        self._pending = 0
        self._bytes = 0
        self._delivered = 0
        self._rejected = 0
        self._filtered = 0
        self._spooled = 0
        self._dropped: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()

    @property
    def pending(self) -> int:
        """How many reports were admitted and have no end yet."""
        return self._pending

    def try_admit(
        self, size: int, *, is_new: bool = True, reservation: Reservation | None = None
    ) -> FlushEpoch | None:
        """
        Charge a report of `size` bytes; None when there is no room.

        Args:
            size: Its bytes.
            is_new: Whether it is lost without room: then a drop is counted.
            reservation: What it was charged for as an open stream; closed in the same step, so that
                nobody takes its room in between.
        """
        with self.lock:
            if reservation is not None:
                reservation.close()
            if not self._budget.has_room(size, reports=1):
                if is_new:
                    self._count_drop("queue full")
                return None
            self._pending += 1
            self._budget.pending += 1
            self.charge(size)
            self._epoch.pending += 1
            return self._epoch

    def count_drop(self, reason: str) -> None:
        """Count a report that is not even admitted."""
        with self.lock:
            self._count_drop(reason)

    def _count_drop(self, reason: str) -> None:
        self._dropped[reason] += 1
        self._unlogged[reason] += 1
        self._epoch.lost[reason] += 1

    def pop_unlogged_drops(self) -> Counter[str]:
        """Return and clear the drops that were not logged yet."""
        if not self._unlogged:
            return Counter()
        with self.lock:
            unlogged, self._unlogged = self._unlogged, Counter()
        return unlogged

    def reserve(self) -> Reservation:
        """Begin to charge the memory of an open stream."""
        return Reservation(self)

    def try_charge(self, size: int) -> bool:
        """Charge so many bytes; False when there is no room for them."""
        with self.lock:
            if not self._budget.has_room(size):
                return False
            self.charge(size)
            return True

    def charge(self, by: int) -> None:
        """Adjust an admitted report's memory charge; this may exceed the limit."""
        with self.lock:
            self._bytes += by
            self._budget.bytes += by

    def delivered(self, epoch: FlushEpoch, size: int) -> None:
        """The server acknowledged it."""
        with self.lock:
            self._delivered += self._close(epoch, size)
        epoch.notify()

    def filtered(self, epoch: FlushEpoch, size: int) -> None:
        """It was not to be sent."""
        with self.lock:
            self._filtered += self._close(epoch, size)
        epoch.notify()

    def rejected(self, epoch: FlushEpoch, size: int) -> None:
        """The server refused it for good."""
        with self.lock:
            if self._close(epoch, size):
                self._rejected += 1
                epoch.lost["rejected"] += 1
        epoch.notify()

    def spooled(self, epoch: FlushEpoch, size: int) -> None:
        """It is left in the spool."""
        with self.lock:
            if self._close(epoch, size):
                self._spooled += 1
                epoch.lost["left in the spool"] += 1
        epoch.notify()

    def dropped(self, epoch: FlushEpoch, size: int, reason: str) -> None:
        """It is lost on our side."""
        with self.lock:
            if self._close(epoch, size):
                self._dropped[reason] += 1
                epoch.lost[reason] += 1
        epoch.notify()

    def _close(self, epoch: FlushEpoch, size: int) -> bool:
        self.charge(-size)
        if epoch.dropped_at_exit:
            return False
        self._pending -= 1
        self._budget.pending -= 1
        epoch.pending -= 1
        return True

    def drop_remaining(self, reason: str, spooled: int = 0) -> int:
        """
        At exit: count all that is pending as lost, whatever becomes of it; return how many.

        Args:
            reason: The kind of loss.
            spooled: How many of them are not lost, but left in the spool.
        """
        with self.lock:
            epochs, self._epoch = self._epochs, FlushEpoch()
            self._epochs = [self._epoch]
            spooled = min(spooled, self._pending)
            self._budget.pending -= self._pending
            count, self._pending = self._pending - spooled, 0
            self._spooled += spooled
            if count:
                self._dropped[reason] += count
            for epoch in epochs:
                if epoch.pending:
                    epoch.lost[reason] += epoch.pending
                epoch.pending, epoch.current, epoch.dropped_at_exit = 0, False, True
        for epoch in epochs:
            epoch.notify()
        return count

    def wait(self, timeout: float | None) -> Flushed:
        """Wait until what was admitted before has ended, and tell how."""
        limit = threading.TIMEOUT_MAX if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        deadline = time.monotonic() + limit
        epochs = self._begin_waiting()
        for epoch in epochs:
            if epoch.pending:
                epoch.wait(max(0.0, deadline - time.monotonic()))
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
        interval = 0.001
        epochs = self._begin_waiting()
        while any(epoch.pending for epoch in epochs):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await sleep(min(left, interval))
            interval = min(2 * interval, _LONGEST_INTERVAL)
        return self._end_waiting(epochs)

    def _begin_waiting(self) -> list[FlushEpoch]:
        with self.lock:
            self._epoch.current = False
            # Of what was cancelled, epochs may be left that have ended without a loss.
            epochs = [epoch for epoch in self._epochs if epoch.pending or epoch.lost]
            self._epoch = FlushEpoch()
            self._epochs = [*epochs, self._epoch]
            return epochs

    def _end_waiting(self, epochs: list[FlushEpoch]) -> Flushed:
        with self.lock:
            # An epoch is kept until a flush has reported all its losses.
            self._epochs = [epoch for epoch in self._epochs if epoch.pending or epoch not in epochs]
            lost: Counter[str] = sum((epoch.lost for epoch in epochs), Counter())
            return Flushed(sum(epoch.pending for epoch in epochs), lost.total(), ", ".join(lost))

    def stats(self, *, open_streams: int, threads: int) -> Stats:
        """Return the current counts."""
        with self.lock:
            return Stats(
                delivered=self._delivered,
                rejected=self._rejected,
                dropped=dict(self._dropped),
                spooled=self._spooled,
                sampled_out=self._filtered,
                pending=self._pending,
                pending_bytes=self._bytes,
                open_streams=open_streams,
                threads=threads,
                faults=internal_error_count(),
            )
