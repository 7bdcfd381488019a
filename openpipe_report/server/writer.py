"""
One thread that writes: what arrives while it commits shares its next commit.

SQLite lets one connection write at a time and a commit waits for the disk, so rows gather in a
queue and each caller holds a future that is done only when the row is on disk. A single report
costs one commit; a crowd costs one commit for many.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from openpipe_report.server.schema import StoredReport, StoreError

if TYPE_CHECKING:
    from sqlalchemy import Engine

MAX_BATCH = 500
"""Most rows in one commit."""

_INSERT = insert(StoredReport).on_conflict_do_nothing(index_elements=["idempotency_key"])


@dataclass(frozen=True)
class _Pending:
    row: dict[str, Any]
    done: Future[None] = field(default_factory=Future[None])


class Writer:
    """
    Commits rows on a thread of its own, which starts at the first row.

    Safe to use from any thread. The thread is a daemon: a process that ends without `close()`
    loses rows whose future was not done, and no others.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, row: dict[str, Any]) -> Future[None]:
        """
        Queue a row; the future is done when it is committed, or fails with SQLAlchemy's error.

        A row whose `idempotency_key` is stored already is left out, and its future succeeds.

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
        """Commit what is queued, then end the thread. May be called twice."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, more = self._gather(first)
            waiting = [one for one in batch if one.done.set_running_or_notify_cancel()]
            self._commit(waiting)
            if not more:
                return

    def _gather(self, first: _Pending) -> tuple[list[_Pending], bool]:
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
        except Exception as error:  # noqa: BLE001 - the thread's loop must live on
            # A full disk or a lock held elsewhere fails each row alike: no retry row by row.
            if len(batch) == 1 or isinstance(error, OperationalError):
                for one in batch:
                    one.done.set_exception(error)
                return
            for one in batch:
                self._commit([one])
        else:
            for one in batch:
                one.done.set_result(None)
