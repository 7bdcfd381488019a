"""
Commits rows on one thread, so that rows which arrive during a commit share the next one.

SQLite lets one connection write at a time, and each commit waits for the disk. Callers therefore
queue a row and get a future that succeeds when the row is on disk.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from openpipe_report.server.store.tables import StoredReport, StoreError

if TYPE_CHECKING:
    from sqlalchemy import Engine

MAX_BATCH = 500
"""Maximum number of rows in one commit."""

_INSERT = insert(StoredReport).on_conflict_do_nothing(index_elements=["idempotency_key"])


@dataclass(frozen=True)
class _Pending:
    row: dict[str, Any]
    done: Future[None] = field(default_factory=Future[None])


class Writer:
    """
    Commits rows on a thread of its own, which starts with the first row.

    Safe to use from any thread. The thread is a daemon: a process that ends without `close()`
    loses the rows whose future is not done, and no others.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        """Rows to commit; None tells the thread to end, and no row comes after it."""
        # Guards `_thread` and `_closed`, and the order of the queue: without it a row could be
        # queued after None and never be committed. The thread itself never takes it.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, row: dict[str, Any]) -> Future[None]:
        """
        Queue a row to be committed.

        Returns:
            A future that succeeds when the row is committed, or when a row with the same
            `idempotency_key` was stored before. It fails with SQLAlchemy's error.

        Raises:
            StoreError: The writer is closed.

        """
        pending = _Pending(row)
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed")
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="openpipe-report-writer", daemon=True
                )
                self._thread.start()
            self._queue.put(pending)
        return pending.done

    def close(self) -> None:
        """Commit the queued rows, then end the thread. May be called twice."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        # Joined without the lock, so that a late `add()` raises at once instead of waiting.
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, more = self._collect_batch(first)
            # A caller may have cancelled its future, as an HTTP request that was aborted does.
            self._commit([one for one in batch if one.done.set_running_or_notify_cancel()])
            if not more:
                return

    def _collect_batch(self, first: _Pending) -> tuple[list[_Pending], bool]:
        """Collect the queued rows of one commit; False if the writer is closed after them."""
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                one = self._queue.get_nowait()
            except Empty:
                break
            if one is None:
                return batch, False
            batch.append(one)
        return batch, True

    def _commit(self, batch: list[_Pending]) -> None:
        if not batch:
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(_INSERT, [one.row for one in batch])
        except Exception as error:  # noqa: BLE001 - the thread's loop must go on
            # A full disk or a locked file fails every row; any other error may be of one row only.
            if len(batch) == 1 or isinstance(error, OperationalError):
                for one in batch:
                    one.done.set_exception(error)
                return
            for one in batch:
                self._commit([one])
        else:
            for one in batch:
                one.done.set_result(None)
