"""
The table of stored reports, and the check of a file before it is used.

The report is kept whole, as ASCII JSON, in `report`; the other columns are derived from it for
lists and searches, so a later version can add columns and fill them again. The schema's version
is SQLite's `user_version`; `application_id` tells our files from other programs'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from openpipe_report._errors import OpenPipeError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

SCHEMA_VERSION = 1
APPLICATION_ID = int.from_bytes(b"OPRp", "big")


class StoreError(OpenPipeError):
    """A database file cannot be used; the message names the file and the remedy."""


class Base(DeclarativeBase):
    """Base of the receiver's tables."""


class StoredReport(Base):
    """
    One stored report. Derived columns are best effort: what cannot be derived is null.

    Lists load every column but `report`; read that with `Store.report()`.
    """

    __tablename__ = "reports"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    """Number in order of arrival, from 1; never used twice."""
    stored_at: Mapped[float]
    """When the receiver took the report: Unix time in milliseconds, by its own clock."""
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    """The `Idempotency-Key` header, if one came."""
    requested_at: Mapped[float | None]
    """`requestedAt`: Unix time in milliseconds."""
    duration_ms: Mapped[float | None]
    """`receivedAt` minus `requestedAt`, in milliseconds."""
    endpoint: Mapped[str | None]
    """The tag `$endpoint`."""
    model: Mapped[str | None]
    """The answer's model, else the request's."""
    status: Mapped[int | None]
    """`statusCode`."""
    prompt_tokens: Mapped[int | None]
    """The answer's `usage.prompt_tokens` or `usage.input_tokens`."""
    completion_tokens: Mapped[int | None]
    """The answer's `usage.completion_tokens` or `usage.output_tokens`."""
    total_tokens: Mapped[int | None]
    """The answer's `usage.total_tokens`."""
    error: Mapped[str | None]
    """`errorMessage`, at most 1,000 characters of it."""
    metadata_json: Mapped[str | None] = mapped_column(Text)
    """ASCII JSON object: own tags (names without `$`), `reqPayload.metadata` laid over them."""
    report: Mapped[str] = mapped_column(Text, deferred=True)
    """The whole report as ASCII JSON."""


def prepare(engine: Engine, path: Path) -> None:
    """
    Make an empty file ours, and check any other, in one transaction.

    Raises:
        StoreError: The file is no SQLite database, another program's, or a newer version's.

    """
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if _count_tables(connection) == 0:
                Base.metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
            check(connection, path)
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    except DatabaseError as error:
        raise unusable(path, error) from error


def check(connection: Connection, path: Path) -> None:
    """
    See that the file is one of ours and not newer than this code; write nothing.

    Raises:
        StoreError: It is not.

    """
    if _count_tables(connection) == 0:
        raise StoreError(f"{path} is empty: `openpipe-report serve --db {path}` makes it a store")
    if _integer(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StoreError(
            f"{path} is the SQLite database of another program, left as it is: "
            "give another file with --db"
        )
    version = _integer(connection, "PRAGMA user_version")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer openpipe-report (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): upgrade with `pip install -U 'openpipe-report[server]'`"
        )


def unusable(path: Path, error: DatabaseError) -> StoreError:
    """Say what SQLite said about a file, and what to do."""
    reason = str(error.orig)
    if "not a database" in reason:
        return StoreError(f"{path} is not an SQLite database: give another file with --db")
    return StoreError(
        f"cannot use {path} ({reason}): check its folder, rights and disk space, "
        "or give another file with --db"
    )


def _count_tables(connection: Connection) -> int:
    return _integer(connection, "SELECT count(*) FROM sqlite_master")


def _integer(connection: Connection, query: str) -> int:
    return int(connection.exec_driver_sql(query).scalar_one())
