"""
Writes to the database on one thread: reports, changes of what is stored, and the search index.

One connection writes at a time, and each commit waits for the disk. Callers therefore queue a
report and get a future that succeeds when it is on disk; reports that arrive during a commit share
the next one. The index follows between the commits, as `IndexKeeper` says.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from openpipe_report.server.seldom_log import SeldomLog
from openpipe_report.server.store.errors import StoreError, StoreUnavailableError
from openpipe_report.server.store.index_keeper import IndexKeeper
from openpipe_report.server.store.inserting import NewReport, insert_reports
from openpipe_report.server.store.updates import apply_pending

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sqlalchemy import Connection

    from openpipe_report.server.store.database import Database
    from openpipe_report.server.store.preparing import PreparedReport
    from openpipe_report.server.store.pricing import Pricer

MAX_BATCH = 500
"""Maximum number of reports in one commit."""

_MAINTENANCE = 10.0

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Insert:
    prepared: PreparedReport
    key: str | None
    project: str
    done: Future[None] = field(default_factory=Future[None])


@dataclass(frozen=True)
class _Change:
    steps: Generator[None, None, Any]
    """Each step runs in a transaction of its own; the generator returns the result."""
    done: Future[Any] = field(default_factory=Future[Any])


class Writer:
    """
    Writes on a thread of its own, which starts with the first report.

    Safe to use from any thread. The thread is a daemon: a process that ends without `close()`
    loses the reports whose future is not done, and no others.
    """

    def __init__(self, database: Database, pricer: Pricer) -> None:
        self._database = database
        self._pricer = pricer
        self._queue: SimpleQueue[_Insert | _Change | None] = SimpleQueue()
        """What is to be written; None tells the thread to end, and nothing comes after it."""
        # Guards `_thread` and `_closed`, and the order of the queue: without it something could be
        # queued after None and never be committed. The thread itself never takes it.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._loads_prices = False
        # Below: used by the thread alone.
        self._connection: Connection | None = None
        self._maintained_at = 0.0
        self._log = SeldomLog()
        self._index = IndexKeeper(database.index, self._transaction, self._log)

    def add(self, prepared: PreparedReport, key: str | None, project: str) -> Future[None]:
        """
        Queue a report of a project to be committed.

        Returns:
            A future that succeeds when the report is committed, or when the same report was stored
            before with the same key in this project. It fails with IdempotencyConflictError,
            StoreUnavailableError, or SQLAlchemy's error.

        Raises:
            StoreError: The writer is closed.

        """
        one = _Insert(prepared, key, project)
        self._put(one)
        return one.done

    def change(
        self, make_steps: Callable[[Connection], Generator[None, None, _Result]]
    ) -> Future[_Result]:
        """
        Queue a change of what is stored.

        Args:
            make_steps: Makes a generator for the thread's connection. Each step up to a `yield`
                runs in a transaction of its own; reports that wait are committed between two.

        Returns:
            A future of what the generator returns.

        Raises:
            StoreError: The writer is closed.

        """
        one = _Change(_on_connection(make_steps, self._connect))
        self._put(one)
        return one.done

    def start(self) -> None:
        """Start the thread before the first report, to load the prices and complete the index."""
        with self._lock:
            self._loads_prices = True
            self._start()

    def close(self) -> None:
        """
        Commit what is queued, then end the thread. May be called twice.

        The index is completed within five seconds; the next writer does what is left.
        """
        with self._lock:
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        # Joined without the lock, so that a late `add()` raises at once instead of waiting.
        if thread is not None:
            thread.join()

    def _put(self, one: _Insert | _Change) -> None:
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed")
            self._start()
            self._queue.put(one)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="openpipe-report-writer", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        try:
            self._begin()
            self._loop()
        finally:
            if self._connection is not None:
                self._connection.close()

    def _begin(self) -> None:
        try:
            if self._loads_prices:
                self._pricer.load()
            self._index.begin(self._connect())
        except Exception as error:  # noqa: BLE001 - the thread must go on
            self._log.write("nothing can be stored", error)

    def _connect(self) -> Connection:
        if self._connection is not None and self._connection.invalidated:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            connection = self._database.engine.connect()
            self._database.prepare_to_write(connection)
            self._connection = connection
        return self._connection

    @contextlib.contextmanager
    def _transaction(self) -> Generator[Connection, None, None]:
        connection = self._connect()
        with self._database.transaction(connection):
            yield connection

    def _loop(self) -> None:
        more = True
        while more:
            try:
                first = self._queue.get(timeout=self._index.until_due())
            except Empty:
                self._index.complete(self._queue.empty)
                self._maintain()
                continue
            if first is None:
                break
            if isinstance(first, _Change):
                self._step(first)
                continue
            batch, more, change = self._collect_batch(first)
            # A caller may have cancelled its future, as an HTTP request that was aborted does.
            self._commit([one for one in batch if one.done.set_running_or_notify_cancel()])
            if change is not None:
                self._step(change)
            self._index.keep_up(len(batch))
            self._maintain()
        self._index.finish()

    def _collect_batch(self, first: _Insert) -> tuple[list[_Insert], bool, _Change | None]:
        """Collect the reports of one commit; False if the writer is closed after them."""
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                one = self._queue.get_nowait()
            except Empty:
                break
            if one is None:
                return batch, False, None
            if isinstance(one, _Change):
                return batch, True, one
            batch.append(one)
        return batch, True, None

    def _commit(self, batch: list[_Insert]) -> None:
        if not batch:
            return
        try:
            new = [self._make_new(one) for one in batch]
            with self._transaction() as connection:
                inserted = insert_reports(self._database, connection, new)
                apply_pending(connection, inserted)
        except Exception as error:  # noqa: BLE001 - the thread's loop must go on
            # A full disk or a locked file fails every report; any other error may be of one only.
            if len(batch) == 1 or isinstance(error, StoreUnavailableError):
                self._log.write("nothing can be stored", error)
                for one in batch:
                    one.done.set_exception(error)
                return
            for one in batch:
                self._commit([one])
            return
        for one, outcome in zip(batch, new, strict=True):
            if outcome.conflict is not None:
                one.done.set_exception(outcome.conflict)
            else:
                one.done.set_result(None)
        self._index.remember(inserted)

    def _make_new(self, one: _Insert) -> NewReport:
        new = NewReport(
            one.prepared, self._pricer.price(one.prepared.columns), one.key, one.project
        )
        if not self._database.index.follows:
            new.entry = self._database.index.entry(one.prepared.text)
        return new

    def _step(self, change: _Change) -> None:
        """Run the next step of a change, and queue the rest behind what has come meanwhile."""
        if not change.done.running() and not change.done.set_running_or_notify_cancel():
            return
        while True:
            ended, result = False, None
            try:
                with self._transaction():
                    try:
                        next(change.steps)
                    except StopIteration as end:
                        ended, result = True, end.value
            except Exception as error:  # noqa: BLE001 - the thread's loop must go on
                change.done.set_exception(error)
                return
            if ended:
                change.done.set_result(result)
                return
            if not self._closed:
                self._queue.put(change)
                return

    def _maintain(self) -> None:
        now = time.monotonic()
        if now - self._maintained_at >= _MAINTENANCE:
            self._maintained_at = now
            if self._connection is not None:
                self._database.maintain(self._connection)


def _on_connection(
    make_steps: Callable[[Connection], Generator[None, None, _Result]],
    connect: Callable[[], Connection],
) -> Generator[None, None, _Result]:
    # Entered on the writer's thread, at the first step.
    return (yield from make_steps(connect()))
