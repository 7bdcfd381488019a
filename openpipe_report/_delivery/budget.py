"""
What may be pending at the most, and the memory that open streams are charged for.
"""

from __future__ import annotations

import threading
from typing import Protocol


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
        """Reports in memory."""
        self.bytes = 0
        self.aside = 0
        """Reports that only the spool has at present."""
        self.has_unlogged_drops = False
        """Whether an accounting has counted a drop that the log does not have yet."""

    @property
    def room_to_half(self) -> tuple[int, int]:
        """How many reports and bytes are missing until it is half full; negative if it is more."""
        return self._max_reports // 2 - self.pending, self._max_bytes // 2 - self.bytes

    def has_room(self, size: int, reports: int = 0) -> bool:
        """Whether so many bytes, and so many more reports, fit in."""
        return self.pending + reports <= self._max_reports and self.bytes + size <= self._max_bytes

    @property
    def has_any(self) -> bool:
        """Whether any report is pending, in memory or set aside."""
        return bool(self.pending or self.aside)

    @property
    def over_limit(self) -> bool:
        """Whether reports became larger in the building than there is room for."""
        return self.bytes > self._max_bytes


class Chargeable(Protocol):
    """The accounting that a reservation belongs to."""

    lock: threading.RLock

    def try_charge(self, size: int) -> bool:
        """Charge so many bytes; False when there is no room for them."""
        ...

    def charge(self, by: int) -> None:
        """Adjust the charge; this may exceed the limit."""
        ...


class Reservation:
    """
    The memory that one open stream is charged for; nothing once it is closed.

    The stream's reader lets it grow, a sender thread lets it shrink, whoever ends the stream closes
    it: each in one step, under the accounting's lock.
    """

    __slots__ = ("_accounting", "_is_closed", "_size")

    def __init__(self, accounting: Chargeable) -> None:
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
