"""
Builds a report, makes one attempt to send it, and records the outcome or schedules a retry.

Nobody waits here. Three things say that a report may not be tried yet: its own backoff; a
`Retry-After`, which stops all sends to that host; and an outage, in which only one at a time is.
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
from openpipe_report._delivery.drop_log import DropLog
from openpipe_report._delivery.response import Delivered, Rejected, Retryable
from openpipe_report._delivery.retry import LONGEST_BACKOFF, Backoff, CircuitBreaker
from openpipe_report._delivery.transport import Transport
from openpipe_report._log import log_internal_error, log_once
from openpipe_report._report.encode import encode_report

if TYPE_CHECKING:
    from openpipe_report._delivery.accounting import Accounting
    from openpipe_report._delivery.concurrency import Slot
    from openpipe_report._delivery.queue import NewReport, PendingReport, ReportQueue
    from openpipe_report._delivery.response import Outcome
    from openpipe_report._settings import Settings
    from openpipe_report._spool.client import Spool

LONGEST_PAUSE = 3600.0
"""Seconds that a `Retry-After` is honoured at the most: a mistaken one must not end reporting."""

_host_paused_until: dict[str, float] = {}
"""By host: the monotonic time before which it asked (`Retry-After`) not to be called."""

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
    """Delivers reports of one reporter to one server; shared by its threads."""

    def __init__(self, settings: Settings, accounting: Accounting, queue: ReportQueue) -> None:
        self._settings = settings
        self._accounting = accounting
        self._queue = queue
        host = urlsplit(settings.report_url).netloc
        self._host = host
        self._drop_log = DropLog(host, settings.on_drop)
        self.transport: Transport | None = None
        self._backoff = Backoff(settings.retry_for)
        self._breaker = CircuitBreaker(settings.senders, self._backoff)
        self._sending: set[PendingReport] = set()
        self.concurrency = ConcurrencyLimiter(settings.senders)
        self._is_exiting = False
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
            if self._settings.before_report is not None:  # it takes as long as it likes
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
            pending.got_response = False
            # Probe with a report never sent before: one that failed may be the cause.
            self._schedule(pending, now if pending.attempts else 0.0, 0.0)

    def build(self, pending: PendingReport) -> bool:
        """Build the report's JSON; False if the report is filtered out or dropped."""
        source, pending.source = pending.source, None
        try:
            assert source is not None  # noqa: S101 - built once
            body = encode_report(source, self._settings)
        except BaseException:  # noqa: BLE001 - whatever a hook or a source does
            log_internal_error("building a report")
            body = "could not be built"
        if not body:
            self._accounting.filtered(pending.epoch, pending.size)
        elif isinstance(body, str):
            self._drop(pending, body)
        else:
            self._accounting.charge(len(body) - pending.size)
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
        """Log once where reports go, louder where nobody has named the place."""
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
        if isinstance(outcome, Retryable) and not outcome.got_response:
            self._breaker.record_failure(
                now, outcome.reason, is_first=pending.attempts == 1 or self._is_exiting
            )
            if self._breaker.is_open:
                self._queue.wake(1)  # for the next look
        elif self._breaker.record_success():
            self._queue.expire_delays(unanswered_only=True)
            self._queue.wake(self._settings.senders)
        if isinstance(outcome, Delivered):
            if pending.stored and self.spool is not None:
                self.spool.remove(pending.key)
            self._accounting.delivered(pending.epoch, pending.size)
            return
        pending.reason = outcome.reason
        if isinstance(outcome, Rejected):
            if pending.stored and self.spool is not None:
                self.spool.dead_letter(pending.key, outcome.reason)
            self._drop_log.record("rejected", 1, outcome.reason)
            self._accounting.rejected(pending.epoch, pending.size)
            return
        asked = outcome.retry_after or 0.0
        if asked:
            until = now + min(asked, LONGEST_PAUSE)
            _host_paused_until[self._host] = max(self.paused_until, until)
        pending.got_response = outcome.got_response
        since_first = now - pending.begun
        wait = self._backoff.next_wait(pending.attempts, since_first, asked)
        if wait is None and pending.stored:  # the file has it, so it may wait
            if not outcome.got_response:
                wait = LONGEST_BACKOFF
            elif asked and since_first < self._settings.retry_for:
                wait = min(asked, LONGEST_PAUSE)
        if wait is None:
            self._drop(pending, "gave up")
            return
        self._schedule(pending, now + wait, 0.0)

    def _schedule(self, pending: PendingReport, due: float, since_first: float) -> None:
        if self._queue.closed:
            self._drop(pending, "shutdown")
        elif since_first > self._settings.retry_for and not pending.stored:
            self._drop(pending, "gave up")
        elif self._accounting.over_limit:
            self._drop(pending, "queue full")
        else:
            self._queue.schedule(pending, due)

    def expire_delays(self) -> None:
        """At exit: let all that waits be tried once more, unless the host asked for a pause."""
        self._is_exiting = True
        self._breaker.record_success()
        self._queue.expire_delays(unanswered_only=False)
        self._queue.wake(self._settings.senders)

    def drop_pending(self, reason: str) -> None:
        """Count as lost all that waits; what is being sent right now is not touched."""
        queue = self._queue.clear()
        lost = [pending for pending in queue if not self._keep_in_spool(pending, reason)]
        self._drop_log.record(reason, len(lost), self._why(lost))
        for pending in lost:
            self._accounting.dropped(pending.epoch, pending.size, reason)
        self.log_drops()

    def drop_remaining(self, spooled: int) -> None:
        """At the end of the process: count as lost all that has no end yet, and say so once."""
        queue = self._queue.clear()
        # If the spool did not answer in time, its reports are in the file all the same.
        stored = sum(pending.stored for pending in (*queue, *list(self._sending)))
        count = self._accounting.drop_remaining("exit", max(spooled, stored))
        self._drop_log.record("exit", count, self._why(queue) or "not answered in time")
        self.log_drops()

    @staticmethod
    def _why(queue: list[PendingReport]) -> str:
        return next((pending.reason for pending in queue if pending.reason), "")

    def log_drops(self) -> None:
        """Tell of what callers found no room for, or sent too late."""
        for reason, count in self._accounting.pop_unlogged_drops().items():
            self._drop_log.record(reason, count)

    def _keep_in_spool(self, pending: PendingReport, reason: str) -> bool:
        """Leave a report in the spool instead of dropping it; False if it is not stored there."""
        if not pending.stored or self.spool is None:
            return False
        if reason == "gave up":
            self.spool.dead_letter(pending.key, f"gave up: {pending.reason}")
            self._drop_log.record("gave up, a dead letter in the spool", 1, pending.reason)
        else:
            self.spool.release(pending.key)
        self._accounting.spooled(pending.epoch, pending.size)
        return True

    def _drop(self, pending: PendingReport, reason: str) -> None:
        if self._keep_in_spool(pending, reason):
            return
        self._drop_log.record(reason, 1, pending.reason)
        self._accounting.dropped(pending.epoch, pending.size, reason)

    def close_mine(self) -> None:
        """Close the connection of this thread, which ends."""
        if self.transport is not None:
            self.transport.close_mine()

    def close(self) -> None:
        """Close the connections; a later report opens new ones."""
        if self.transport is not None:
            self.transport.close()
