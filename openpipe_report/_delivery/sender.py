"""
Builds a report, makes one attempt to send it, and records the outcome or schedules a retry.

No thread waits here. Three rules say that a report may not be sent yet: its own backoff, a
`Retry-After`, which stops all attempts to that host, and the circuit breaker.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from openpipe_report._delivery.concurrency import ConcurrencyLimiter
from openpipe_report._delivery.connection import CannotConnectError
from openpipe_report._delivery.response import Delivered, Rejected, Retryable
from openpipe_report._delivery.retry import LONGEST_BACKOFF, Backoff, CircuitBreaker, OutageLog
from openpipe_report._delivery.transport import Transport
from openpipe_report._log import log_internal_error, log_once
from openpipe_report._report.encode import encode_report

if TYPE_CHECKING:
    from collections.abc import Collection

    from openpipe_report._delivery.accounting import Budget
    from openpipe_report._delivery.concurrency import Slot
    from openpipe_report._delivery.queue import NewReport, PendingReport, ReportOwner, ReportQueue
    from openpipe_report._delivery.response import Outcome
    from openpipe_report._settings import Settings
    from openpipe_report._spool.client import Spool

LONGEST_PAUSE = 3600.0
"""Seconds that a `Retry-After` is honoured at the most: a mistaken one must not end reporting."""

_host_paused_until: dict[str, float] = {}
"""By host: the monotonic time before which it asked (`Retry-After`) not to be called."""

DELIVERED, FILTERED, REJECTED = "delivered", "filtered", "rejected"
"""Endings of a report's life; any other text is the reason of its loss."""

_connecting = threading.RLock()
"""
Held while connections are set up, which makes httpx import the rest of itself; no fork happens
meanwhile. A child that is forked in the midst of an import by another thread would wait for ever
to import the same (tried, 3.10 to 3.13).
"""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_connecting.acquire,
        after_in_parent=_connecting.release,
        after_in_child=_connecting.release,
    )


class Sender:
    """Delivers the reports of one channel; shared by its threads."""

    def __init__(
        self,
        settings: Settings,
        budget: Budget,
        queue: ReportQueue,
        owners: Collection[ReportOwner],
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._queue = queue
        self._owners = owners
        host = urlsplit(settings.report_url).netloc
        self._host = host
        self.transport: Transport | None = None
        self._backoff = Backoff(settings.retry_for)
        self._breaker = CircuitBreaker(settings.senders, self._backoff)
        self._outage_log = OutageLog(host, settings.retry_for)
        self._sending: set[PendingReport] = set()
        self.concurrency = ConcurrencyLimiter(settings.senders)
        self.spool: Spool[NewReport, PendingReport] | None = None

    @property
    def paused_until(self) -> float:
        """The monotonic time before which the host asked not to be called."""
        return _host_paused_until.get(self._host, 0.0)

    def not_before(self) -> float:
        """Return the monotonic time before which nothing is to be tried."""
        return max(self.paused_until, self._breaker.next_probe)

    def process(self, pending: PendingReport, within: float | None = None) -> None:
        """
        Build a report if need be, then try to send it.

        Args:
            pending: The report.
            within: Seconds that are left, at exit.
        """
        with self.concurrency.slot() as slot:
            if pending.owner.settings.before_report is not None:  # it takes as long as it likes
                slot.release()
            if pending.source is None or self.build(pending):
                self._attempt(pending, within, slot)

    def _attempt(self, pending: PendingReport, within: float | None, slot: Slot) -> None:
        now = time.monotonic()
        if now < self.not_before():
            self._reschedule(pending, now)
            return
        self._breaker.begin_probe(now)
        if not pending.attempts:
            pending.begun = now
        pending.attempts += 1
        self._sending.add(pending)
        computed = time.thread_time()
        try:
            outcome = self._try(pending, within, slot)
            self.concurrency.record(time.monotonic() - now, time.thread_time() - computed)
            self._handle_outcome(pending, outcome)
        finally:
            self._sending.discard(pending)

    def _reschedule(self, pending: PendingReport, now: float) -> None:
        """Reschedule a report that may not be sent yet. `retry_for` starts with its first try."""
        paused_until = self.paused_until
        if now < paused_until:
            pending.reason = pending.reason or "the server asked to wait (Retry-After)"
            waited = paused_until - pending.begun if pending.attempts else 0.0
            self._schedule(pending, paused_until, waited)
        else:
            pending.reason = pending.reason or self._breaker.reason
            # Probe with a report never sent before: one that failed may be the cause.
            self._schedule(pending, now if pending.attempts else 0.0, 0.0)

    def build(self, pending: PendingReport) -> bool:
        """Build the report's JSON; False if the report is filtered out or dropped."""
        source, pending.source = pending.source, None
        try:
            assert source is not None  # noqa: S101 - built once
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
            pending.body, pending.key, pending.size = body, str(uuid4()), len(body)
            return True
        return False

    def _try(self, pending: PendingReport, within: float | None, slot: Slot) -> Outcome:
        try:
            return self._connections().send(pending.body, pending.key, within, slot.release)
        except CannotConnectError as error:
            return Retryable(str(error), got_response=False)
        except BaseException as error:  # noqa: BLE001 - whatever it was, it may work later
            log_internal_error("sending a report")
            return Retryable(type(error).__name__, got_response=False)

    def _connections(self) -> Transport:
        if self.transport is None:
            with _connecting:
                if self.transport is None:
                    self.transport = Transport(self._settings)
                    self._log_destination()
        return self.transport

    def _log_destination(self) -> None:
        """Log the destination once, as a WARNING if it is the hosted default."""
        is_hosted = self._settings.base_url is None
        log_once(
            f"destination {self._host}",
            "reporting to %s%s",
            self._host,
            ", OpenPipe's hosted API: OPENPIPE_BASE_URL is not set" if is_hosted else "",
            level=logging.WARNING if is_hosted else logging.INFO,
        )

    def _handle_outcome(self, pending: PendingReport, outcome: Outcome) -> None:
        now = time.monotonic()
        self._note_state_of_server(pending, outcome, now)
        if isinstance(outcome, Delivered):
            self._finish(pending, DELIVERED)
            return
        pending.reason = outcome.reason
        if isinstance(outcome, Rejected):
            self._finish(pending, REJECTED)
            return
        wait = self._wait_after(pending, outcome, now)
        if wait is None:
            self._finish(pending, "gave up")
        else:
            self._schedule(pending, now + wait, 0.0)

    def _note_state_of_server(self, pending: PendingReport, outcome: Outcome, now: float) -> None:
        """Record the outcome in the breaker, the log and the host's pause."""
        if not isinstance(outcome, Retryable):
            self._outage_log.record_success()
            if self._breaker.record_success():
                self._queue.expire_delays()
                self._queue.wake(self._settings.senders)
            return
        self._outage_log.record_failure(now, outcome.reason, self._budget.pending)
        if outcome.retry_after:
            until = now + min(outcome.retry_after, LONGEST_PAUSE)
            _host_paused_until[self._host] = max(self.paused_until, until)
        else:
            self._breaker.record_failure(pending.key, now, outcome.reason)
            if self._breaker.is_open:
                self._queue.wake(1)  # for the next probe

    def _wait_after(self, pending: PendingReport, outcome: Retryable, now: float) -> float | None:
        """Return the seconds until the next attempt; None to give up."""
        asked = outcome.retry_after or 0.0
        since_first = now - pending.begun
        wait = self._backoff.next_wait(pending.attempts, since_first, asked)
        if wait is None and pending.stored:  # the file has it, so it may wait
            if not outcome.got_response or self._breaker.is_open:
                return LONGEST_BACKOFF
            if asked and since_first < self._settings.retry_for:
                return min(asked, LONGEST_PAUSE)
        return wait

    def _schedule(self, pending: PendingReport, due: float, since_first: float) -> None:
        if self._queue.closed:
            self._finish(pending, "shutdown")
        elif since_first > self._settings.retry_for and not pending.stored:
            self._finish(pending, "gave up")
        elif self._budget.over_limit:
            self._finish(pending, "queue full")
        else:
            self._queue.schedule(pending, due)

    def expire_delays(self) -> None:
        """At exit: make every retry due now, unless the host asked for a pause."""
        self._breaker.record_success()
        self._queue.expire_delays()
        self._queue.wake(self._settings.senders)

    def drop_pending(self, reason: str, owner: ReportOwner | None) -> None:
        """
        Finish every waiting report as lost; reports that are being sent are not touched.

        Args:
            reason: Why they are lost.
            owner: Whose reports; None for those of all owners.
        """
        by_owner: dict[ReportOwner, list[PendingReport]] = {}
        for pending in self._queue.clear(owner):
            by_owner.setdefault(pending.owner, []).append(pending)
        for each, waiting in by_owner.items():
            lost = [pending for pending in waiting if not pending.stored]
            each.drop_log.record(reason, len(lost), self._why(lost))
            for pending in waiting:
                self._finish(pending, reason, is_logged=True)
        self.log_drops()

    def drop_remaining(self, spooled: int) -> None:
        """At the end of the process: count every unfinished report as lost, and log that once."""
        waiting = self._queue.clear()
        unfinished = [*waiting, *list(self._sending)]
        for owner in list(self._owners):
            # If the spool did not answer in time, its reports are in the file all the same.
            stored = sum(each.stored for each in unfinished if each.owner is owner)
            stored = max(stored, min(spooled, owner.accounting.pending))
            spooled -= min(spooled, stored)
            count = owner.accounting.drop_remaining("exit", stored)
            why = self._why([each for each in waiting if each.owner is owner])
            owner.drop_log.record("exit", count, why or "not answered in time")
        self.log_drops()

    @staticmethod
    def _why(reports: list[PendingReport]) -> str:
        return next((pending.reason for pending in reports if pending.reason), "")

    def log_drops(self) -> None:
        """Log the drops that callers caused: no room, or too late."""
        for owner in list(self._owners):
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
        spool = self.spool if pending.stored else None
        accounting, drop_log = pending.owner.accounting, pending.owner.drop_log
        if ending == DELIVERED:
            if spool is not None:
                spool.remove(pending.key)
            accounting.delivered(pending.epoch, pending.size)
        elif ending == FILTERED:
            accounting.filtered(pending.epoch, pending.size)
        elif ending == REJECTED:
            if spool is not None:
                spool.dead_letter(pending.key, pending.reason)
            drop_log.record(REJECTED, 1, pending.reason)
            accounting.rejected(pending.epoch, pending.size)
        elif spool is not None:
            if ending == "gave up":
                spool.dead_letter(pending.key, f"gave up: {pending.reason}")
                drop_log.record("gave up, a dead letter in the spool", 1, pending.reason)
            else:
                spool.release(pending.key)
            accounting.spooled(pending.epoch, pending.size)
        else:
            if not is_logged:
                drop_log.record(ending, 1, pending.reason)
            accounting.dropped(pending.epoch, pending.size, ending)

    def close_mine(self) -> None:
        """Close the connection of this thread, which ends."""
        if self.transport is not None:
            self.transport.close_mine()

    def close(self) -> None:
        """Close the connections; a later report opens new ones."""
        if self.transport is not None:
            self.transport.close()
