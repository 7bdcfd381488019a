"""
The reports of one channel that wait: new ones in an inlet, built ones in a heap by due time.
"""

from __future__ import annotations

import heapq
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from openpipe_report._report.model import REPORT_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._delivery.accounting import Accounting
    from openpipe_report._delivery.drop_log import DropLog
    from openpipe_report._delivery.flushes import FlushEpoch
    from openpipe_report._report.metadata_update import MetadataUpdate
    from openpipe_report._report.model import ReportSource
    from openpipe_report._settings import Settings
    from openpipe_report._spool.backlog import Place


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

    def join(self, channel: Any) -> None:
        """Begin to report over a channel."""
        ...

    def sweep(self, *, at_exit: bool = False) -> None:
        """Report the streams that are left open; at exit all of them."""
        ...

    def reset(self) -> None:
        """Begin anew in a forked child."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class PendingReport:
    """A report, or a change of labels, on its way: first its content, later its JSON."""

    source: ReportSource | MetadataUpdate | None
    size: int
    epoch: FlushEpoch
    owner: ReportOwner
    """The reporter whose policy holds for it, and which counts it."""
    path: str = REPORT_PATH
    """Where it is posted, below the base URL."""
    body: bytes = b""
    idempotency_key: str = ""
    """One for all attempts."""
    attempts: int = 0
    begun: float = 0.0
    """When it was first tried (monotonic)."""
    reason: str = ""
    """Why it waits."""
    place: Place | None = None
    """Where the spool has it; None if it does not."""


NewReport: TypeAlias = "tuple[ReportSource | MetadataUpdate, int, FlushEpoch, ReportOwner]"
"""A new report: its source, its size, the epoch it was admitted under, and its owner."""


class ReportQueue:
    """
    Hands out reports when they may be built or tried.

    It has no lock: each step is one call into C. So any thread may call any method, a finalizer or
    a signal handler in the midst of another one included, but for `take()`: of that, one call at a
    time. With several consumers, a timed get of CPython's SimpleQueue may sleep for ever (seen on
    3.11 and 3.12); `clear()`, which is another one, wakes it.
    """

    def __init__(self) -> None:
        self._inlet: SimpleQueue[NewReport | PendingReport | None] = SimpleQueue()
        """New reports, and None for whoever sleeps in `take()` to look again."""
        self._heap: list[tuple[float, int, int, PendingReport]] = []
        """By due time; of those due at once, the one tried least often is the better probe."""
        self._numbers = count()
        self._prefers_new = False
        self.closed = False
        """Whether every owner was shut down."""

    def put(self, new: NewReport | PendingReport) -> None:
        """Add a new report, or one that the spool has built."""
        self._inlet.put(new)

    def schedule(self, pending: PendingReport, due: float) -> None:
        """Keep a report until `due` (monotonic)."""
        entry = (due, pending.attempts, next(self._numbers), pending)
        heapq.heappush(self._heap, entry)
        if self._next() is entry:  # a thread may be asleep until a later one is due
            self.wake()

    def wake(self) -> None:
        """Let the thread that sleeps in `take()` look again."""
        self._inlet.put(None)

    def close(self) -> None:
        """Mark the queue closed, so that the threads end."""
        self.closed = True
        self.wake()

    def take(self, timeout: float, not_before: Callable[[], float]) -> PendingReport | None:
        """
        Take a report that may be tried now, or a new one; they take turns.

        Args:
            timeout: Seconds to wait for one.
            not_before: Says the monotonic time before which nothing may be tried.

        Returns:
            A report; None when there was none, or by `wake()`.
        """
        self._prefers_new = not self._prefers_new
        if self._prefers_new and (new := self._take_new(0.0)) is not None:
            return new
        entry = self._next()
        if entry is not None:
            left = max(entry[0], not_before()) - time.monotonic()
            if left <= 0:
                return self._pop()
            timeout = min(timeout, left)
        del entry  # a forked child keeps what is in the frames of the parent's threads
        return self._take_new(timeout)

    def _take_new(self, timeout: float) -> PendingReport | None:
        try:
            new = self._inlet.get(timeout > 0, timeout)
        except Empty:
            return None
        return PendingReport(*new) if isinstance(new, tuple) else new

    def _next(self) -> tuple[float, int, int, PendingReport] | None:
        with suppress(IndexError):
            return self._heap[0]
        return None

    def _pop(self) -> PendingReport | None:
        with suppress(IndexError):
            return heapq.heappop(self._heap)[-1]
        return None

    def expire_delays(self) -> None:
        """Make every scheduled retry due now."""
        for _, pending in self._pop_all():
            self.schedule(pending, 0.0)
        self.wake()

    def _pop_all(self) -> list[tuple[float, PendingReport]]:
        popped = []
        with suppress(IndexError):
            while True:
                due, _, _, pending = heapq.heappop(self._heap)
                popped.append((due, pending))
        return popped

    def clear(self, wanted: Callable[[PendingReport], bool]) -> list[PendingReport]:
        """Take out the reports that are wanted; the others stay, with their due times."""
        taken: list[PendingReport] = []
        for due, pending in self._pop_all():
            if wanted(pending):
                taken.append(pending)
            else:
                self.schedule(pending, due)
        for _ in range(self._inlet.qsize()):
            if (new := self._take_new(0.0)) is not None:
                if wanted(new):
                    taken.append(new)
                else:
                    self.put(new)
        self.wake()  # the wake-up of the thread that sleeps in `take()` may have been taken here
        return taken

    def forget(self) -> None:
        """Let go of all reports, in a forked child: frames of the parent's threads hold this."""
        self._inlet = SimpleQueue()
        self._heap = []

    @property
    def length(self) -> int:
        """How many new reports wait, wake-ups counted with them."""
        return self._inlet.qsize()

    def is_empty(self) -> bool:
        """Whether there is nothing, not even what waits for another attempt."""
        return not self._heap and self._inlet.empty()

    def is_idle(self, not_before: float) -> bool:
        """Whether nothing is new and nothing may be tried now."""
        entry = self._next()
        next_due = float("inf") if entry is None else max(entry[0], not_before)
        return self._inlet.empty() and next_due > time.monotonic()

    def last_error(self) -> str:
        """Return the last error of the next scheduled retry."""
        entry = self._next()
        return "" if entry is None else entry[-1].reason

    @property
    def waiting(self) -> int:
        """How many wait for another attempt."""
        return len(self._heap)
