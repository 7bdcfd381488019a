"""
Outbox: the reports that wait to be sent, new ones in a queue and failed ones in a heap by due time.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from openpipe_report._ledger import Mark
    from openpipe_report._wire import Report


class Source(Protocol):
    """What becomes a report on the reporter's thread: an exchange, a span, a hand-made one."""

    @property
    def size(self) -> int:
        """Bytes of memory that it holds, about."""
        ...

    def build(self) -> Report:
        """Build the report; may raise, which drops and counts it."""
        ...


@dataclass(slots=True, eq=False)
class Queued:
    """A report on its way: first what it is made of, later its JSON."""

    source: Source | None
    size: int
    mark: Mark
    body: bytes = b""
    key: str = ""
    """The Idempotency-Key, one for all attempts."""
    attempts: int = 0
    first_attempt: float = 0.0
    due: float = 0.0
    reason: str = ""
    """Why the last attempt failed."""
    answered: bool = True
    """Whether that attempt got an HTTP answer."""

    def __lt__(self, other: Queued) -> bool:
        return self.due < other.due


class Outbox:
    """
    Hands out reports when they may be tried.

    `put()` may be called from a finalizer: a SimpleQueue's is re-entrant. Everything else belongs
    to the sending threads.
    """

    def __init__(self) -> None:
        self._new: SimpleQueue[Queued | None] = SimpleQueue()
        self._waiting: list[Queued] = []
        self._lock = threading.Lock()

    def put(self, queued: Queued) -> None:
        """Add a new report."""
        self._new.put(queued)

    def wake(self, threads: int) -> None:
        """Let so many threads look again at what is due."""
        for _ in range(threads):
            self._new.put(None)

    def put_back(self, queued: Queued, due: float) -> None:
        """Keep a report until `due` (monotonic)."""
        queued.due = due
        with self._lock:
            heapq.heappush(self._waiting, queued)

    def take(
        self, *, waiting_first: bool, block: bool = True, idle: float | None = None
    ) -> Queued | None:
        """
        Take a report that may be tried now.

        Args:
            waiting_first: Whether a due one goes before a new one; callers take turns.
            block: Wait for one.
            idle: Seconds to wait where nothing is due at a known time; None for ever.
        """
        if not waiting_first:
            try:
                return self._new.get_nowait()
            except Empty:
                pass
        with self._lock:
            if self._waiting:
                idle = self._waiting[0].due - time.monotonic()
                if idle <= 0:
                    return heapq.heappop(self._waiting)
        try:
            return self._new.get(block=block, timeout=idle)
        except Empty:
            return None

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
        while True:
            try:
                queued = self._new.get_nowait()
            except Empty:
                return taken
            if queued is not None:
                taken.append(queued)

    @property
    def backlog(self) -> int:
        """How many new reports nobody has taken."""
        return self._new.qsize()

    @property
    def waiting(self) -> int:
        """How many wait for another attempt."""
        return len(self._waiting)
