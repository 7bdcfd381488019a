"""
Store: the stored reports of one database.

`Store.add()` guarantees that the report is committed and on disk when its future
succeeds. It then survives a crash of the process and of the machine.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DatabaseError

from openpipe_report.server.store.copying import Copy
from openpipe_report.server.store.databases import make_database
from openpipe_report.server.store.erasing import Eraser
from openpipe_report.server.store.errors import StoreError, StoreUnavailableError
from openpipe_report.server.store.keys import Keys
from openpipe_report.server.store.preparing import prepare_report
from openpipe_report.server.store.pricing import Pricer
from openpipe_report.server.store.queries import MAX_LIMIT, Queries
from openpipe_report.server.store.repricing import reprice_in_steps
from openpipe_report.server.store.tables import DEFAULT_PROJECT
from openpipe_report.server.store.updates import change_matching, check_filters
from openpipe_report.server.store.values import get_key
from openpipe_report.server.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from os import PathLike
    from types import TracebackType

    from typing_extensions import Self

    from openpipe_report.server.store.filters import Filter
    from openpipe_report.server.store.preparing import PreparedReport
    from openpipe_report.server.store.rows import StoredReport
    from openpipe_report.server.store.updates import UpdateFilter


class Store:
    """
    The stored reports of one database. Safe to use from any thread; a context manager.

    Args:
        source: The path of an SQLite file, or the URL `postgresql+psycopg://...`. A file is created
            if it is missing, readable by its owner only; its folder must exist. One of an older
            version is upgraded, with a backup beside it. A PostgreSQL database must exist; its
            tables are created or upgraded.
        read_only: Open it for reading only, and never create or upgrade it. A file may lie on a
            medium that cannot be written.
        prices: A file of own prices (see `pricing`).
        progress: Is told how many reports of an upgrade are done, and how many there are.
        full_text: Whether SQLite searches with FTS5; by default where its build has it.
        create: Whether to create tables in a database that has none.

    Raises:
        StoreError: The database is missing (`read_only`), has no tables (not `create`), cannot be
            opened, belongs to another program, or a newer version has written it; or it is older
            (`read_only`), or `prices` cannot be read. It is left unchanged.

    """

    def __init__(  # noqa: PLR0913 - keywords
        self,
        source: str | PathLike[str],
        *,
        read_only: bool = False,
        prices: str | PathLike[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
        full_text: bool | None = None,
        create: bool = True,
    ) -> None:
        pricer = Pricer(None if prices is None else Path(prices))
        self._database = make_database(source, read_only=read_only, full_text=full_text)
        self.name = self._database.name
        """The file or URL as messages show it, without a password."""
        self._pricer = pricer
        self._writer: Writer | None = None
        try:
            if read_only:
                self._database.open_to_read()
            else:
                self._database.open_to_write(progress, create=create)
                self._writer = Writer(self._database, pricer)
            self.queries = Queries(self._database.engine, self._database.index)
            """Lists, single reports, traces and counts."""
        except DatabaseError as error:
            self.close()
            raise self._database.unusable(error) from error
        except StoreError:
            self.close()
            raise
        self.keys = Keys(self._database.engine, self._get_writer)
        """The API keys."""

    def add(
        self,
        report: dict[str, Any],
        *,
        idempotency_key: str | None = None,
        project: str = DEFAULT_PROJECT,
    ) -> Future[None]:
        """
        Store one valid report.

        The calling thread derives the columns; for a large report do that elsewhere, with
        `prepare_report()`, and call `add_prepared()`.

        Args:
            report: The report as parsed JSON, with the API's names.
            idempotency_key: If the same report of the project was stored before with this key,
                nothing is stored and the future succeeds.
            project: The project that it belongs to.

        Returns:
            A future that succeeds once the report is committed. It fails with
            StoreUnavailableError if nothing can be stored for now, with IdempotencyConflictError
            if the key was used for another report, else with SQLAlchemy's error.

        Raises:
            ValueError: The report has a number that JSON cannot express (NaN, infinity).
            StoreError: The store is closed, or opened to read.

        """
        return self.add_prepared(
            prepare_report(report), idempotency_key=idempotency_key, project=project
        )

    def add_prepared(
        self,
        prepared: PreparedReport,
        *,
        idempotency_key: str | None = None,
        project: str = DEFAULT_PROJECT,
    ) -> Future[None]:
        """Store one report of `prepare_report()`, as `add()` does."""
        key = get_key(idempotency_key) if idempotency_key else None
        return self._get_writer().add(prepared, key, project)

    def update_metadata(
        self,
        filters: Sequence[UpdateFilter],
        changes: Mapping[str, str | None],
        *,
        project: str = DEFAULT_PROJECT,
    ) -> Future[int]:
        """
        Change labels of all reports of a project that match.

        Args:
            filters: `{"field": "model" | "completionId" | "metadata.NAME" | "tags.NAME" |
                "reportId", "equals": value}`, all of which must hold; values are compared as
                strings. No filters match every report of the project.
            changes: The new values by name; None removes a label.
            project: The project whose reports change.

        Returns:
            A future of the number of reports that match. If there is none and a filter has the
            field `completionId`, the change is kept for an hour and applied when the report comes.
            It fails as that of `add()`.

        Raises:
            ValueError: A filter has another field.
            StoreError: The store is closed, or opened to read.

        """
        check_filters(filters)
        return self._get_writer().change(
            lambda connection: change_matching(
                connection, project, filters, changes, time.time() * 1_000
            )
        )

    def reprice(self) -> Future[int]:
        """
        Compute the cost of every report again, with the prices of this store.

        Returns:
            A future of the number of costs that have changed. It fails as that of `add()`.

        Raises:
            StoreError: The store is closed, or opened to read.

        """
        return self._get_writer().change(
            lambda connection: reprice_in_steps(connection, self._pricer)
        )

    def erase(
        self,
        wanted: Filter,
        *,
        progress: Callable[[int], None] | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> int:
        """
        Erase the reports that match, a few at a time beside other writes; returns how many.

        Their text may still be in free parts of the file until `wipe()`.

        Args:
            wanted: The conditions.
            progress: Is told how many are erased, after each step.
            is_stopped: Is asked before each step whether to leave the rest.

        Raises:
            StoreError: The database cannot be written for now, or the store is opened to read.
                What was erased until then is gone.

        """
        return self._make_eraser().erase(wanted, progress, is_stopped)

    def wipe(
        self, progress: Callable[[], None] | None = None, *, vacuuming: bool | None = None
    ) -> list[str]:
        """
        Wipe what erased reports have left in the database and in the search index.

        Args:
            progress: Is called after each step.
            vacuuming: Whether to write all anew, which makes it smaller too. It takes the size of
                the database on the disk, and keeps other programs from writing meanwhile. By
                default a file of up to `wiping.SMALL` is written anew.

        Returns:
            A sentence for each thing that may be left.

        Raises:
            StoreError: As of `erase()`.

        """
        return self._database.wipe(self._make_eraser().step, vacuuming, progress or _ignore)

    def back_up(
        self,
        target: Path,
        *,
        overwrite: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """
        Copy the database to a file, as it is at this moment; other programs may write meanwhile.

        Args:
            target: The file; only its owner can read it.
            overwrite: Whether to replace a file of that name.
            progress: Is told how many pages are copied, and how many there are.

        Raises:
            StoreError: The file exists or cannot be written, or the database is no file.

        """
        self._database.back_up(target, overwrite=overwrite, progress=progress)

    def copy_from(
        self, source: Store, *, progress: Callable[[int, int], None] | None = None
    ) -> int:
        """
        Copy all of another store that is missing here, in the calling thread; see `copying`.

        Args:
            source: The other store, whatever its database is.
            progress: Is told how many reports are here, and how many there will be.

        Returns:
            How many reports were copied. A run that was interrupted is continued by the next one.

        Raises:
            StoreError: This store holds something else, cannot be written, or is opened to read.

        """
        self._get_writer()
        return Copy(source._database, self._database, progress).run()

    def start(self) -> None:
        """Load the prices and complete the search index now, not with the first report."""
        self._get_writer().start()

    def recent(self, limit: int | None = None) -> list[StoredReport]:
        """Return the newest `limit` reports (default: all), the oldest of them first."""
        found: list[StoredReport] = []
        after: str | None = None
        while limit is None or len(found) < limit:
            wanted = MAX_LIMIT if limit is None else min(limit - len(found), MAX_LIMIT)
            rows, after = self.queries.list_reports(limit=wanted, after=after)
            found += rows
            if after is None:
                break
        return found[::-1]

    def report(self, report_id: int) -> dict[str, Any] | None:
        """Return the report with this id as it was posted, or None if there is none."""
        found = self.queries.get_report(report_id)
        return None if found is None else found.report

    def reports(self) -> Iterator[dict[str, Any]]:
        """Yield every report as it was posted, in order of arrival; 200 at a time are in memory."""
        for row in self.queries.iterate(payloads=True):
            yield row.report or {}

    def count(self) -> int:
        """Return the number of stored reports."""
        return self.queries.count()

    def check_usable(self) -> None:
        """
        Check that the database can be read, and is still the one that was opened.

        Raises:
            StoreUnavailableError: It is not.

        """
        self._database.check()
        try:
            self.queries.list_reports(limit=1)
        except DatabaseError as error:
            raise StoreUnavailableError(f"{self.name} cannot be read ({error.orig})") from error

    def close(self) -> None:
        """Commit the reports that were added, then close the file. May be called twice."""
        if self._writer is not None:
            self._writer.close()
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _make_eraser(self) -> Eraser:
        return Eraser(self._database, self.queries, self._get_writer())

    def _get_writer(self) -> Writer:
        if self._writer is None:
            raise StoreError(f"{self.name} is opened to read only")
        return self._writer


def _ignore() -> None:
    pass
