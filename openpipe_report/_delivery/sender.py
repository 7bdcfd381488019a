"""
Delivery: brings one report a step further - built, tried, settled or put back for later.

Nobody waits here. Three things say that a report may not be tried yet: its own backoff; a
`Retry-After`, which stops all sends to that host; and an outage, in which only one at a time is.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from openpipe_report._delivery.concurrency import Concurrency
from openpipe_report._delivery.drop_log import Losses
from openpipe_report._delivery.response import Delivered, Failed, Rejected
from openpipe_report._delivery.retry import LONGEST_BACKOFF, Backoff, Outage
from openpipe_report._delivery.transport import CannotConnectError, Transport
from openpipe_report._log import note_fault
from openpipe_report._report.exchange import encode_report

if TYPE_CHECKING:
    from openpipe_report._delivery.accounting import Ledger
    from openpipe_report._delivery.concurrency import Turn
    from openpipe_report._delivery.queue import New, Outbox, Queued
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


class Delivery:
    """Delivers reports of one reporter to one server; shared by its threads."""

    def __init__(self, settings: Settings, ledger: Ledger, outbox: Outbox) -> None:
        self._settings = settings
        self._ledger = ledger
        self._outbox = outbox
        host = urlsplit(settings.report_url).netloc
        self._host = host
        self._losses = Losses(host, settings.on_drop)
        self._transport: Transport | None = None
        self._backoff = Backoff(settings.retry_for)
        self._outage = Outage(settings.senders, self._backoff)
        self._sending: set[Queued] = set()
        self.concurrency = Concurrency(settings.senders)
        self._is_hurrying = False
        self.spool: Spool[New, Queued] | None = None

    @property
    def paused_until(self) -> float:
        """The monotonic time before which the host asked not to be called."""
        return _host_paused_until.get(self._host, 0.0)

    def hold(self) -> float:
        """Return the monotonic time before which nothing is to be tried."""
        return max(self.paused_until, self._outage.next_look)

    def advance(self, queued: Queued, within: float | None = None) -> None:
        """
        Build a report if need be, then try to send it.

        Args:
            queued: The report.
            within: Seconds that are left, at exit.
        """
        with self.concurrency.turn() as turn:
            if self._settings.before_report is not None:  # it takes as long as it likes
                turn.pass_on()
            if queued.source is None or self.build(queued):
                self._attempt(queued, within, turn)

    def _attempt(self, queued: Queued, within: float | None, turn: Turn) -> None:
        now = time.monotonic()
        if now < self.hold():
            self._hold_back(queued, now)
            return
        self._outage.look(now)
        if not queued.attempts:
            queued.begun = now
        queued.attempts += 1
        self._sending.add(queued)
        computed = time.thread_time()
        try:
            outcome = self._try(queued, within, turn)
            self.concurrency.note(time.monotonic() - now, time.thread_time() - computed)
            self._settle(queued, outcome)
        finally:
            self._sending.discard(queued)

    def _hold_back(self, queued: Queued, now: float) -> None:
        """Put back what may not be tried; if it never was, it waits as long as it takes."""
        paused_until = self.paused_until
        if now < paused_until:
            queued.reason = queued.reason or "the server asked to wait (Retry-After)"
            waited = paused_until - queued.begun if queued.attempts else 0.0
            self._put_back(queued, paused_until, waited)
        else:
            queued.reason = queued.reason or self._outage.reason
            queued.answered = False
            # What was never tried looks first: what was may be what no answer comes to.
            self._put_back(queued, now if queued.attempts else 0.0, 0.0)

    def build(self, queued: Queued) -> bool:
        """Turn the source into JSON; False if there is nothing to send after all."""
        source, queued.source = queued.source, None
        try:
            assert source is not None  # noqa: S101 - built once
            body = encode_report(source, self._settings)
        except BaseException:  # noqa: BLE001 - whatever a hook or a source does
            note_fault("building a report")
            body = "could not be built"
        if not body:
            self._ledger.left_out(queued.mark, queued.size)
        elif isinstance(body, str):
            self._lose(queued, body)
        else:
            self._ledger.resize(len(body) - queued.size)
            queued.body, queued.key, queued.size = body, str(uuid4()), len(body)
            return True
        return False

    def _try(self, queued: Queued, within: float | None, turn: Turn) -> Outcome:
        try:
            return self._connections().send(queued.body, queued.key, within, turn.pass_on)
        except CannotConnectError as error:
            return Failed(str(error), answered=False)
        except BaseException as error:  # noqa: BLE001 - whatever it was, it may work later
            note_fault("sending a report")
            return Failed(type(error).__name__, answered=False)

    def _connections(self) -> Transport:
        if self._transport is None:
            with _connecting:
                if self._transport is None:
                    self._transport = Transport(self._settings)
        return self._transport

    def _settle(self, queued: Queued, outcome: Outcome) -> None:
        now = time.monotonic()
        if isinstance(outcome, Failed) and not outcome.answered:
            self._outage.unanswered(
                now, outcome.reason, is_first=queued.attempts == 1 or self._is_hurrying
            )
            if self._outage.is_on:
                self._outbox.wake(1)  # for the next look
        elif self._outage.end():
            self._outbox.make_due(unanswered_only=True)
            self._outbox.wake(self._settings.senders)
        if isinstance(outcome, Delivered):
            if queued.stored and self.spool is not None:
                self.spool.remove(queued.key)
            self._ledger.delivered(queued.mark, queued.size)
            return
        queued.reason = outcome.reason
        if isinstance(outcome, Rejected):
            if queued.stored and self.spool is not None:
                self.spool.bury(queued.key, outcome.reason)
            self._losses.tell("rejected", 1, outcome.reason)
            self._ledger.rejected(queued.mark, queued.size)
            return
        asked = outcome.retry_after or 0.0
        if asked:
            until = now + min(asked, LONGEST_PAUSE)
            _host_paused_until[self._host] = max(self.paused_until, until)
        queued.answered = outcome.answered
        since_first = now - queued.begun
        wait = self._backoff.next_wait(queued.attempts, since_first, asked)
        if wait is None and queued.stored:  # it is safe, and may wait
            if not outcome.answered:
                wait = LONGEST_BACKOFF
            elif asked and since_first < self._settings.retry_for:
                wait = min(asked, LONGEST_PAUSE)
        if wait is None:
            self._lose(queued, "gave up")
            return
        self._put_back(queued, now + wait, 0.0)

    def _put_back(self, queued: Queued, due: float, since_first: float) -> None:
        if self._outbox.closed:
            self._lose(queued, "shutdown")
        elif since_first > self._settings.retry_for and not queued.stored:
            self._lose(queued, "gave up")
        elif self._ledger.overfull:
            self._lose(queued, "queue full")
        else:
            self._outbox.put_back(queued, due)

    def hurry(self) -> None:
        """At exit: let all that waits be tried once more, unless the host asked for a pause."""
        self._is_hurrying = True
        self._outage.end()
        self._outbox.make_due(unanswered_only=False)
        self._outbox.wake(self._settings.senders)

    def abandon(self, reason: str) -> None:
        """Count as lost all that waits; what is being sent right now is not touched."""
        queue = self._outbox.clear()
        lost = [queued for queued in queue if not self._leave_in_spool(queued, reason)]
        self._losses.tell(reason, len(lost), self._why(lost))
        for queued in lost:
            self._ledger.dropped(queued.mark, queued.size, reason)
        self.tell_losses()

    def write_off(self, spooled: int) -> None:
        """At the end of the process: count as lost all that has no end yet, and say so once."""
        queue = self._outbox.clear()
        # What the file could not be asked for in time is in it all the same.
        stored = sum(queued.stored for queued in (*queue, *list(self._sending)))
        count = self._ledger.write_off("exit", max(spooled, stored))
        self._losses.tell("exit", count, self._why(queue) or "not answered in time")
        self.tell_losses()

    @staticmethod
    def _why(queue: list[Queued]) -> str:
        return next((queued.reason for queued in queue if queued.reason), "")

    def tell_losses(self) -> None:
        """Tell of what callers found no room for, or sent too late."""
        for reason, count in self._ledger.take_untold().items():
            self._losses.tell(reason, count)

    def _leave_in_spool(self, queued: Queued, reason: str) -> bool:
        """Keep in the spool what would be lost otherwise; False if it is not there."""
        if not queued.stored or self.spool is None:
            return False
        if reason == "gave up":
            self.spool.bury(queued.key, f"gave up: {queued.reason}")
            self._losses.tell("gave up, a dead letter in the spool", 1, queued.reason)
        else:
            self.spool.release(queued.key)
        self._ledger.spooled(queued.mark, queued.size)
        return True

    def _lose(self, queued: Queued, reason: str) -> None:
        if self._leave_in_spool(queued, reason):
            return
        self._losses.tell(reason, 1, queued.reason)
        self._ledger.dropped(queued.mark, queued.size, reason)

    def close(self) -> None:
        """Close the connections; a later report opens new ones."""
        if self._transport is not None:
            self._transport.close()
