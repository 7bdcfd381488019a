"""
Which reports were set aside: whose they are, while only the spool has them.

An outage may set aside hundreds of thousands. What is kept of them is a count for each epoch.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openpipe_report._delivery.flushes import FlushEpoch
    from openpipe_report._delivery.queue import ReportOwner


_FILE_GONE = "the spool's file is gone"


@dataclass(slots=True)
class _Aside:
    owner: ReportOwner
    epoch: FlushEpoch
    count: int = 0


class ReportsAside:
    """Counts by epoch. Safe for threads: the spool's own, and one that shuts a reporter down."""

    def __init__(self) -> None:
        self._by_epoch: dict[int, _Aside] = {}
        self._lock = threading.RLock()

    def add(self, owner: ReportOwner, epoch: FlushEpoch) -> None:
        """Note that a report was set aside."""
        with self._lock:
            self._by_epoch.setdefault(epoch.number, _Aside(owner, epoch)).count += 1

    def take(self, number: int) -> tuple[ReportOwner, FlushEpoch] | None:
        """Note that a report was read back; return whose it is, by the number of its epoch."""
        with self._lock:
            aside = self._by_epoch.get(number)
            if aside is None:
                return None
            aside.count -= 1
            if not aside.count:
                del self._by_epoch[number]
            return aside.owner, aside.epoch

    def leave_all(self) -> None:
        """Count what was set aside as left in the spool: the channel is closed."""
        with self._lock:
            left, self._by_epoch = self._by_epoch, {}
        for aside in left.values():
            aside.owner.accounting.end_aside(aside.epoch, aside.count)

    def lose(self) -> None:
        """Count everything that was set aside as lost, and log it: the file is gone."""
        with self._lock:
            lost, self._by_epoch = self._by_epoch, {}
        for aside in lost.values():
            aside.owner.accounting.end_aside(aside.epoch, aside.count, _FILE_GONE)
            aside.owner.drop_log.record(_FILE_GONE, aside.count)
