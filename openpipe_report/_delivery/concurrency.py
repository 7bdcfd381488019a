"""
How the sending threads share the interpreter: how many there are, and whose turn it is.

Threads help where the network keeps them waiting. Those that compute only take the interpreter's
lock from each other and from the callers: to a server that answers at once, eight of them deliver
more slowly than one does, at twice the CPU; to one that answers after 50 ms, they cost a tenth less
if they take turns (measured). Waiting for the lock counts as waiting, too: beside a thread of the
user's that computes without pause, one alone would not keep up.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_SHARE = 0.9
"""How much of one core all threads together may keep busy."""

_SMOOTHING = 8
"""Over how many attempts the averages run, about."""

SLOT_TIMEOUT = 0.01
"""Seconds to wait for the slot before going on without it: one stalled thread must block none."""


class ConcurrencyLimiter:
    """
    Learns from each attempt how many threads are worth having.

    Threads share it without a lock; a measurement that is lost to another does no harm.

    Args:
        limit: How many there may be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._wall = self._cpu = 0.0
        self._slot_lock = threading.Lock()
        self.wanted = limit
        """How many threads are worth having, from one to the limit."""

    def record(self, wall: float, cpu: float) -> None:
        """
        Take an attempt into account.

        Args:
            wall: Seconds that it took.
            cpu: Seconds for which its thread computed meanwhile.
        """
        weight = 1 / _SMOOTHING if self._wall else 1.0
        self._wall += (wall - self._wall) * weight
        self._cpu += (cpu - self._cpu) * weight
        room = _SHARE * self._wall
        fitting = int(room / self._cpu) if self._cpu * self._limit > room else self._limit
        self.wanted = max(1, fitting)

    def slot(self) -> Slot:
        """Return the block in which a thread builds and sends a report."""
        return Slot(self._slot_lock if self.wanted > 1 else None)


class Slot:
    """
    One thread's turn to build and send a report; while it waits for the answer, others have theirs.

        with concurrency.slot() as slot:
            ...
            slot.release()  # from here on it waits for the network
            ...

    Args:
        lock: Whoever holds it has the turn; None if nobody else is there.
    """

    __slots__ = ("_is_mine", "_lock")

    def __init__(self, lock: threading.Lock | None) -> None:
        self._lock = lock
        self._is_mine = False

    def __enter__(self) -> Self:
        if self._lock is not None:
            self._is_mine = self._lock.acquire(timeout=SLOT_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let another thread have its slot, if this one still has it."""
        if self._is_mine and self._lock is not None:
            self._is_mine = False
            self._lock.release()
