"""
The stored reports of one SQLite file, through SQLAlchemy.

`Store.add()` guarantees that the report is committed (WAL, `synchronous=FULL`) when its future
succeeds. It then survives a crash of the process and of the machine.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import create_engine, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from openpipe_report.server.columns import summarize
from openpipe_report.server.schema import (
    StoredReport,
    StoreError,
    check,
    prepare,
    unusable,
)
from openpipe_report.server.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from os import PathLike
    from sqlite3 import Connection as SQLiteConnection
    from types import TracebackType

    from sqlalchemy import Engine
    from typing_extensions import Self

BUSY_TIMEOUT = 5.0
"""Seconds to wait while another process writes to the same file."""

_MAX_ID = 2**63 - 1


class Store:
    """
    The stored reports of one file. Safe to use from any thread; a context manager.

    Args:
        path: The database file. It is created if it is missing; its folder must exist.
        read_only: Open the file for reading only, and never create it.

    Raises:
        StoreError: The file is missing (`read_only`), cannot be opened, is not an SQLite database,
            belongs to another program, or a newer version has written it. It is left unchanged.

    """

    def __init__(self, path: str | PathLike[str], *, read_only: bool = False) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a folder: give a file with --db")
        if read_only and not self.path.exists():
            raise StoreError(
                f"there is no database at {self.path}: `openpipe-report serve --db {self.path}` "
                "creates it, or give another file with --db"
            )
        if not self.path.absolute().parent.is_dir():
            raise StoreError(f"the folder of {self.path} does not exist: create it first")
        self._engine = _make_engine(self.path, read_only=read_only)
        self._writer = Writer(self._engine)
        try:
            if read_only:
                self._check()
            else:
                prepare(self._engine, self.path)
        except StoreError:
            self.close()
            raise

    def add(self, report: dict[str, Any], *, idempotency_key: str | None = None) -> Future[None]:
        """
        Store one valid report.

        Args:
            report: The report as parsed JSON, with the API's names.
            idempotency_key: If a report with this key was stored before, nothing is stored and
                the future succeeds.

        Returns:
            A future that succeeds once the report is committed, and fails if the commit fails.

        Raises:
            ValueError: The report has a number that JSON cannot express (NaN, infinity).
            StoreError: The store is closed.

        """
        return self.add_row(make_row(report), idempotency_key=idempotency_key)

    def add_row(self, row: dict[str, Any], *, idempotency_key: str | None = None) -> Future[None]:
        """Store a row of `make_row`; as `add`."""
        return self._writer.add(
            {**row, "stored_at": time.time() * 1_000, "idempotency_key": idempotency_key or None}
        )

    def recent(self, limit: int | None = None) -> list[StoredReport]:
        """Return the newest `limit` reports (default: all), the oldest of them first."""
        limit = None if limit is None else min(limit, _MAX_ID)
        query = select(StoredReport).order_by(StoredReport.id.desc()).limit(limit)
        with Session(self._engine) as session:
            return list(session.scalars(query))[::-1]

    def report(self, report_id: int) -> dict[str, Any] | None:
        """Return the report with this id as it was posted, or None if there is none."""
        if not 0 < report_id <= _MAX_ID:
            return None
        query = select(StoredReport.report).where(StoredReport.id == report_id)
        with Session(self._engine) as session:
            found = session.scalar(query)
        return None if found is None else cast("dict[str, Any]", json.loads(found))

    def reports(self) -> Iterator[dict[str, Any]]:
        """Yield every report as it was posted, in order of arrival; 100 at a time are in memory."""
        query = select(StoredReport.report).order_by(StoredReport.id)
        with Session(self._engine) as session:
            for found in session.scalars(query.execution_options(yield_per=100)):
                yield json.loads(found)

    def count(self) -> int:
        """Return the number of stored reports."""
        with Session(self._engine) as session:
            return session.scalar(select(func.count(StoredReport.id))) or 0

    def close(self) -> None:
        """Commit the reports that were added, then close the file. May be called twice."""
        self._writer.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self) -> None:
        try:
            with self._engine.connect() as connection:
                check(connection, self.path)
        except DatabaseError as error:
            raise unusable(self.path, error) from error


def make_row(report: dict[str, Any], text: str | None = None) -> dict[str, Any]:
    """
    Return the columns of a report that depend on it alone. It is a pure function.

    Args:
        report: The report as parsed JSON, with the API's names.
        text: Its JSON in ASCII, if that is known.

    Raises:
        ValueError: The report has a number that JSON cannot express (NaN, infinity).

    """
    if text is None:
        text = json.dumps(report, allow_nan=False, separators=(",", ":"))
    return {"report": text, **summarize(report)}


def _make_engine(path: Path, *, read_only: bool) -> Engine:
    # hide_parameters: the text of an error of SQLAlchemy's must not contain a report.
    engine = create_engine(
        URL.create("sqlite", database=str(path.absolute())),
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: SQLiteConnection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.execute("PRAGMA synchronous = FULL")
        if read_only:
            connection.execute("PRAGMA query_only = ON")

    return engine
