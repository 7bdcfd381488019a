"""
The life of a report, after it was queued: it is built, tried, maybe tried again, and ends.

    queued -> built -> attempted -> (scheduled -> attempted)* -> ended

A change of labels has the same life. `_finish()` is the only place where it ends. When it may be
tried is said by `retry`; no thread waits here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

from openpipe_report._delivery.budget import Budget
from openpipe_report._delivery.connections import CannotConnectError
from openpipe_report._delivery.lazy_transport import LazyTransport
from openpipe_report._delivery.outage_log import OutageLog
from openpipe_report._delivery.outcome import Delivered, Rejected, Retryable
from openpipe_report._delivery.queue import ReportQueue
from openpipe_report._delivery.retry import Retries
from openpipe_report._log import log_internal_error
from openpipe_report._report.encode import encode_report
from openpipe_report._report.metadata_update import MetadataUpdate, encode_update
from openpipe_report._report.model import UPDATE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openpipe_report._delivery.outcome import Outcome
    from openpipe_report._delivery.queue import NewReport, PendingReport, ReportOwner
    from openpipe_report._delivery.retry import RetryTiming
    from openpipe_report._settings import Settings
    from openpipe_report._spool.client import Spool

_SPOOL_TIMEOUT = 2.0
"""Seconds that a shutdown may wait for the spool to write what it has."""

DELIVERED, FILTERED, REJECTED = "delivered", "filtered", "rejected"
"""Endings of a report's life; any other text is the reason of its loss."""


class Sender:
    """
    Advances the reports of one channel; shared by its threads.

    Args:
        settings: Those of the channel.
        timing: How long to wait between attempts.
        owners: The reporters of the channel.
    """

    def __init__(
        self, settings: Settings, timing: RetryTiming, owners: Iterable[ReportOwner]
    ) -> None:
        self.budget = Budget(settings.max_queue_reports, settings.max_queue_bytes)
        self.queue = ReportQueue()
        self.transport = LazyTransport(settings)
        self.retries = Retries(settings.retry_for, settings.senders, timing)
        self.spool: Spool[NewReport, PendingReport] | None = None
        self._owners = owners
        self._outage_log = OutageLog(settings)
        self._sending: set[PendingReport] = set()

    def process(
        self, pending: PendingReport, on_wait: Callable[[], None], within: float | None = None
    ) -> None:
        """
        Build a report if need be, then try to send it.

        Args:
            pending: The report.
            on_wait: Called, once or more, before the thread waits for the network or for a hook.
            within: Seconds that are left, at exit.
        """
        if pending.owner.closed and pending.place is None:
            on_wait()
            self._finish(pending, "shutdown")
            return
        if pending.source is not None:
            if pending.owner.settings.before_report is not None:  # it takes as long as it likes
                on_wait()
            if not self.build(pending):
                return
        now = time.monotonic()
        if now < self.retries.not_before():
            self._schedule(pending, self.retries.hold_back(pending, now))
        else:
            self._attempt(pending, now, on_wait, within)

    def build(self, pending: PendingReport) -> bool:
        """Build the report's JSON; False if the report is filtered out or dropped."""
        source, pending.source = pending.source, None
        try:
            assert source is not None  # noqa: S101 - built once
            if isinstance(source, MetadataUpdate):
                pending.path = UPDATE_PATH
                body = encode_update(source, pending.owner.settings)
            else:
                body = encode_report(source, pending.owner.settings)
        except BaseException:  # noqa: BLE001 - whatever a hook or a source does
            log_internal_error("building a report")
            body = "could not be built"
        if not body:
            self._finish(pending, FILTERED)
        elif isinstance(body, str):
            self._finish(pending, body)
        else:
            pending.owner.accounting.charge(len(body) - pending.size)
            pending.body, pending.size = body, len(body)
            pending.idempotency_key = str(uuid4())
            return True
        return False

    def _attempt(
        self,
        pending: PendingReport,
        now: float,
        on_wait: Callable[[], None],
        within: float | None,
    ) -> None:
        self.retries.breaker.begin_probe(now)
        if not pending.attempts:
            pending.begun = now
        pending.attempts += 1
        self._sending.add(pending)
        try:
            outcome = self._try(pending, on_wait, within)
            if not isinstance(outcome, Delivered):  # it may call the user's code
                on_wait()
            self._handle(pending, outcome, time.monotonic())
        finally:
            self._sending.discard(pending)
            if self.queue.closed and pending.place is not None:
                self.close_spool()

    def _try(
        self, pending: PendingReport, on_wait: Callable[[], None], within: float | None
    ) -> Outcome:
        try:
            transport = self.transport.get(on_wait)
            return transport.send(
                pending.body, pending.idempotency_key, within, on_wait, pending.path
            )
        except CannotConnectError as error:
            return Retryable(str(error), got_response=False)
        except BaseException as error:  # noqa: BLE001 - whatever it was, it may work later
            log_internal_error("sending a report")
            return Retryable(type(error).__name__, got_response=False)

    def _handle(self, pending: PendingReport, outcome: Outcome, now: float) -> None:
        if isinstance(outcome, Retryable):
            pending.reason = outcome.reason
            self._outage_log.record_failure(now, outcome.reason, self.budget.pending)
            self._schedule(pending, self.retries.after_failure(pending, outcome, now))
            return
        self._outage_log.record_success()
        if self.retries.breaker.record_success():
            self.queue.expire_delays()
        if isinstance(outcome, Rejected):
            pending.reason = outcome.reason
            self._finish(pending, REJECTED)
        else:
            self._finish(pending, DELIVERED)

    def _schedule(self, pending: PendingReport, due: float | None) -> None:
        """Keep a report until it is due (monotonic), where it may stay; None to give it up."""
        if pending.owner.closed and (pending.place is None or self.queue.closed):
            self._finish(pending, "shutdown")
        elif due is None:
            self._finish(pending, "gave up")
        elif self.budget.over_limit and pending.place is None:
            self._finish(pending, "queue full")
        else:
            self.queue.schedule(pending, due)

    def close_spool(self) -> None:
        """After the shutdown: close the spool, unless a report is being sent that it has."""
        if self.spool is None or any(each.place is not None for each in list(self._sending)):
            return  # the last of these comes here again
        self._outage_log.log_spooled(self.spool.close(_SPOOL_TIMEOUT))

    def expire_delays(self) -> None:
        """At exit: make every retry due now, unless the server asked for a pause."""
        self.retries.breaker.record_success()
        self.queue.expire_delays()

    def drop_waiting(self, owner: ReportOwner | None = None) -> None:
        """
        After a shutdown: finish waiting reports; those that are being sent are not touched.

        Args:
            owner: Whose reports, without those that the spool has: they are delivered all the same
                while others use the channel. None for all reports of all owners.
        """
        by_owner: dict[ReportOwner, list[PendingReport]] = {}
        for pending in self.queue.clear(
            lambda each: owner is None or (each.owner is owner and each.place is None)
        ):
            by_owner.setdefault(pending.owner, []).append(pending)
        for each, waiting in by_owner.items():
            lost = [pending for pending in waiting if pending.place is None]
            each.drop_log.record("shutdown", len(lost), _last_error(lost))
            for pending in waiting:
                self._finish(pending, "shutdown", is_logged=True)
        self.log_drops()

    def drop_remaining(self, spooled: int) -> None:
        """
        At the end of the process: count every unfinished report as lost, and log that once.

        Args:
            spooled: How many of them the spool has, as far as it has answered.
        """
        total = 0
        waiting = self.queue.clear(lambda _: True)
        unfinished = [*waiting, *list(self._sending)]
        for owner in self._owners:
            # If the spool did not answer in time, its reports are in the file all the same.
            stored = sum(each.place is not None for each in unfinished if each.owner is owner)
            stored = max(stored, min(spooled, owner.accounting.pending))
            spooled -= min(spooled, stored)
            total += stored
            count = owner.accounting.drop_remaining("exit", stored)
            why = _last_error([each for each in waiting if each.owner is owner])
            owner.drop_log.record("exit", count, why or "not answered in time")
        self.log_drops()
        self._outage_log.log_spooled(total + spooled)

    def log_drops(self) -> None:
        """Log the drops that callers caused: no room, or too late."""
        if not self.budget.has_unlogged_drops:
            return
        self.budget.has_unlogged_drops = False
        for owner in self._owners:
            for reason, count in owner.accounting.pop_unlogged_drops().items():
                owner.drop_log.record(reason, count)

    def _finish(self, pending: PendingReport, ending: str, *, is_logged: bool = False) -> None:
        """
        End the life of a report. Only here is it counted, its loss logged, the spool told.

        Args:
            pending: The report.
            ending: `DELIVERED`, `FILTERED`, `REJECTED`, or the reason of its loss.
            is_logged: Whether the log has its loss already.
        """
        spool, place = self.spool, pending.place
        accounting, drop_log = pending.owner.accounting, pending.owner.drop_log
        if ending == DELIVERED:
            if spool is not None and place is not None:
                spool.remove(place)
            accounting.delivered(pending.epoch, pending.size)
        elif ending == FILTERED:
            accounting.filtered(pending.epoch, pending.size)
        elif ending == REJECTED:
            if spool is not None and place is not None:
                spool.dead_letter(place, pending.reason)
            drop_log.record(REJECTED, 1, pending.reason)
            accounting.rejected(pending.epoch, pending.size)
        elif spool is not None and place is not None:  # the next process delivers it
            if ending == "gave up":
                spool.dead_letter(place, f"gave up: {pending.reason}")
                drop_log.record("gave up, a dead letter in the spool", 1, pending.reason)
            accounting.spooled(pending.epoch, pending.size)
        else:
            if not is_logged:
                drop_log.record(ending, 1, pending.reason)
            accounting.dropped(pending.epoch, pending.size, ending)


def _last_error(reports: list[PendingReport]) -> str:
    return next((pending.reason for pending in reports if pending.reason), "")
