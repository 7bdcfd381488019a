"""
Writes to the database on one thread: reports, changes of what is stored, and the search index.

SQLite lets one connection write at a time, and each commit waits for the disk. Callers therefore
queue a report and get a future that succeeds when it is on disk; reports that arrive during a
commit share the next one. The index follows within half a second.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from openpipe_report.server.seldom_log import SeldomLog
from openpipe_report.server.store.errors import StoreError, StoreUnavailableError
from openpipe_report.server.store.inserting import NewReport, insert_reports
from openpipe_report.server.store.search_index import count_missing, index_next
from openpipe_report.server.store.sqlite import empty_wal, prepare_to_write, transaction
from openpipe_report.server.store.updates import apply_pending

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from openpipe_report.server.store.preparing import PreparedReport
    from openpipe_report.server.store.pricing import Pricer
    from openpipe_report.server.store.search_index import SearchIndex
    from openpipe_report.server.store.sqlite import FileIdentity

MAX_BATCH = 500
"""Maximum number of reports in one commit."""

_INDEX_BATCH = 128
_INDEX_DELAY = 0.3
_INDEX_GRACE = 5.0
_MAX_TEXTS = 32 * 2**20
_WAL_CHECK = 10.0

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

    def __init__(
        self,
        engine: Engine,
        path: Path,
        identity: FileIdentity,
        index: SearchIndex,
        pricer: Pricer,
    ) -> None:
        self._engine = engine
        self._path = path
        self._identity = identity
        self._index = index
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
        self._texts: dict[int, str] = {}
        self._texts_size = 0
        self._missing_since: float | None = None
        self._wal_checked = 0.0
        self._log = SeldomLog()

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
        self._connection: Connection | None = None
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
            if count_missing(self._connect(), self._index):
                self._missing_since = time.monotonic()
        except Exception as error:  # noqa: BLE001 - the thread must go on
            self._log.write("nothing can be stored", error)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
            prepare_to_write(self._connection)
        return self._connection

    def _loop(self) -> None:
        more = True
        while more:
            try:
                first = self._queue.get(timeout=self._until_index())
            except Empty:
                self._complete_index()
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
            self._keep_up(len(batch))
        self._finish_index()

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
            new = [
                NewReport(
                    one.prepared, self._pricer.price(one.prepared.columns), one.key, one.project
                )
                for one in batch
            ]
            connection = self._connect()
            with transaction(connection, self._identity):
                inserted = insert_reports(connection, new)
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
        self._remember_texts(inserted)

    def _remember_texts(self, inserted: list[NewReport]) -> None:
        if inserted and self._missing_since is None:
            self._missing_since = time.monotonic()
        for one in inserted:
            if one.report_id is not None and self._texts_size < _MAX_TEXTS:
                self._texts[one.report_id] = one.prepared.text
                self._texts_size += len(one.prepared.text)

    def _step(self, change: _Change) -> None:
        """Run the next step of a change, and queue the rest behind what has come meanwhile."""
        if not change.done.running() and not change.done.set_running_or_notify_cancel():
            return
        while True:
            ended, result = False, None
            try:
                with transaction(self._connect(), self._identity):
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

    def _until_index(self) -> float | None:
        if self._missing_since is None:
            return None
        return max(self._missing_since + _INDEX_DELAY - time.monotonic(), 0)

    def _keep_up(self, committed: int) -> None:
        """Index about as many reports as were committed, so that the index stays close behind."""
        for _ in range(committed // _INDEX_BATCH + 1):
            if self._until_index() != 0 and len(self._texts) < _INDEX_BATCH:
                break
            self._index_batch()
        self._check_wal()

    def _complete_index(self) -> None:
        """Index what is missing while nothing else is to be done."""
        while self._queue.empty() and self._missing_since is not None:
            self._index_batch()
        self._check_wal()

    def _finish_index(self) -> None:
        """Index what is missing at the end, within some seconds; the next start does the rest."""
        deadline = time.monotonic() + _INDEX_GRACE
        while self._missing_since is not None and time.monotonic() < deadline:
            if not self._index_batch():
                break

    def _index_batch(self) -> bool:
        """Index some of the reports that are not in the index; False if that failed."""
        try:
            connection = self._connect()
            with transaction(connection, self._identity):
                done = index_next(connection, self._index, _INDEX_BATCH, self._texts)
        except Exception as error:  # noqa: BLE001 - the thread's loop must go on
            self._log.write("nothing can be stored", error)
            self._missing_since = time.monotonic() + 1
            return False
        self._texts_size = sum(map(len, self._texts.values())) if self._texts else 0
        self._missing_since = time.monotonic() if done == _INDEX_BATCH else None
        return True

    def _check_wal(self) -> None:
        now = time.monotonic()
        if now - self._wal_checked >= _WAL_CHECK:
            self._wal_checked = now
            if self._connection is not None:
                empty_wal(self._connection, self._path)


def _on_connection(
    make_steps: Callable[[Connection], Generator[None, None, _Result]],
    connect: Callable[[], Connection],
) -> Generator[None, None, _Result]:
    # Entered on the writer's thread, at the first step.
    return (yield from make_steps(connect()))
