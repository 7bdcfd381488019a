"""
The ledger of one reporter: what is pending, what became of the rest, and who waits for it.

Its lock is re-entrant, because a finalizer may admit a report in the midst of one of its methods;
none of them waits, logs or calls out while holding it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openpipe_report._guard import count_faults, logger, note_fault

if TYPE_CHECKING:
    from collections.abc import Callable


class Mark:
    """Counts the reports queued between two calls of `flush()`, so that it can wait for them."""

    __slots__ = ("done", "lost", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self.lost = 0
        self.done = threading.Event()


@dataclass(frozen=True, slots=True)
class Stats:
    """
    What became of the reports of one reporter since it began, in this process.

    Every report is in exactly one of `delivered`, `rejected`, `dropped`, `sampled_out` and
    `pending`.
    """

    delivered: int = 0
    """The server acknowledged them."""
    rejected: int = 0
    """The server refused them for good."""
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    """Lost, by reason: "queue full", "too large", "gave up", "exit", "shutdown", ..."""
    sampled_out: int = 0
    """Left out because of `sample_rate`, or by `before_report` returning None."""
    pending: int = 0
    """Waiting to be sent, or for another attempt."""
    pending_bytes: int = 0
    """The memory that these and the open streams hold."""
    open_streams: int = 0
    """Streamed answers that are still being read."""
    threads: int = 0
    """Threads that send."""
    faults: int = 0
    """Errors inside this package that were kept from your calls, in the whole process."""


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
    """Why: the last failure of a pending report."""

    def __bool__(self) -> bool:
        return not (self.pending or self.lost)


class Ledger:
    """
    Counts every report once, bounds what is pending, and lets `flush()` wait.

    Args:
        max_reports: How many may be pending.
        max_bytes: How much memory they and the open streams may hold.
    """

    def __init__(self, max_reports: int, max_bytes: int) -> None:
        self._max_reports = max_reports
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._mark = Mark()
        self._marks = [self._mark]
        self._pending = 0
        self._bytes = 0
        self._delivered = self._rejected = self._left_out = 0
        self._dropped: Counter[str] = Counter()
        self._news: Counter[str] = Counter()
        self._announced: set[str] = set()
        self.last_failure = ""

    @property
    def pending(self) -> int:
        """How many reports were admitted and have no end yet."""
        return self._pending

    def admit(self, size: int) -> Mark | None:
        """Charge a report of `size` bytes; None, and a drop counted, when there is no room."""
        with self._lock:
            if self._pending >= self._max_reports or self._bytes + size > self._max_bytes:
                self._drop("queue full", self._mark)
                return None
            self._pending += 1
            self._bytes += size
            self._mark.pending += 1
            return self._mark

    def reserve(self, size: int) -> bool:
        """Charge the memory of an open stream, or give it back; False when there is no room."""
        with self._lock:
            if size > 0 and self._bytes + size > self._max_bytes:
                return False
            self._bytes += size
            return True

    def refuse(self, reason: str) -> None:
        """Count a report that is not even admitted."""
        with self._lock:
            self._drop(reason, self._mark)

    def delivered(self, mark: Mark, size: int) -> None:
        """The server acknowledged it."""
        with self._lock:
            self._delivered += 1
            self._close(mark, size)

    def left_out(self, mark: Mark, size: int) -> None:
        """It was not to be sent."""
        with self._lock:
            self._left_out += 1
            self._close(mark, size)

    def rejected(self, mark: Mark, size: int, reason: str) -> None:
        """The server refused it for good."""
        with self._lock:
            self._rejected += 1
            self.last_failure = reason
            self._news["rejected"] += 1
            mark.lost += 1
            self._close(mark, size)

    def dropped(self, mark: Mark, size: int, reason: str) -> None:
        """It is lost on our side."""
        with self._lock:
            self._drop(reason, mark)
            self._close(mark, size)

    def _drop(self, reason: str, mark: Mark) -> None:
        self._dropped[reason] += 1
        self._news[reason] += 1
        mark.lost += 1

    def _close(self, mark: Mark, size: int) -> None:
        self._pending -= 1
        self._bytes -= size
        mark.pending -= 1
        if mark.pending == 0 and mark is not self._mark:
            self._marks.remove(mark)
            mark.done.set()

    def announce(self, host: str, on_drop: Callable[[str, int], object] | None) -> None:
        """Tell of the losses since the last time: the log once per kind, `on_drop` always."""
        if not self._news:
            return
        with self._lock:
            news, self._news = self._news, Counter()
        for reason, count in news.items():
            if reason not in self._announced:
                self._announced.add(reason)
                why = self.last_failure if reason in {"rejected", "gave up"} else ""
                logger.warning(
                    "openpipe_report: %d report(s) to %s lost: %s%s; further ones are only "
                    "counted in Reporter.stats()",
                    count,
                    host,
                    reason,
                    f" ({why})" if why else "",
                )
            if on_drop is not None:
                try:
                    on_drop(reason, count)
                except Exception:  # noqa: BLE001 - the user's own hook
                    note_fault("on_drop")

    def wait(self, timeout: float | None) -> Flushed:
        """Wait until what was admitted before has ended, and tell how."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            marks, self._mark = self._marks, Mark()
            self._marks = [*(mark for mark in marks if mark.pending), self._mark]
            waited = self._marks[:-1]
        for mark in waited:
            mark.done.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        pending = sum(mark.pending for mark in marks)
        lost = sum(mark.lost for mark in marks)
        return Flushed(pending, lost, self.last_failure if pending or lost else "")

    def stats(self, *, open_streams: int, threads: int) -> Stats:
        """Take stock."""
        with self._lock:
            return Stats(
                delivered=self._delivered,
                rejected=self._rejected,
                dropped=dict(self._dropped),
                sampled_out=self._left_out,
                pending=self._pending,
                pending_bytes=self._bytes,
                open_streams=open_streams,
                threads=threads,
                faults=count_faults(),
            )
