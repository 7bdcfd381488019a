"""
Writes each report to a file before it is sent, so that a killed process loses none.

One thread per spool builds reports, commits them and hands them to the senders. Reports that come
during a commit share the next one. Where memory is half full they stay in the file alone, and are
read back when there is room: so an outage of hours loses none. If the folder cannot be used,
reports are sent from memory.

The price: a report is sent only after it was committed, and a report that was delivered right
before a crash is delivered a second time, with the same Idempotency-Key.

Locks. Callers put tasks into a `SimpleQueue`, whose `put()` is safe in a finalizer and in a signal
handler. `_starting` guards the start of the thread and is only ever tried, never waited for. All
other state belongs to the thread that processes the batches: the spool's own, or, at interpreter
exit, the one thread that is left. It takes the lock of `file` and no other.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from openpipe_report._log import log_internal_error

if TYPE_CHECKING:
    from openpipe_report._spool.backlog import Place
    from openpipe_report._spool.delegate import SpoolDelegate, SpoolEntry
    from openpipe_report._spool.folder import SpoolFolder

_BATCH_SECONDS, _BATCH_BYTES, _BATCH_REPORTS = 0.01, 1024 * 1024, 200
"""The limits of one commit: seconds to collect it, bytes, reports. More go into the next one."""
_LONGEST_WAIT = 60.0
"""Seconds that an idle thread sleeps at most before it checks that its spool still exists."""
_READ_AT_ONCE = 500


_NewReport = TypeVar("_NewReport")
_Entry = TypeVar("_Entry", bound="SpoolEntry")


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
class _End:
    """How a stored report has ended."""

    place: Place
    reason: str | None
    """Why it becomes a dead letter; None if it was delivered."""


class Spool(Generic[_NewReport, _Entry]):
    """
    Keeps the reports of one channel in a folder until their end is known.

    `put()`, `remove()` and `dead_letter()` may be called from any thread and from a finalizer: they
    wait for nothing. A forked child constructs a spool of its own and never uses the one that it
    inherited.

    Args:
        folder: Stores them.
        delegate: Builds and sends them.
    """

    def __init__(self, folder: SpoolFolder, delegate: SpoolDelegate[_NewReport, _Entry]) -> None:
        self._delegate = delegate
        self._folder = folder
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
        return f"<Spool {self._folder.path}>"

    # Called by any thread.

    def put(self, new: _NewReport) -> None:
        """Queue a new report, to be built, stored and then sent."""
        self._tasks.put((self, new, None))
        if self._thread is None:
            self._start_thread()

    def remove(self, place: Place) -> None:
        """Remove a stored report, because it was delivered."""
        self._post(_End(place, None))

    def dead_letter(self, place: Place, reason: str) -> None:
        """Keep a stored report as a dead letter, which only `resend --dead` sends."""
        self._post(_End(place, reason or "rejected"))

    def forget(self) -> None:
        """Let go of all reports, in a forked child: the parent stores them."""
        self._tasks = SimpleQueue()

    def adopt_nothing(self) -> None:
        """Take over no more files, at the end of the process: not even this one's own."""
        self._folder.orphans.are_adopted = False

    def sync(self, timeout: float) -> bool:
        """Wait until earlier reports are stored and queued for sending; False on timeout."""
        return self._wait_for(_SyncRequest(close=False), timeout)

    def close(self, timeout: float) -> int:
        """
        Store the queued reports and close all files.

        A later report opens a new one.

        Args:
            timeout: Seconds to wait.

        Returns:
            How many reports are left in the folder for the next process; 0 on timeout.
        """
        request = _SyncRequest(close=True)
        self._wait_for(request, timeout)
        return request.remaining

    def _post(self, message: _End | _SyncRequest) -> bool:
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
                    args=(weakref.ref(self), self._tasks, self._folder),
                    name="openpipe-report-spool",
                    daemon=True,
                )
                self._thread = thread  # before it runs: it may end at once
                thread.start()
        except RuntimeError:
            self._thread = None
            return False
        finally:
            self._starting.release()
        return True

    # Called by the spool's thread.

    def _process_batch(self, task: _Task[_NewReport, _Entry] | None) -> bool:
        """
        Store and enqueue one batch, write due ends, read back what there is room for.

        Args:
            task: The first task of the batch; None if there was none in time.

        Returns:
            True if the spool is closed, so that the thread may end.
        """
        entries, request = self._collect_batch(task)
        # Deliveries may still be told after close().
        self._closed = (self._closed and not entries) or (request is not None and request.close)
        try:
            self._store(entries)
        finally:  # whatever happened to the file, the reports are sent
            self._folder.write_ends(at_once=self._closed or request is not None)
            remaining = self._folder.close() if self._closed else 0
            if request is not None:
                request.remaining = remaining
                request.done.set()
        if request is None and not self._closed:
            self._read_back()
            if task is None:
                self._folder.checkpoint()
        return self._closed

    def _store(self, entries: list[_Entry]) -> None:
        tag_of = self._delegate.tag_of
        try:
            added = [
                (entry.idempotency_key, tag_of(entry), entry.body, entry.path) for entry in entries
            ]
            places = self._folder.add(added)
        except BaseException:  # noqa: BLE001 - the reports are sent
            log_internal_error("the spool")
            places = None
        if self._folder.has_lost_backlog:
            self._folder.has_lost_backlog = False
            self._delegate.lose_aside()
        for number, entry in enumerate(entries):
            if places is not None:
                entry.place = places[number]
                if self._folder.has_backlog or self._delegate.is_crowded():
                    self._folder.set_aside(places[number])
                    self._delegate.set_aside(entry)
                    continue
            self._delegate.enqueue(entry)

    def _read_back(self) -> None:
        reports, size = self._delegate.room()
        loaded = self._folder.load(min(reports, _READ_AT_ONCE), size)
        for each in loaded:
            if not self._delegate.read_back(each):
                self._folder.unread(each.place)
                break

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
                self._folder.add_end(message.place, message.reason)
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


_Task: TypeAlias = "tuple[Spool[_NewReport, _Entry], _NewReport | None, _End | _SyncRequest | None]"


def _run(
    reference: weakref.ref[Spool[Any, Any]],
    tasks: SimpleQueue[_Task[Any, Any]],
    folder: SpoolFolder,
) -> None:
    """Process a spool's tasks until it is closed or garbage-collected."""
    while True:
        try:
            task = tasks.get(timeout=min(max(0.0, folder.due - time.monotonic()), _LONGEST_WAIT))
        except Empty:
            task = None
        spool = reference() if task is None else task[0]
        if spool is None:  # garbage-collected, so nothing can be queued any more
            folder.write_ends(at_once=True)
            folder.close()
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
