"""
The accounting of one reporter: what is pending, and what became of the rest.

Its lock is re-entrant, because a finalizer may admit a report in the midst of one of its methods.
While it is held, nothing waits, logs or calls out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from openpipe_report._delivery.budget import Reservation
from openpipe_report._delivery.flushes import Flushes
from openpipe_report._delivery.stats import Stats
from openpipe_report._log import internal_error_count

if TYPE_CHECKING:
    from openpipe_report._delivery.budget import Budget
    from openpipe_report._delivery.flushes import FlushEpoch

_SPOOLED = "left in the spool"


class Accounting:
    """
    Counts each report of one reporter once.

    Args:
        budget: Bounds what is pending, of all reporters of the channel.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.lock = budget.lock
        self.flushes = Flushes(self.lock)
        self._pending = 0
        self._aside = 0
        """How many of them only the spool has."""
        self._bytes = 0
        self._delivered = 0
        self._rejected = 0
        self._filtered = 0
        self._spooled = 0
        self._dropped: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()

    @property
    def pending(self) -> int:
        """How many reports were admitted and have no end yet."""
        return self._pending

    def try_admit(
        self, size: int, *, is_new: bool = True, reservation: Reservation | None = None
    ) -> FlushEpoch | None:
        """
        Charge a report of `size` bytes; None when there is no room.

        Where it is new, `flushes.note_queued()` has to follow.

        Args:
            size: Its bytes.
            is_new: Whether it is lost without room: then a drop is counted.
            reservation: What it was charged for as an open stream; closed in the same step, so that
                nobody takes its room in between.
        """
        with self.lock:
            if reservation is not None:
                reservation.close()
            is_alone = not is_new and not self._budget.pending  # or it would never be delivered
            if not (is_alone or self._budget.has_room(size, reports=1)):
                if is_new:
                    self._count_drop("queue full")
                return None
            self._pending += 1
            self._budget.pending += 1
            self.charge(size)
            return self.flushes.admit(is_new=is_new)

    def count_drop(self, reason: str) -> None:
        """Count a report that is not even admitted."""
        with self.lock:
            self._count_drop(reason)

    def _count_drop(self, reason: str) -> None:
        self._dropped[reason] += 1
        self._unlogged[reason] += 1
        self._budget.has_unlogged_drops = True
        self.flushes.count_loss(reason)

    def pop_unlogged_drops(self) -> Counter[str]:
        """Return and clear the drops that were not logged yet."""
        if not self._unlogged:
            return Counter()
        with self.lock:
            unlogged, self._unlogged = self._unlogged, Counter()
        return unlogged

    def reserve(self) -> Reservation:
        """Begin to charge the memory of an open stream."""
        return Reservation(self)

    def try_charge(self, size: int) -> bool:
        """Charge so many bytes; False when there is no room for them."""
        with self.lock:
            if not self._budget.has_room(size):
                return False
            self.charge(size)
            return True

    def charge(self, by: int) -> None:
        """Adjust an admitted report's memory charge; this may exceed the limit."""
        with self.lock:
            self._bytes += by
            self._budget.bytes += by

    def set_aside(self, size: int) -> None:
        """Note that a pending report of `size` bytes leaves memory: the spool has it."""
        with self.lock:
            self._aside += 1
            self._budget.aside += 1
            self._budget.pending -= 1
            self.charge(-size)

    def read_back(self, size: int) -> None:
        """Note that such a report is in memory again."""
        with self.lock:
            self._aside -= 1
            self._budget.aside -= 1
            self._budget.pending += 1
            self.charge(size)

    def end_aside(self, epoch: FlushEpoch, count: int, loss: str | None = None) -> None:
        """
        End reports of one epoch that were set aside.

        Args:
            epoch: Theirs.
            count: How many.
            loss: Why they are lost; None where they are left in the spool.
        """
        with self.lock:
            count = min(count, self._aside)
            self._aside -= count
            self._budget.aside -= count
            self._pending -= count
            epoch.pending -= count
            if loss is None:
                self._spooled += count
            else:
                self._dropped[loss] += count
            epoch.lost[loss or _SPOOLED] += count
        epoch.notify()

    def delivered(self, epoch: FlushEpoch, size: int) -> None:
        """The server acknowledged it."""
        with self.lock:
            self._delivered += self._close(epoch, size)
        epoch.notify()

    def filtered(self, epoch: FlushEpoch, size: int) -> None:
        """It was not to be sent."""
        with self.lock:
            self._filtered += self._close(epoch, size)
        epoch.notify()

    def rejected(self, epoch: FlushEpoch, size: int) -> None:
        """The server refused it for good."""
        with self.lock:
            if self._close(epoch, size):
                self._rejected += 1
                epoch.lost["rejected"] += 1
        epoch.notify()

    def spooled(self, epoch: FlushEpoch, size: int) -> None:
        """It is left in the spool."""
        with self.lock:
            if self._close(epoch, size):
                self._spooled += 1
                epoch.lost[_SPOOLED] += 1
        epoch.notify()

    def dropped(self, epoch: FlushEpoch, size: int, reason: str) -> None:
        """It is lost on our side."""
        with self.lock:
            if self._close(epoch, size):
                self._dropped[reason] += 1
                epoch.lost[reason] += 1
        epoch.notify()

    def _close(self, epoch: FlushEpoch, size: int) -> bool:
        self.charge(-size)
        if epoch.dropped_at_exit:
            return False
        self._pending -= 1
        self._budget.pending -= 1
        epoch.pending -= 1
        return True

    def drop_remaining(self, reason: str, spooled: int = 0) -> int:
        """
        At exit: count all that is pending as lost, whatever becomes of it; return how many.

        Args:
            reason: The kind of loss.
            spooled: How many of them are not lost, but left in the spool.
        """
        with self.lock:
            spooled = min(spooled, self._pending)
            self._budget.pending -= self._pending - self._aside
            self._budget.aside -= self._aside
            self._aside = 0
            count, self._pending = self._pending - spooled, 0
            self._spooled += spooled
            if count:
                self._dropped[reason] += count
            self.flushes.drop_remaining(reason)
        return count

    def stats(self, *, open_streams: int, threads: int) -> Stats:
        """Return the current counts."""
        with self.lock:
            return Stats(
                delivered=self._delivered,
                rejected=self._rejected,
                dropped=dict(self._dropped),
                spooled=self._spooled,
                sampled_out=self._filtered,
                pending=self._pending,
                pending_bytes=self._bytes,
                open_streams=open_streams,
                threads=threads,
                faults=internal_error_count(),
            )
