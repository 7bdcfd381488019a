"""
Reporter: takes what is to be reported, and delivers it in the background.

What it guarantees: `submit()` never waits, never raises, and takes no lock that a finalizer could
deadlock on (the ledger's is re-entrant, the queue a SimpleQueue). No thread waits out a backoff:
a report between attempts lies in a heap by due time, and new reports take turns with due ones.
What it gives up: the order of delivery.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openpipe_report import _lifecycle
from openpipe_report._delivery import Delivery
from openpipe_report._errors import SettingsError
from openpipe_report._guard import guarded, logger, note_fault
from openpipe_report._ledger import Flushed, Ledger, Stats
from openpipe_report._outbox import Outbox, Queued
from openpipe_report._settings import Settings, load_settings
from openpipe_report._wire import Report, parse_json

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from openpipe_report._capture import Call
    from openpipe_report._outbox import New, Source
    from openpipe_report._spool import Spool
    from openpipe_report._spool_rows import Stored
    from openpipe_report._wire import ReportFields

_IDLE = 10.0
"""Seconds after which a thread ends for want of work."""

_SPOOL_TIMEOUT = 2.0
"""Seconds that the end may wait for the spool to write what it has."""

_BACKLOG_PER_THREAD = 16
"""How many new reports one thread may leave lying before a caller starts another."""


class Handmade:
    """A report that a user made, as JSON: what it was made of may change afterwards."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.size = len(body)

    def build(self) -> Report:
        return Report(**parse_json(self._body))


class _Here(threading.local):
    delivering = False
    """Whether this thread delivers: were it to wait for a delivery, it would wait for itself."""


_here = _Here()


class Reporter:
    """
    Delivers reports to one server, for as many clients as share it.

        reporter = Reporter(base_url="http://127.0.0.1:8417/api/v1")
        client = OpenAI(reporter=reporter)

    It starts no thread before its first report; its threads are daemons, and end when there is
    nothing to do. Safe to share between threads. A forked child begins with an empty queue and
    threads of its own; the parent keeps what it had. At exit what is pending gets `exit_timeout`
    seconds.

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
        self._closed = False
        self._inherited: list[Delivery] = []
        self.reset()
        _lifecycle.register(self)

    def reset(self) -> None:
        """Begin anew, as in a forked child: nothing queued, no thread, no connection."""
        if self._inherited and self.settings.http_client is not None:
            self.settings = self.settings.model_copy(update={"http_client": None})
            logger.warning(
                "openpipe_report: a forked process cannot share the connections of http_client=; "
                "it sends over its own. Make the Reporter after the fork to use a client there"
            )
        self.pid = os.getpid()
        self.open_calls: dict[int, Call] = {}
        self.ledger = Ledger(self.settings.max_queue_reports, self.settings.max_queue_bytes)
        self._outbox = Outbox()
        self._delivery = Delivery(self.settings, self.ledger, self._outbox)
        self._delivery.closed = self._closed
        # The parent's connections are kept, unused: closing them could be felt at their other end.
        self._inherited.append(self._delivery)
        self._spool = self._delivery.spool = self._make_spool()
        self._threads: set[threading.Thread] = set()
        self._leaving = threading.Lock()

    def _make_spool(self) -> Spool[New, Queued] | None:
        settings = self.settings
        if settings.spool is None:
            return None
        from openpipe_report._spool import Spool  # noqa: PLC0415 - sqlite3 only where wanted

        return Spool(
            settings.spool,
            base_url=settings.report_url.removesuffix("/report"),
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            keeper=self,
            max_bytes=2 * settings.max_queue_bytes,
        )

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    def __repr__(self) -> str:
        return f"<Reporter to {self.settings.report_url}>"

    def __deepcopy__(self, memo: object) -> Reporter:
        return self

    # What the caller's thread does; a finalizer may, too.

    def submit(self, source: Source) -> bool:
        """Queue what is to be reported; when the queue is full, drop and count it: False."""
        if self._closed:
            self.ledger.refuse("shutdown")
            if not self._threads:  # somebody has to tell of it
                self._start_thread()
            return False
        if sys.is_finalizing():  # no thread runs any more, and nobody will come to look
            self.ledger.refuse("exit")
            return False
        size = source.size
        mark = self.ledger.admit(size)
        if mark is None:
            return False
        if self._spool is not None:
            self._spool.put((source, size, mark))
            if not _lifecycle.Exit.hooked:
                _lifecycle.hook_exit()
        else:
            self.pass_on((source, size, mark))
        if _lifecycle.Exit.thread is not None:
            _lifecycle.after_submit(self)
        return True

    def _start_thread(self) -> None:
        """Start a thread if there may be another; while the interpreter exits there may not."""
        if sys.is_finalizing():  # start() would wait for ever for a thread that never runs
            return
        thread = threading.Thread(target=self._work, name="openpipe-report", daemon=True)
        self._threads.add(thread)
        _lifecycle.hook_exit()
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)

    # What the spool's thread asks for.

    def build(self, new: New) -> Queued | None:
        """Turn what was submitted into JSON; None if there is nothing to send after all."""
        outer, _here.delivering = _here.delivering, True
        try:
            queued = Queued(*new)
            return queued if self._delivery.build(queued) else None
        finally:
            _here.delivering = outer

    def pass_on(self, queued: New | Queued) -> None:
        """Let the sending threads have a report: a new one, or one that went through the spool."""
        self._outbox.put(queued)
        threads = len(self._threads)
        if not threads or (
            threads < self.settings.senders
            and self._outbox.backlog() >= threads * _BACKLOG_PER_THREAD
        ):
            self._start_thread()

    def room(self) -> tuple[int, int]:
        """How much may be taken over from dead processes: half, so that new calls find room."""
        reports, size = self.ledger.room
        return (0, 0) if self._closed else (reports // 2, size // 2)

    def adopt(self, stored: Stored) -> None:
        """Send a report that another process has left in the spool."""
        size = len(stored.body)
        mark = self.ledger.admit(size, is_new=False)
        if mark is None:
            assert self._spool is not None  # noqa: S101 - it asks
            self._spool.release(stored.key)
            return
        self.pass_on(Queued(None, size, mark, body=stored.body, key=stored.key, stored=True))

    # What the sending threads do.

    def _work(self) -> None:
        _here.delivering = True
        waiting_first = False
        while True:
            waiting_first = not waiting_first
            try:
                if not self._step(waiting_first=waiting_first) and self._may_end():
                    return
            except BaseException:  # noqa: BLE001 - a thread that dies delivers nothing
                note_fault("a sending thread")

    def _step(self, *, waiting_first: bool) -> bool:
        """Advance one report; False if there was none."""
        queued = self._outbox.take(
            waiting_first=waiting_first, idle=_IDLE, hold=self._delivery.hold
        )
        self._delivery.tell_losses()
        if queued is None:
            return False
        if self._outbox.backlog() and len(self._threads) < self.settings.senders:
            self._start_thread()
        self._delivery.advance(queued)
        return True

    def _may_end(self) -> bool:
        """Leave, unless there is something to do."""
        me = threading.current_thread()
        with self._leaving:
            if self.ledger.pending and not self._closed:
                return False
            if len(self._threads) == 1:
                self._delivery.close()
            self._threads.discard(me)
            # `submit()` may have put a report in and still have seen this thread; it looks for
            # threads after it has put, so here the order is the other way round.
            if self._closed:
                self._abandon()
            elif self.ledger.pending and not self._threads:
                self._threads.add(me)
                return False
        return True

    def _abandon(self) -> None:
        self._delivery.abandon("shutdown")
        self._outbox.wake(len(self._threads))

    # What a user asks for.

    def report(self, **fields: Unpack[ReportFields]) -> bool:
        """
        Report a call that no client of ours has made: the API's seven fields, by name.

            reporter.report(
                requestedAt=began_ms,
                receivedAt=ended_ms,
                reqPayload={"model": "claude-3", "messages": messages},
                respPayload=answer,
                statusCode=200,
                tags={"provider": "anthropic"},
            )

        What JSON cannot say (objects, NaN) is named in its place. The payloads may be changed
        afterwards. `before_report` and the limits hold for it as for any report.

        Returns:
            Whether it was queued: False if reporting is off, and if it was dropped and counted.

        Raises:
            pydantic.ValidationError: A field is unknown, or of the wrong type.
        """
        source = Handmade(Report(**fields).to_json())
        reporter = _lifecycle.capturing[-1] if _lifecycle.capturing else self
        return reporter.settings.enabled and reporter.submit(source)

    def flush(self, timeout: float | None = 30.0) -> Flushed:
        """
        Wait until what was queued before is delivered.

        Streams that this thread (or task) opened and left open, and those whose thread or task
        has ended, are reported as they stand; one that another is still reading is not touched.
        In a hook of the reporter's own (`before_report`, `on_drop`) it does not wait.

        Args:
            timeout: Seconds to wait at the most; None for as long as it takes.

        Returns:
            True if all of it was delivered, else how many are pending or lost, and why.
        """
        self.sweep()
        if self.ledger.pending and not self._threads:
            self._start_thread()
        flushed = self.ledger.wait(0.0 if _here.delivering else timeout)
        if not _here.delivering:
            self._delivery.tell_losses()
        if flushed.pending:
            reasons = (flushed.reason, self._outbox.why() or "not answered yet")
            flushed = replace(flushed, reason="; ".join(filter(None, reasons)))
        return flushed

    def sweep(self, *, at_exit: bool = False) -> None:
        """Report streams that nobody can be reading, see `flush()`; at exit all of them."""
        for call in list(self.open_calls.values()):
            if at_exit or call.is_left():
                why = "stream still open at exit" if at_exit else "stream still open at flush"
                guarded("ending a stream", call.end, why)

    def shutdown(self, timeout: float | None = 30.0) -> Flushed:
        """
        Flush, then stop for good: later reports are dropped and counted.

        Args:
            timeout: Seconds to wait at the most; None for as long as it takes.

        Returns:
            As `flush()`. What is still pending after it is dropped, but for what is being sent.
        """
        flushed = self.flush(timeout)
        self._closed = self._delivery.closed = True
        self._abandon()
        if self._spool is not None:
            self._spool.close(_SPOOL_TIMEOUT)
        if not self._threads:
            self._delivery.close()
        return flushed

    def stats(self) -> Stats:
        """Count what became of the reports so far."""
        return self.ledger.stats(open_streams=len(self.open_calls), threads=len(self._threads))

    # What the end of the process asks for.

    def drain(self, deadline: float) -> None:
        """
        Wait until what is pending was delivered or tried once more, or `deadline` (monotonic).

        The sending threads do it, for one look-up of a name can take longer than there is time.
        Only where there is none, and none can be started, does this thread; a `Retry-After` that
        ends in time is waited for.
        """
        outer, _here.delivering = _here.delivering, True
        try:
            if self._spool is not None:
                self._spool.sync(deadline - time.monotonic())
            self._delivery.hurry()
            if self.ledger.pending and not self._threads:
                self._start_thread()
            while self.ledger.pending and (left := deadline - time.monotonic()) > 0:
                if self._is_tried(deadline):
                    break
                if self._threads:
                    time.sleep(min(left, 0.005))
                    continue
                pause = min(left, 0.02)
                hold = self._delivery.hold
                queued = self._outbox.take(waiting_first=True, idle=pause, hold=hold)
                if queued is not None:
                    self._delivery.advance(queued, within=left)
            if not self._threads:
                self._delivery.close()
        finally:
            _here.delivering = outer

    def _is_tried(self, deadline: float) -> bool:
        """Whether all that is pending waits for a time that will not come."""
        resumed = self._delivery.paused_until
        if time.monotonic() < resumed < deadline:
            return False
        idle = self._outbox.is_idle(self._delivery.hold)
        return idle and self.ledger.pending <= self._outbox.waiting

    def write_off(self, deadline: float) -> None:
        """Close the spool, within `deadline` (monotonic), and count as lost what is pending."""
        left = max(0.0, deadline - time.monotonic())
        self._delivery.write_off(0 if self._spool is None else self._spool.close(left))
