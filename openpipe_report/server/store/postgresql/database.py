"""PostgreSQLDatabase: a database of a PostgreSQL server as the store's."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import select
from sqlalchemy.exc import DatabaseError

from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.postgresql.engine import make_engine
from openpipe_report.server.store.postgresql.failures import (
    as_store_error,
    driver_error,
    reason_of,
)
from openpipe_report.server.store.postgresql.schema import check, last_ids, prepare
from openpipe_report.server.store.postgresql.search import VectorIndex
from openpipe_report.server.store.postgresql.url import read_url, show_url

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection

    from openpipe_report.server.store.database import Step

_ERASED_FROM = ("report_search", "labels", "raw_reports", "reports", "pending_updates")
_LAST_ID = "openpipe_report_last_id"
"""Name in `Connection.info` of the highest id, while a transaction holds the lock."""


class PostgreSQLDatabase:
    """
    One database, which any number of receivers may write to.

    Only one transaction writes at a time, as in SQLite: it holds the lock of the row in `last_ids`.

    Raises:
        StoreError: The URL cannot be used.

    """

    def __init__(self, url: str, *, read_only: bool) -> None:
        found = read_url(url)
        self.name = show_url(found)
        self.index = VectorIndex()
        self.engine = make_engine(found, read_only=read_only)

    def open_to_read(self) -> None:
        with self.engine.connect() as connection:
            check(connection, self.name)

    def open_to_write(
        self, progress: Callable[[int, int], None] | None, *, create: bool = True
    ) -> None:
        with (
            self.engine.connect() as connection,
            self._transaction(connection, _execute("BEGIN"), _execute("COMMIT")),
        ):
            if not create:
                check(connection, self.name, upgradable=True)
            prepare(connection, self.name, self.index, progress)

    def prepare_to_write(self, connection: Connection) -> None:
        """Do nothing: all connections have the same settings."""

    @contextlib.contextmanager
    def transaction(self, connection: Connection) -> Generator[None, None, None]:
        with self._transaction(connection, _begin, _commit):
            yield

    def take_ids(self, connection: Connection, count: int) -> int:
        first: int = connection.info[_LAST_ID] + 1
        connection.info[_LAST_ID] += count
        return first

    def highest_id(self, connection: Connection) -> int:
        highest: int = connection.execute(select(last_ids.c.last_id)).scalar_one()
        return highest

    def note_id(self, connection: Connection, report_id: int) -> None:
        connection.info[_LAST_ID] = max(connection.info[_LAST_ID], report_id)

    def maintain(self, connection: Connection) -> None:
        """Do nothing: the server does."""

    def overwriting(self, connection: Connection) -> AbstractContextManager[None]:
        """Do nothing: only VACUUM removes what was erased."""
        del connection
        return contextlib.nullcontext()

    def wipe(self, step: Step, vacuuming: bool | None, progress: Callable[[], None]) -> list[str]:  # noqa: FBT001
        del step
        how = "VACUUM (FULL)" if vacuuming else "VACUUM"
        try:
            with self.engine.connect() as connection:
                for table in _ERASED_FROM:
                    connection.exec_driver_sql(f"{how} {table}")
                    progress()
        except (DatabaseError, psycopg.Error) as error:
            cause = driver_error(error)
            if cause is None:
                raise
            raise as_store_error(cause) from None
        left = ["The server's log of changes and its copies have what was erased until they end."]
        if not vacuuming:
            left.append(
                "Bytes may be left in free parts of the tables: --vacuum removes them, and nothing "
                "can be stored meanwhile."
            )
        return left

    def back_up(
        self, target: Path, *, overwrite: bool, progress: Callable[[int, int], None] | None
    ) -> None:
        del target, overwrite, progress
        raise StoreError(f"{self.name} is no file: copy it with `pg_dump --format=custom`")

    def check(self) -> None:
        """Do nothing: a connection belongs to its database."""

    def unusable(self, error: DatabaseError) -> StoreError:
        cause = driver_error(error)
        reason = "an unknown error" if cause is None else reason_of(cause)
        return StoreError(
            f"cannot use {self.name} ({reason}): check that the server runs, the URL, and the "
            "rights of the user"
        )

    @contextlib.contextmanager
    def _transaction(
        self,
        connection: Connection,
        begin: Callable[[Connection], object],
        commit: Callable[[Connection], object],
    ) -> Generator[None, None, None]:
        try:
            begin(connection)
            yield
            commit(connection)
        except BaseException as error:
            _roll_back(connection)
            cause = driver_error(error)
            if cause is None:
                raise
            raise as_store_error(cause) from None


def _execute(statement: str) -> Callable[[Connection], object]:
    return lambda connection: connection.exec_driver_sql(statement)


def _begin(connection: Connection) -> None:
    """Begin, take the lock and read the highest id, with one message to the server."""
    raw: Any = connection.connection.dbapi_connection
    with raw.cursor() as cursor:
        cursor.execute("BEGIN; SELECT last_id FROM last_ids FOR UPDATE")
        cursor.nextset()
        [connection.info[_LAST_ID]] = cursor.fetchone()


def _commit(connection: Connection) -> None:
    """Note the highest id and commit, with one message to the server."""
    highest = int(connection.info.pop(_LAST_ID))
    connection.exec_driver_sql(f"UPDATE last_ids SET last_id = {highest}; COMMIT")  # noqa: S608


def _roll_back(connection: Connection) -> None:
    """Roll back; a connection that cannot is given up, and the server rolls back itself."""
    if connection.invalidated:
        return
    try:
        connection.exec_driver_sql("ROLLBACK")
    except (DatabaseError, psycopg.Error):
        if not connection.invalidated:
            connection.invalidate()
