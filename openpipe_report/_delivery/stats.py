"""
What became of the reports of one reporter, and of all of this process.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from openpipe_report._log import internal_error_count

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_PARTS = 100
"""How many stats of reporters that are gone are kept apart."""


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
