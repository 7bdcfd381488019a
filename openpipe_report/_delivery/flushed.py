"""
What `flush()` waits for, and what it found.

Waiters use a plain lock, not an Event: Event.set() takes a lock that is not re-entrant, and would
deadlock if a finalizer called it during Event.wait().
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

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
