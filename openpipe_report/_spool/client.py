"""
Spool: puts reports into a file before they are sent, so that a crash loses nothing.

One thread builds, commits and passes on: what arrives while it commits shares its next commit.
Whatever is wrong with the file, reports are sent all the same, from memory. What it gives up: a
report is sent only once it is on disk, and one that is delivered right before a crash is delivered
again, with the same Idempotency-Key.
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
"""When a batch is committed though there is more: a report may not wait for its followers."""
_LONGEST_WAIT = 60.0


class SpoolEntry(Protocol):
    """A report on its way through the spool."""

    body: bytes
    key: str
    stored: bool
    """Set by the spool: whether the file has it, so that its end is to be told to the spool."""


_NewReport = TypeVar("_NewReport")
_NewReport_contra = TypeVar("_NewReport_contra", contravariant=True)
_Entry = TypeVar("_Entry", bound=SpoolEntry)


class SpoolDelegate(Protocol[_NewReport_contra, _Entry]):
    """What a spool asks of the one whose reports it holds, all of it on the spool's thread."""

    def build(self, new: _NewReport_contra, /) -> _Entry | None:
        """Make an entry of what was put; None if there is nothing to send after all."""
        ...

    def enqueue(self, entry: _Entry, /) -> None:
        """Send it: it is stored, or could not be."""
        ...

    def room(self) -> tuple[int, int]:
        """How many reports, and how many bytes, may be taken over from dead processes now."""
        ...

    def recover(self, stored: SpooledReport, /) -> None:
        """Send a report that a dead process has left; it counts as one with `stored` set."""
        ...


@dataclass(slots=True, eq=False)
class _SyncRequest:
    """A caller waits for every earlier report to be committed and passed on."""

    close: bool
    remaining: int = 0
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Resolution:
    """A stored report's key, and what `SpoolWriter.add_resolution()` is to note."""

    key: str
    reason: str | None


class Spool(Generic[_NewReport, _Entry]):
    """
    Holds one reporter's reports until their end is known.

    `put()` and the methods that tell of an end may be called from any thread, and from a
    finalizer: they take no lock and do not wait. A forked child makes a new one, and keeps the
    old one unused.

    Args:
        path: The file. One file may serve any number of processes and destinations.
        base_url: Where its reports go.
        api_key: The key they go with; the file gets a salted hash of it.
        delegate: Who builds and sends.
        max_bytes: How large the file may grow.
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
        # With itself: that keeps it alive until the task is done, see `_run()`.
        self._tasks: SimpleQueue[_Task[_NewReport, _Entry]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Spool {self._writer.file.path}>"

    # What any thread does.

    def put(self, new: _NewReport) -> None:
        """Build, store and pass on what is new."""
        self._tasks.put((self, new, None))
        if self._thread is None:
            self._start_thread()

    def remove(self, key: str) -> None:
        """Note that a stored report was delivered."""
        self._post(_Resolution(key, None))

    def dead_letter(self, key: str, reason: str) -> None:
        """Keep a stored report as a dead letter: it will not be sent unless somebody asks."""
        self._post(_Resolution(key, reason or "rejected"))

    def release(self, key: str) -> None:
        """Leave a stored report to whoever has room for it, in this process or another."""
        self._post(_Resolution(key, ""))

    def sync(self, timeout: float) -> bool:
        """Wait until all that was put before is stored and passed on; False if it takes longer."""
        return self._wait_for(_SyncRequest(close=False), timeout)

    def close(self, timeout: float) -> int:
        """
        Store what is left, give up all rows, and close the file; a later report opens it again.

        Returns:
            How many reports wait in the file for the next process that opens it.
        """
        request = _SyncRequest(close=True)
        self._wait_for(request, timeout)
        return request.remaining

    def _post(self, message: _Resolution | _SyncRequest) -> bool:
        """Queue a message; False if there is no thread, and cannot be one."""
        self._tasks.put((self, None, message))
        return self._thread is not None or self._start_thread()

    def _wait_for(self, request: _SyncRequest, timeout: float) -> bool:
        if not self._post(request):  # the interpreter exits and starts no threads
            while not request.done.is_set():
                self._process_batch(self._tasks.get())
        return request.done.wait(max(0.0, timeout))

    def _start_thread(self) -> bool:
        if sys.is_finalizing():  # start() would wait for ever for a thread that never runs
            return False
        # Not waiting for the lock: this may be a finalizer, and its holder starts a thread anyway.
        if not self._starting.acquire(blocking=False):
            return True
        try:
            if self._thread is None:
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

    # What the spool's thread does.

    def _process_batch(self, task: _Task[_NewReport, _Entry] | None) -> bool:
        """Do what there is to do; True if the thread may end."""
        entries, request = self._collect_batch(task)
        # Deliveries may still be recorded after close().
        self._closed = (self._closed and not entries) or (request is not None and request.close)
        try:
            added = [SpooledReport(entry.key, entry.body) for entry in entries]
            stored = self._writer.store(added)
            for entry in entries:
                entry.stored = stored
        finally:
            for entry in entries:
                self._delegate.enqueue(entry)
            self._writer.write_resolutions(at_once=self._closed or request is not None)
            left = self._writer.release_all() if self._closed else 0
            if request is not None:
                request.remaining = left
                request.done.set()
        if request is None and not self._closed:
            for one in self._writer.heartbeat_and_claim(*self._delegate.room()):
                self._delegate.recover(one)
        return self._closed

    def _collect_batch(
        self, task: _Task[_NewReport, _Entry] | None
    ) -> tuple[list[_Entry], _SyncRequest | None]:
        """Build what is queued, as much of it as goes into one commit."""
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
        except BaseException:  # noqa: BLE001 - the thread must live on
            log_internal_error("building a report")
            return None

    def _stop_thread(self) -> None:
        """End the thread, unless somebody came meanwhile who saw that there is one."""
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
    """Serve a spool until it is closed, or nobody has it any more."""
    while True:
        try:
            task = tasks.get(timeout=min(max(0.0, writer.due - time.monotonic()), _LONGEST_WAIT))
        except Empty:
            task = None
        spool = reference() if task is None else task[0]
        if spool is None:
            writer.write_resolutions(at_once=True)
            writer.release_all()
            return
        try:
            ended = spool._process_batch(task)  # noqa: SLF001 - its own
        except BaseException:  # noqa: BLE001 - without the thread nothing is sent
            log_internal_error("the spool")
            ended = False
        if ended:
            spool._stop_thread()  # noqa: SLF001 - its own
            return
        del spool, task
