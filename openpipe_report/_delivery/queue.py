"""
Outbox: the reports that wait to be sent, new ones in a queue and failed ones in a heap by due time.
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

    from openpipe_report._delivery.accounting import Mark
    from openpipe_report._report.model import Report


class Source(Protocol):
    """What becomes a report on the reporter's thread: an exchange, a span, a hand-made one."""

    @property
    def size(self) -> int:
        """Bytes of memory that it holds, about."""
        ...

    def build(self) -> Report | None:
        """Build the report, or None if there is none to send; if it raises, it is dropped."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class Queued:
    """A report on its way: first what it is made of, later its JSON."""

    source: Source | None
    size: int
    mark: Mark
    body: bytes = b""
    key: str = ""
    """The Idempotency-Key, one for all attempts."""
    attempts: int = 0
    begun: float = 0.0
    """When it was first tried (monotonic)."""
    due: float = 0.0
    reason: str = ""
    """Why it waits."""
    answered: bool = True
    """False if it waits because the server is out of reach."""
    stored: bool = False
    """Whether the spool has it."""

    def __lt__(self, other: Queued) -> bool:
        return self.due < other.due


New: TypeAlias = "tuple[Source, int, Mark]"
"""A new report: its source, its size and the mark it was admitted under."""


class Outbox:
    """
    Hands out reports when they may be tried.

    `put()` may be called from a finalizer: it waits for no lock. Everything else belongs to the
    sending threads. Each of them sleeps on a lock of its own: with several consumers, a timed get
    of CPython's SimpleQueue may sleep for ever (seen on 3.11 and 3.12).
    """

    def __init__(self) -> None:
        self._new: SimpleQueue[New | Queued] = SimpleQueue()
        self._waiting: list[Queued] = []
        self._lock = threading.Lock()
        self._sleepers: deque[threading.Lock] = deque()
        self._state = object()
        """Another one whenever what waits may be due earlier than it was."""
        self.closed = False
        """Whether the reporter was shut down."""

    def put(self, new: New | Queued) -> None:
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
        """Let no thread sleep any more: after a shutdown they look up and end."""
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

    def put_back(self, queued: Queued, due: float) -> None:
        """Keep a report until `due` (monotonic)."""
        queued.due = due
        with self._lock:
            heapq.heappush(self._waiting, queued)
            is_next = self._waiting[0] is queued
        if is_next:  # a thread may be asleep until a later one is due
            self.wake(1)

    def take(self, *, waiting_first: bool, idle: float, hold: Callable[[], float]) -> Queued | None:
        """
        Take a report that may be tried now; None when there was none, or by `wake()`.

        Args:
            waiting_first: Whether a due one goes before a new one; callers take turns.
            idle: Seconds to wait for one.
            hold: Says the monotonic time before which none of the waiting ones is due.
        """
        state = self._state  # before anything that it stands for
        if not waiting_first and (new := self._take_new()) is not None:
            return new
        with self._lock:
            if self._waiting:
                left = max(self._waiting[0].due, hold()) - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._waiting)
                idle = min(idle, left)
        if (new := self._take_new()) is None:
            self._sleep(idle, state)
            new = self._take_new()
        return new

    def _take_new(self) -> Queued | None:
        try:
            new = self._new.get_nowait()
        except Empty:
            return None
        return new if isinstance(new, Queued) else Queued(*new)

    def make_due(self, *, unanswered_only: bool) -> None:
        """Let what waits be tried at once: all of it, or what could not reach the server."""
        with self._lock:
            for queued in self._waiting:
                if not (unanswered_only and queued.answered):
                    queued.due = 0.0
            heapq.heapify(self._waiting)

    def clear(self) -> list[Queued]:
        """Take out everything."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        while (new := self._take_new()) is not None:
            taken.append(new)
        return taken

    def is_idle(self, hold: float) -> bool:
        """Whether nothing is new and nothing is due."""
        with self._lock:
            next_due = max(self._waiting[0].due, hold) if self._waiting else float("inf")
        return self._new.empty() and next_due > time.monotonic()

    def why(self) -> str:
        """Why those wait that wait: the reason of one of them."""
        with self._lock:
            return self._waiting[0].reason if self._waiting else ""

    @property
    def waiting(self) -> int:
        """How many wait for another attempt."""
        return len(self._waiting)
