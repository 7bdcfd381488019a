"""
The reports to be sent: new ones in a queue, scheduled retries in a heap by due time.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._delivery.accounting import Accounting, FlushEpoch
    from openpipe_report._delivery.drop_log import DropLog
    from openpipe_report._report.model import ReportSource
    from openpipe_report._settings import Settings


class ReportOwner(Protocol):
    """A reporter, as its channel sees it: a policy, and an account of what became of reports."""

    accounting: Accounting
    drop_log: DropLog

    @property
    def settings(self) -> Settings:
        """Its settings."""
        ...

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        ...

    def sweep(self, *, at_exit: bool = False) -> None:
        """Report the streams that are left open; at exit all of them."""
        ...

    def reset(self) -> None:
        """Begin anew in a forked child."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class PendingReport:
    """A report on its way: first what it is made of, later its JSON."""

    source: ReportSource | None
    size: int
    epoch: FlushEpoch
    owner: ReportOwner
    """The reporter whose policy holds for it, and which counts it."""
    body: bytes = b""
    key: str = ""
    """The Idempotency-Key, one for all attempts."""
    attempts: int = 0
    begun: float = 0.0
    """When it was first tried (monotonic)."""
    due: float = 0.0
    reason: str = ""
    """Why it waits."""
    stored: bool = False
    """Whether the spool has it."""

    def __lt__(self, other: PendingReport) -> bool:
        # Of those that are due at once, the one tried least often: it is the better probe.
        return (self.due, self.attempts) < (other.due, other.attempts)


NewReport: TypeAlias = "tuple[ReportSource, int, FlushEpoch, ReportOwner]"
"""A new report: its source, its size, the epoch it was admitted under, and its owner."""


class ReportQueue:
    """
    Hands out reports when they may be tried.

    `put()` may be called from a finalizer: it waits for no lock. Everything else belongs to the
    sending threads. Each of them sleeps on a lock of its own: with several consumers, a timed get
    of CPython's SimpleQueue may sleep for ever (seen on 3.11 and 3.12).
    """

    def __init__(self) -> None:
        self._new: SimpleQueue[NewReport | PendingReport] = SimpleQueue()
        self._waiting: list[PendingReport] = []
        self._lock = threading.Lock()
        self._sleepers: deque[threading.Lock] = deque()
        self._state = object()
        """Another one whenever what waits may be due earlier than it was."""
        self.closed = False
        """Whether the reporter was shut down."""

    def put(self, new: NewReport | PendingReport) -> None:
        """Add a new report, or one that the spool has built."""
        self._new.put(new)
        if self._sleepers:
            self._wake_one()

    def wake(self, threads: int) -> None:
        """Let so many threads look again at what is due."""
        self._state = object()
        for _ in range(min(threads, len(self._sleepers))):
            self._wake_one()

    def close(self) -> None:
        """Mark the queue closed and wake every thread, so that it exits."""
        self.closed = True
        self.wake(len(self._sleepers))

    def _wake_one(self) -> None:
        with suppress(IndexError):
            self._sleepers.pop().release()

    def _sleep(self, seconds: float, state: object) -> None:
        """Wait to be woken, unless there is something new, or another state."""
        sleeper = threading.Lock()
        sleeper.acquire()
        self._sleepers.append(sleeper)
        if self._state is state and self._new.empty() and not self.closed:
            sleeper.acquire(timeout=max(0.0, seconds))
        with suppress(ValueError):
            self._sleepers.remove(sleeper)

    def schedule(self, pending: PendingReport, due: float) -> None:
        """Keep a report until `due` (monotonic)."""
        pending.due = due
        with self._lock:
            heapq.heappush(self._waiting, pending)
            is_next = self._waiting[0] is pending
        if is_next:  # a thread may be asleep until a later one is due
            self.wake(1)

    def take(
        self, *, waiting_first: bool, idle: float, not_before: Callable[[], float]
    ) -> PendingReport | None:
        """
        Take a report that may be tried now; None when there was none, or by `wake()`.

        Args:
            waiting_first: Whether a due one goes before a new one; callers take turns.
            idle: Seconds to wait for one.
            not_before: Says the monotonic time before which none of the waiting ones is due.
        """
        state = self._state  # before anything that it stands for
        if not waiting_first and (new := self._take_new()) is not None:
            return new
        with self._lock:
            if self._waiting:
                left = max(self._waiting[0].due, not_before()) - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._waiting)
                idle = min(idle, left)
        if (new := self._take_new()) is None:
            self._sleep(idle, state)
            new = self._take_new()
        return new

    def _take_new(self) -> PendingReport | None:
        try:
            new = self._new.get_nowait()
        except Empty:
            return None
        return new if isinstance(new, PendingReport) else PendingReport(*new)

    def expire_delays(self) -> None:
        """Make every scheduled retry due now."""
        with self._lock:
            for pending in self._waiting:
                pending.due = 0.0
            heapq.heapify(self._waiting)

    def clear(self, owner: ReportOwner | None = None) -> list[PendingReport]:
        """Take out everything, or all that one owner has."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        while (new := self._take_new()) is not None:
            taken.append(new)
        if owner is None:
            return taken
        for other in taken:
            if other.owner is not owner:
                self.schedule(other, other.due)
        return [pending for pending in taken if pending.owner is owner]

    def forget(self) -> None:
        """
        Let go of all reports, in a forked child: the parent delivers them.

        Frames of the parent's threads still hold the queue, and one of them may have held its lock.
        No lock is taken: nobody else runs.
        """
        self._new = SimpleQueue()
        self._waiting = []

    def is_idle(self, not_before: float) -> bool:
        """Whether nothing is new and nothing is due."""
        with self._lock:
            next_due = max(self._waiting[0].due, not_before) if self._waiting else float("inf")
        return self._new.empty() and next_due > time.monotonic()

    def last_error(self) -> str:
        """Return the last error of the next scheduled retry."""
        with self._lock:
            return self._waiting[0].reason if self._waiting else ""

    @property
    def waiting(self) -> int:
        """How many wait for another attempt."""
        return len(self._waiting)
