"""
Writes each report to a SQLite file before it is sent, so that a killed process loses none.

One thread per spool builds reports, commits them and hands them to the senders. Reports that arrive
during a commit share the next one. If the file cannot be used, reports are sent from memory.

The price: a report is sent only after it was committed, and a report that was delivered right
before a crash is delivered a second time, with the same Idempotency-Key.

Locks. Callers put tasks into a `SimpleQueue`, whose `put()` is safe in a finalizer and in a signal
handler. `_starting` guards the start of the thread and is only ever tried, never waited for. All
other state belongs to the thread that processes the batches: the spool's own, or, at interpreter
exit, the one thread that is left. It takes the file's lock (see `file`) and no other.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from openpipe_report._log import log_internal_error
from openpipe_report._spool.rows import SpooledReport
from openpipe_report._spool.writer import SpoolWriter

if TYPE_CHECKING:
    import os

_BATCH_SECONDS, _BATCH_BYTES, _BATCH_REPORTS = 0.01, 1024 * 1024, 200
"""The limits of one commit: seconds to collect it, bytes, reports. More go into the next one."""
_LONGEST_WAIT = 60.0
"""Seconds that an idle thread sleeps at most before it checks that its spool still exists."""


class SpoolEntry(Protocol):
    """A built report that passes through the spool."""

    body: bytes
    """The JSON that is sent."""
    idempotency_key: str
    stored: bool
    """
    Whether the file holds the report; set by the spool. The outcome of such a report has to be
    recorded with `remove()`, `dead_letter()` or `release()`.
    """


_NewReport = TypeVar("_NewReport")
_NewReport_contra = TypeVar("_NewReport_contra", contravariant=True)
_Entry = TypeVar("_Entry", bound=SpoolEntry)


class SpoolDelegate(Protocol[_NewReport_contra, _Entry]):
    """Builds and sends the reports of a spool; every method is called on the spool's thread."""

    def build(self, new: _NewReport_contra, /) -> _Entry | None:
        """Build the entry for a new report; None if it is not to be sent."""
        ...

    def enqueue(self, entry: _Entry, /) -> None:
        """Queue an entry for sending, after it was stored or storing it has failed."""
        ...

    def room(self) -> tuple[int, int]:
        """Return how many reports, and how many bytes, may be recovered from dead processes."""
        ...

    def recover(self, stored: SpooledReport, /) -> None:
        """Queue a report of a dead process; its outcome is recorded like that of an entry."""
        ...


@dataclass(slots=True, eq=False)
class _SyncRequest:
    """A caller that waits until every earlier report is committed and queued for sending."""

    close: bool
    """Whether to close the file as well."""
    remaining: int = 0
    """After a close: how many reports are left in the file."""
    # Not set in a finalizer, where Event.set() could deadlock: only the spool's thread sets it.
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Resolution:
    """The outcome of a stored report."""

    key: str
    reason: str | None
    """As `SpoolWriter.add_resolution()` takes it: None if delivered, "" if released."""


class Spool(Generic[_NewReport, _Entry]):
    """
    Keeps the reports of one reporter in a file until their outcome is known.

    `put()`, `remove()`, `dead_letter()` and `release()` may be called from any thread and from a
    finalizer: they wait for nothing. A forked child constructs a spool of its own and never uses
    the one that it inherited.

    Args:
        path: The file. Any number of processes and destinations may share one file.
        base_url: Base URL of the server that the reports are sent to.
        api_key: API key that they are sent with. The file holds only a salted hash of it.
        delegate: Builds and sends the reports.
        max_bytes: Maximum size of the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        base_url: str,
        api_key: str | None,
        delegate: SpoolDelegate[_NewReport, _Entry],
        max_bytes: int,
    ) -> None:
        self._delegate = delegate
        self._writer = SpoolWriter(path, base_url, api_key, max_bytes)
        # Each task refers to this spool and so keeps it alive until it is processed: `_run()` has
        # only a weak reference.
        self._tasks: SimpleQueue[_Task[_NewReport, _Entry]] = SimpleQueue()
        # Read without a lock. Callers queue their task first and then look here; the thread clears
        # this first and then looks into the queue. So no task is left without a thread.
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        """Guards the start, so that only one thread is started; never waited for."""
        self._closed = False
        """Only used by the thread that processes the batches."""

    def __repr__(self) -> str:
        return f"<Spool {self._writer.file.path}>"

    # Called by any thread.

    def put(self, new: _NewReport) -> None:
        """Queue a new report, to be built, stored and then sent."""
        self._tasks.put((self, new, None))
        if self._thread is None:
            self._start_thread()

    def remove(self, key: str) -> None:
        """Remove a stored report from the file, because it was delivered."""
        self._post(_Resolution(key, None))

    def dead_letter(self, key: str, reason: str) -> None:
        """Keep a stored report in the file as a dead letter, which only `resend --dead` sends."""
        self._post(_Resolution(key, reason or "rejected"))

    def release(self, key: str) -> None:
        """Give up a stored report, so that any process with room for it may claim it."""
        self._post(_Resolution(key, ""))

    def forget(self) -> None:
        """Let go of all reports, in a forked child: the parent stores them."""
        self._tasks = SimpleQueue()

    def sync(self, timeout: float) -> bool:
        """Wait until earlier reports are stored and queued for sending; False on timeout."""
        return self._wait_for(_SyncRequest(close=False), timeout)

    def close(self, timeout: float) -> int:
        """
        Store the queued reports, release all rows and close the file.

        A later report opens the file again.

        Args:
            timeout: Seconds to wait.

        Returns:
            How many reports are left in the file for the next process; 0 on timeout.
        """
        request = _SyncRequest(close=True)
        self._wait_for(request, timeout)
        return request.remaining

    def _post(self, message: _Resolution | _SyncRequest) -> bool:
        """Queue a message; False if there is no thread and none can be started."""
        self._tasks.put((self, None, message))
        return self._thread is not None or self._start_thread()

    def _wait_for(self, request: _SyncRequest, timeout: float) -> bool:
        """Wait until a request is done; process the batches here if no thread can do it."""
        if not self._post(request):  # at interpreter exit: the caller is the only thread left
            while not request.done.is_set():
                self._process_batch(self._tasks.get())
        return request.done.wait(max(0.0, timeout))

    def _start_thread(self) -> bool:
        """Start the thread unless it runs; False if the interpreter starts no threads any more."""
        if sys.is_finalizing():  # start() would wait forever for a thread that never runs
            return False
        # Never wait for the lock: this may be a finalizer that has interrupted its holder. The
        # holder is starting the thread, so there is nothing left to do.
        if not self._starting.acquire(blocking=False):
            return True
        try:
            if self._thread is None:  # checked again: another caller may have started it
                thread = threading.Thread(
                    target=_run,
                    args=(weakref.ref(self), self._tasks, self._writer),
                    name="openpipe-report-spool",
                    daemon=True,
                )
                thread.start()
                self._thread = thread
        except RuntimeError:
            return False
        finally:
            self._starting.release()
        return True

    # Called by the spool's thread.

    def _process_batch(self, task: _Task[_NewReport, _Entry] | None) -> bool:
        """
        Store and enqueue one batch, write due resolutions, recover reports of dead processes.

        Args:
            task: The first task of the batch; None if there was none in time.

        Returns:
            True if the spool is closed, so that the thread may end.
        """
        entries, request = self._collect_batch(task)
        # Deliveries may still be recorded after close().
        self._closed = (self._closed and not entries) or (request is not None and request.close)
        try:
            added = [SpooledReport(entry.idempotency_key, entry.body) for entry in entries]
            stored = self._writer.store(added)
            for entry in entries:
                entry.stored = stored
        finally:  # whatever happened to the file, the reports are sent
            for entry in entries:
                self._delegate.enqueue(entry)
            self._writer.write_resolutions(at_once=self._closed or request is not None)
            remaining = self._writer.release_all() if self._closed else 0
            if request is not None:
                request.remaining = remaining
                request.done.set()
        if request is None and not self._closed:
            for orphan in self._writer.heartbeat_and_claim(*self._delegate.room()):
                self._delegate.recover(orphan)
        return self._closed

    def _collect_batch(
        self, task: _Task[_NewReport, _Entry] | None
    ) -> tuple[list[_Entry], _SyncRequest | None]:
        """Build queued reports up to the limits of one commit, or up to a sync request."""
        entries: list[_Entry] = []
        size = 0
        until = time.monotonic() + _BATCH_SECONDS
        while task is not None:
            _, new, message = task
            if isinstance(message, _SyncRequest):
                return entries, message
            if message is not None:
                self._writer.add_resolution(message.key, message.reason)
            elif new is not None and (entry := self._build(new)) is not None:
                entries.append(entry)
                size += len(entry.body)
            if size >= _BATCH_BYTES or len(entries) >= _BATCH_REPORTS or time.monotonic() > until:
                break
            try:
                task = self._tasks.get_nowait()
            except Empty:
                break
        return entries, None

    def _build(self, new: _NewReport) -> _Entry | None:
        try:
            return self._delegate.build(new)
        except BaseException:  # noqa: BLE001 - the thread must go on
            log_internal_error("building a report")
            return None

    def _stop_thread(self) -> None:
        """Let the thread end; start another one if a task came in the meantime."""
        # In this order: a caller that still saw a thread had queued its task before that.
        self._thread = None
        if not self._tasks.empty():
            self._start_thread()


_Task: TypeAlias = (
    "tuple[Spool[_NewReport, _Entry], _NewReport | None, _Resolution | _SyncRequest | None]"
)


def _run(
    reference: weakref.ref[Spool[Any, Any]],
    tasks: SimpleQueue[_Task[Any, Any]],
    writer: SpoolWriter,
) -> None:
    """Process a spool's tasks until it is closed or garbage-collected."""
    while True:
        try:
            task = tasks.get(timeout=min(max(0.0, writer.due - time.monotonic()), _LONGEST_WAIT))
        except Empty:
            task = None
        spool = reference() if task is None else task[0]
        if spool is None:  # garbage-collected, so nothing can be queued any more
            writer.write_resolutions(at_once=True)
            writer.release_all()
            return
        try:
            closed = spool._process_batch(task)  # noqa: SLF001 - its own
        except BaseException:  # noqa: BLE001 - without the thread no report is sent
            log_internal_error("the spool")
            closed = False
        if closed:
            spool._stop_thread()  # noqa: SLF001 - its own
            return
        del spool, task  # or the next wait would keep the spool alive
