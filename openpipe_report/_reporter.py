"""
Reporter: takes what is to be reported, and delivers it in the background.

What it guarantees: `submit()` never waits, never raises, and takes no lock that a finalizer could
deadlock on (the ledger's is re-entrant, the queue a SimpleQueue). No thread waits out a backoff:
a report between attempts lies in a heap by due time, and new reports take turns with due ones.
What it gives up: the order of delivery.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from openpipe_report import _lifecycle
from openpipe_report._errors import SettingsError
from openpipe_report._guard import note_fault
from openpipe_report._ledger import Flushed, Ledger, Stats
from openpipe_report._outbox import Outbox, Queued, Source
from openpipe_report._payload import encode_report
from openpipe_report._settings import Settings, load_settings
from openpipe_report._transport import Backoff, Delivered, Failed, Rejected, Transport, host_of

if TYPE_CHECKING:
    from openpipe_report._capture import Call
    from openpipe_report._transport import Outcome

_IDLE = 10.0
"""Seconds after which a thread beyond the first ends for want of work."""

_host_paused_until: dict[str, float] = {}
"""By host: the monotonic time before which it asked (`Retry-After`) not to be called."""


class Reporter:
    """
    Delivers reports to one server, for as many clients as share it.

        reporter = Reporter(base_url="http://127.0.0.1:8417/api/v1")
        client = OpenAI(reporter=reporter)

    It starts no thread before its first report; its threads are daemons. Safe to share between
    threads. A forked child begins with an empty queue and threads of its own; the parent keeps
    what it had. At exit what is pending gets `exit_timeout` seconds.

    Args:
        settings: Any field of `Settings` by name; what is not given comes from the environment.

    Raises:
        SettingsError: A setting is wrong, or there is neither an API key nor a base URL.
    """

    def __init__(self, **settings: Any) -> None:
        loaded = load_settings(os.environ, settings)
        if loaded.api_key is None and loaded.base_url is None:
            raise SettingsError(
                "a Reporter needs base_url (or OPENPIPE_BASE_URL), "
                "or api_key (or OPENPIPE_API_KEY) for OpenPipe's hosted API"
            )
        self._begin(loaded)

    @classmethod
    def from_settings(cls, settings: Settings) -> Reporter:
        """Make a reporter of settings that were loaded already."""
        reporter = cls.__new__(cls)
        reporter._begin(settings)  # noqa: SLF001 - its own
        return reporter

    def _begin(self, settings: Settings) -> None:
        self.settings = settings
        self._host = host_of(settings.report_url)
        self._inherited: list[object] = []
        self._transport: Transport | None = None
        self.reset()
        _lifecycle.register(self)

    def reset(self) -> None:
        """Begin anew, as in a forked child: nothing queued, no thread, no connection."""
        # The parent's connections are kept, unused: closing them could be felt at their other end.
        self._inherited.append(self._transport)
        self.pid = os.getpid()
        self.open_calls: dict[int, Call] = {}
        self.ledger = Ledger(self.settings.max_queue_reports, self.settings.max_queue_bytes)
        self._outbox = Outbox()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._unreachable = 0
        self._closed = False
        self._transport = None
        self._transport_lock = threading.Lock()
        self._backoff = Backoff(self.settings.retry_for)

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    def __repr__(self) -> str:
        return f"<Reporter to {self.settings.report_url}>"

    def __deepcopy__(self, memo: object) -> Reporter:
        return self

    # What the caller's thread does; a finalizer may, too.

    def submit(self, source: Source) -> None:
        """Queue what is to be reported; when the queue is full, drop and count it."""
        if self._closed:
            self.ledger.refuse("shutdown")
            return
        size = source.size
        mark = self.ledger.admit(size)
        if mark is None:
            return
        self._outbox.put(Queued(source, size, mark))
        if not self._threads:
            self._start_thread()
        _lifecycle.after_submit(self)

    def _start_thread(self) -> None:
        """Start a thread if there may be another; while the interpreter exits there may not."""
        thread = threading.Thread(target=self._work, name="openpipe-report", daemon=True)
        self._threads.add(thread)
        _lifecycle.hook_exit()
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)

    # What the sending threads do.

    def _work(self) -> None:
        me = threading.current_thread()
        turn = False
        while True:
            try:
                turn = not turn
                idle = _IDLE if len(self._threads) > 1 else None
                queued = self._outbox.take(waiting_first=turn, idle=idle)
                self._announce()
                if queued is None:
                    if self._may_end(me):
                        return
                    continue
                if self._outbox.backlog and len(self._threads) < self.settings.senders:
                    self._start_thread()
                self._advance(queued)
            except Exception:  # noqa: BLE001 - a thread that dies delivers nothing
                note_fault("a sending thread")

    def _may_end(self, me: threading.Thread) -> bool:
        with self._lock:
            if self._closed or (not self.ledger.pending and len(self._threads) > 1):
                self._threads.discard(me)
                return True
            return False

    def _advance(self, queued: Queued, within: float | None = None) -> None:
        """Bring a report one step further: build it if need be, then try to send it."""
        if queued.source is not None and not self._prepare(queued, queued.source):
            return
        now = time.monotonic()
        paused_until = _host_paused_until.get(self._host, 0.0)
        if now < paused_until:
            self._outbox.put_back(queued, paused_until)
            return
        if not queued.attempts:
            queued.first_attempt = now
        queued.attempts += 1
        self._settle(queued, self._send(queued, within))

    def _prepare(self, queued: Queued, source: Source) -> bool:
        """Turn the source into JSON; False if there is nothing to send after all."""
        queued.source = None
        body = encode_report(source, self.settings)
        if not body:
            self.ledger.left_out(queued.mark, queued.size)
            return False
        if isinstance(body, str):
            self.ledger.dropped(queued.mark, queued.size, body)
            return False
        self.ledger.reserve(len(body) - queued.size)
        queued.body, queued.key, queued.size = body, str(uuid4()), len(body)
        return True

    def _send(self, queued: Queued, within: float | None) -> Outcome:
        try:
            with self._transport_lock:
                if self._transport is None:
                    self._transport = Transport(self.settings)
                transport = self._transport
            return transport.send(queued.body, queued.key, within)
        except Exception as error:  # noqa: BLE001 - whatever it was, it may work later
            note_fault("sending a report")
            return Failed(type(error).__name__, answered=False)

    def _settle(self, queued: Queued, outcome: Outcome) -> None:
        if isinstance(outcome, Delivered):
            self.ledger.delivered(queued.mark, queued.size)
            self._hurry()
            return
        if isinstance(outcome, Rejected):
            self.ledger.rejected(queued.mark, queued.size, outcome.reason)
            return
        self.ledger.last_failure = outcome.reason
        queued.answered = outcome.answered
        if not outcome.answered:
            self._unreachable += 1
        now = time.monotonic()
        if outcome.retry_after is not None:
            paused_until = _host_paused_until.get(self._host, 0.0)
            _host_paused_until[self._host] = max(paused_until, now + outcome.retry_after)
        wait = self._backoff.next_wait(
            queued.attempts, now - queued.first_attempt, outcome.retry_after or 0.0
        )
        if self._closed or wait is None:
            reason = "shutdown" if self._closed else "gave up"
            self.ledger.dropped(queued.mark, queued.size, reason)
        else:
            self._outbox.put_back(queued, now + wait)

    def _hurry(self) -> None:
        """After an outage, make due at once what waits because the server was out of reach."""
        outage, self._unreachable = self._unreachable > len(self._threads), 0
        if outage:
            self._outbox.make_due(unanswered_only=True)
            self._outbox.wake(len(self._threads))

    def _announce(self) -> None:
        self.ledger.announce(self._host, self.settings.on_drop)

    # What a user asks for.

    def flush(self, timeout: float | None = 30.0) -> Flushed:
        """
        Wait until what was queued before is delivered.

        Streams that this thread (or task) opened and left open, and those whose thread or task
        has ended, are reported as they stand; one that another is still reading is not touched.

        Args:
            timeout: Seconds to wait at the most; None for as long as it takes.

        Returns:
            True if all of it was delivered, else how many are pending or lost, and why.
        """
        self.sweep()
        if threading.current_thread() in self._threads:
            timeout = 0.0
        flushed = self.ledger.wait(timeout)
        if not self._threads:
            self._announce()
        return flushed

    def sweep(self, *, at_exit: bool = False) -> None:
        """Report streams that nobody can be reading, see `flush()`; at exit all of them."""
        for call in list(self.open_calls.values()):
            if at_exit or call.is_left():
                call.end("stream still open at exit" if at_exit else "stream still open at flush")

    def shutdown(self, timeout: float | None = 30.0) -> Flushed:
        """
        Flush, then stop for good: later reports are dropped and counted.

        Args:
            timeout: Seconds to wait at the most; None for as long as it takes.

        Returns:
            As `flush()`. What is still pending after it is dropped.
        """
        flushed = self.flush(timeout)
        self._closed = True
        _lifecycle.forget(self)
        self.abandon("shutdown")
        self._outbox.wake(len(self._threads))
        with self._transport_lock:
            if self._transport is not None:
                self._transport.close()
        return flushed

    def abandon(self, reason: str) -> None:
        """Drop and count all that waits; what is being sent right now is not touched."""
        for queued in self._outbox.clear():
            self.ledger.dropped(queued.mark, queued.size, reason)
        self._announce()

    def drain(self, deadline: float) -> None:
        """
        Deliver what is pending until `deadline` (monotonic), on this thread and the others.

        What waits for another attempt gets one last one, unless the host asked for a pause.
        """
        self._outbox.make_due(unanswered_only=False)
        tried: set[Queued] = set()
        while (left := deadline - time.monotonic()) > 0:
            next_one = self._outbox.take(waiting_first=True, block=False)
            if next_one is None:
                if self.ledger.pending <= self._outbox.waiting:
                    return
                self.ledger.wait(min(left, 0.02))
            elif next_one in tried:
                self._outbox.put_back(next_one, float("inf"))
            else:
                tried.add(next_one)
                self._advance(next_one, within=left)

    def stats(self) -> Stats:
        """Count what became of the reports so far."""
        return self.ledger.stats(open_streams=len(self.open_calls), threads=len(self._threads))
