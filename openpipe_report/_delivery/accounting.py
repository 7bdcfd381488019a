"""
The accounting of one reporter: what is pending, what became of the rest, and who waits for it.

Its lock is re-entrant, because a finalizer may admit a report in the midst of one of its methods.
While it is held, nothing waits, logs or calls out.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from openpipe_report._delivery.budget import Reservation
from openpipe_report._delivery.flushed import Flushed, FlushEpoch
from openpipe_report._delivery.stats import Stats
from openpipe_report._log import internal_error_count

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openpipe_report._delivery.budget import Budget

_SHORTEST_INTERVAL = 0.001
_LONGEST_INTERVAL = 0.05
"""Seconds at the most between two looks of `Accounting.wait_async()`."""


class _Submitting(threading.local):
    """The epochs of the reports that this thread has been admitted for, and not queued yet."""

    def __init__(self) -> None:
        self.epochs: list[FlushEpoch] = []


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
        self._aside = 0
        """How many of them only the spool has."""
        self._bytes = 0
        self._delivered = 0
        self._rejected = 0
        self._filtered = 0
        self._spooled = 0
        self._dropped: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._submitting = _Submitting()

    @property
    def pending(self) -> int:
        """How many reports were admitted and have no end yet."""
        return self._pending

    def try_admit(
        self, size: int, *, is_new: bool = True, reservation: Reservation | None = None
    ) -> FlushEpoch | None:
        """
        Charge a report of `size` bytes; None when there is no room.

        Until `note_queued()`, a `flush()` of the same thread does not wait for it: that is one of a
        signal handler, which would wait in vain for a report that the code below it has not queued.

        Args:
            size: Its bytes.
            is_new: Whether it is lost without room: then a drop is counted.
            reservation: What it was charged for as an open stream; closed in the same step, so that
                nobody takes its room in between.
        """
        with self.lock:
            if reservation is not None:
                reservation.close()
            is_alone = not is_new and not self._budget.pending  # or it would never be delivered
            if not (is_alone or self._budget.has_room(size, reports=1)):
                if is_new:
                    self._count_drop("queue full")
                return None
            self._pending += 1
            self._budget.pending += 1
            self.charge(size)
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

    def count_drop(self, reason: str) -> None:
        """Count a report that is not even admitted."""
        with self.lock:
            self._count_drop(reason)

    def _count_drop(self, reason: str) -> None:
        self._dropped[reason] += 1
        self._unlogged[reason] += 1
        self._budget.has_unlogged_drops = True
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

    def set_aside(self, size: int) -> None:
        """Note that a pending report of `size` bytes leaves memory: the spool has it."""
        with self.lock:
            self._aside += 1
            self._budget.aside += 1
            self._budget.pending -= 1
            self.charge(-size)

    def read_back(self, size: int) -> None:
        """Note that such a report is in memory again."""
        with self.lock:
            self._aside -= 1
            self._budget.aside -= 1
            self._budget.pending += 1
            self.charge(size)

    def end_aside(self, epoch: FlushEpoch, count: int, loss: str | None = None) -> None:
        """
        End reports of one epoch that were set aside.

        Args:
            epoch: Theirs.
            count: How many.
            loss: Why they are lost; None where they are left in the spool.
        """
        with self.lock:
            for _ in range(min(count, self._aside)):
                self.read_back(0)
                if loss is None:
                    self.spooled(epoch, 0)
                else:
                    self.dropped(epoch, 0, loss)

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
            self._budget.pending -= self._pending - self._aside
            self._budget.aside -= self._aside
            self._aside = 0
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
        """
        Wait until what was admitted before has ended, and tell how.

        It does not wait in a signal handler that interrupted one of the steps here: no report can
        end while this thread holds the lock.
        """
        if self.lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition does
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
            pending = sum(max(0, self._outstanding(epoch)) for epoch in epochs)
            return Flushed(pending, lost.total(), ", ".join(lost))

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
