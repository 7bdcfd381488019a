"""
The channel: what reporters with the same destination share on the way there.

Queue, threads, connections, circuit breaker and spool belong to the destination. What may be sent
(`before_report`, `sample_rate`, ...) and what became of it belong to the reporter, and travel with
each report as its owner. So a client a request, with a hook of its own, costs no thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openpipe_report._delivery import process
from openpipe_report._delivery.aside import ReportsAside
from openpipe_report._delivery.queue import PendingReport
from openpipe_report._delivery.retry import DEFAULT_RETRY_TIMING, RetryTiming
from openpipe_report._delivery.sender import Sender
from openpipe_report._delivery.weak_registry import WeakRegistry
from openpipe_report._delivery.workers import (
    GATHER_SECONDS,
    IDLE_SECONDS,
    SenderThreads,
    delivering,
)
from openpipe_report._log import logger
from openpipe_report._spool.timing import DEFAULT_SPOOL_TIMING, SpoolTiming

if TYPE_CHECKING:
    from openpipe_report._delivery.lazy_transport import LazyTransport
    from openpipe_report._delivery.queue import NewReport, ReportOwner
    from openpipe_report._settings import Settings
    from openpipe_report._spool.client import Spool
    from openpipe_report._spool.folder import LoadedReport


@dataclass(frozen=True)
class Timing:
    """How long a channel waits where no setting says so; tests give their own."""

    retry: RetryTiming = DEFAULT_RETRY_TIMING
    idle: float = IDLE_SECONDS
    gather: float = GATHER_SECONDS
    spool: SpoolTiming = DEFAULT_SPOOL_TIMING


DEFAULT_TIMING = Timing()


class Channel:
    """
    Delivers the reports of its owners to one destination.

    Args:
        settings: Say where reports go; what they say of a policy is not looked at.
        timing: How long to wait.
    """

    def __init__(self, settings: Settings, timing: Timing) -> None:
        self.settings = settings
        self._timing = timing
        self.owners: WeakRegistry[ReportOwner] = WeakRegistry()
        self._inherited: list[LazyTransport | Spool[NewReport, PendingReport] | None] = []
        self._start()
        process.register(self)

    def _start(self) -> None:
        settings = self.settings
        self.sender = Sender(settings, self._timing.retry, self.owners)
        self.budget, self.queue = self.sender.budget, self.sender.queue
        self._aside = ReportsAside()
        self.spool = self.sender.spool = self._make_spool()
        self.threads = SenderThreads(
            self.sender, settings.senders, self, idle=self._timing.idle, gather=self._timing.gather
        )

    def _make_spool(self) -> Spool[NewReport, PendingReport] | None:
        settings = self.settings
        if settings.spool is None:
            return None
        # sqlite3 only where it is wanted
        from openpipe_report._spool.client import Spool  # noqa: PLC0415
        from openpipe_report._spool.folder import SpoolFolder  # noqa: PLC0415

        folder = SpoolFolder(
            settings.spool,
            settings.api_url,
            settings.api_key.get_secret_value() if settings.api_key else None,
            settings.spool_max_bytes,
            self._timing.spool,
        )
        return Spool(folder, self)

    def submit(self, new: NewReport) -> None:
        """Queue an admitted report, through the spool where there is one."""
        if self.spool is not None:
            self.spool.put(new)
            process.hook_exit()
        else:
            self.threads.enqueue(new)
        if process.exit_state().thread is not None:
            process.deliver_during_exit(self)

    def drop(self, owner: ReportOwner) -> None:
        """Drop what an owner has pending after its shutdown, if others still use the channel."""
        self.sender.drop_waiting(owner)
        self.threads.ensure_thread()

    def close(self) -> None:
        """Drop what is pending after the last owner's shutdown; no owner joins afterwards."""
        self.sender.drop_waiting()
        self.sender.close_spool()
        self._aside.leave_all()

    # Called by the spool's thread, see `SpoolDelegate`.

    def build(self, new: NewReport) -> PendingReport | None:
        """Build the JSON of a submitted report; None if it is filtered out or dropped."""
        with delivering():
            pending = PendingReport(*new)
            return pending if self.sender.build(pending) else None

    def enqueue(self, pending: NewReport | PendingReport) -> None:
        """Queue a report for the sender threads: a new one, or one that the spool has built."""
        self.threads.enqueue(pending)

    def tag_of(self, pending: PendingReport) -> int:
        """Return the number of the epoch of a report: with it `read_back()` finds its owner."""
        return pending.epoch.number

    def is_crowded(self) -> bool:
        """Whether memory is more than half full."""
        return min(self.budget.room_to_half) < 0

    def set_aside(self, pending: PendingReport) -> None:
        """Let go of a report that stays in the file alone for now."""
        self._aside.add(pending.owner, pending.epoch)
        pending.owner.accounting.set_aside(pending.size)

    def lose_aside(self) -> None:
        """Count what was set aside as lost: somebody has removed the file, or it was corrupt."""
        self._aside.lose()

    def room(self) -> tuple[int, int]:
        """Return how many reports and bytes may be read back: until memory is half full."""
        return (0, 0) if self.closed else self.budget.room_to_half

    def read_back(self, loaded: LoadedReport) -> bool:
        """Queue a report that was set aside, or left by a dead process; False without room."""
        size = len(loaded.body)
        known = None if loaded.tag is None else self._aside.take(loaded.tag)
        if known is not None:
            owner, epoch = known
            owner.accounting.read_back(size)
        else:
            live = next((owner for owner in self.owners if not owner.closed), None)
            admitted = None if live is None else live.accounting.try_admit(size, is_new=False)
            if live is None or admitted is None:
                return False
            owner, epoch = live, admitted
        self.enqueue(
            PendingReport(
                None,
                size,
                epoch,
                owner,
                path=loaded.path,
                body=loaded.body,
                idempotency_key=loaded.idempotency_key,
                place=loaded.place,
            )
        )
        return True

    # What the exit and the forks of the process ask for, see `process.Participant`.

    @property
    def closed(self) -> bool:
        """Whether every owner was shut down."""
        return all(owner.closed for owner in self.owners)

    @property
    def exit_timeout(self) -> float:
        """Seconds that it may hold the process at its exit."""
        return max((owner.settings.exit_timeout for owner in self.owners), default=0.0)

    def sweep(self, *, at_exit: bool) -> None:
        """Report the streams that are still open."""
        for owner in self.owners:
            owner.sweep(at_exit=at_exit)

    def drain(self, deadline: float) -> None:
        """Wait until what is pending was delivered or tried, or `deadline` (monotonic)."""
        with delivering():
            if self.spool is not None:
                self.spool.sync(deadline - time.monotonic())
            self.threads.drain(deadline)

    def drop_remaining(self, deadline: float) -> None:
        """Close the spool, within `deadline` (monotonic), and count as lost what is pending."""
        left = max(0.0, deadline - time.monotonic())
        if self.spool is not None:
            self.spool.adopt_nothing()
        self.sender.drop_remaining(0 if self.spool is None else self.spool.close(left))

    def reset(self) -> None:
        """Begin anew in a forked child: nothing queued, no thread, no connection."""
        # The parent's connections and its spool are kept, unused: closing them could be felt at the
        # other end. Its backlog is not.
        self._inherited += [self.sender.transport, self.spool]
        was_closed = self.queue.closed
        self.queue.forget()
        if self.spool is not None:
            self.spool.forget()
        if self.settings.http_client is not None:
            self.settings = self.settings.model_copy(update={"http_client": None})
            logger.warning(
                "openpipe_report: a forked process cannot share the connections of http_client=; "
                "it sends over its own. Make the Reporter after the fork to use a client there"
            )
        self._start()
        if was_closed:
            self.queue.close()
        for owner in self.owners:
            owner.reset()
