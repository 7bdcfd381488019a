"""
The table of stored reports, and the check that a file has it.

The column `report` has the whole report as ASCII JSON. The other columns are derived from it for
lists and searches, so a later version can add a column and fill it for old reports. SQLite's
`user_version` is the version of the schema; `application_id` marks the files as the receiver's.
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
    """A file cannot be used as the database; the message names the file and the remedy."""


class Base(DeclarativeBase):
    """Base of the receiver's tables."""


class StoredReport(Base):
    """
    One stored report. A derived column is null if the report has no usable value for it.

    Lists load every column except `report`, which `Store.report()` reads.
    """

    __tablename__ = "reports"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    """Number in order of arrival, from 1; it is never reused."""
    stored_at: Mapped[float]
    """When the receiver got the report: Unix time in milliseconds, by the receiver's clock."""
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    """The header `Idempotency-Key`; null if the request had none."""
    requested_at: Mapped[float | None]
    """`requestedAt`: Unix time in milliseconds."""
    duration_ms: Mapped[float | None]
    """`receivedAt` minus `requestedAt`, in milliseconds."""
    endpoint: Mapped[str | None]
    """The tag `$endpoint`."""
    model: Mapped[str | None]
    """The response's model, or else the request's."""
    status: Mapped[int | None]
    """`statusCode`."""
    prompt_tokens: Mapped[int | None]
    """The response's `usage.prompt_tokens` or `usage.input_tokens`."""
    completion_tokens: Mapped[int | None]
    """The response's `usage.completion_tokens` or `usage.output_tokens`."""
    total_tokens: Mapped[int | None]
    """The response's `usage.total_tokens`."""
    error: Mapped[str | None]
    """The first 1,000 characters of `errorMessage`."""
    metadata_json: Mapped[str | None] = mapped_column(Text)
    """ASCII JSON object of the labels: tags without `$`, overridden by `reqPayload.metadata`."""
    report: Mapped[str] = mapped_column(Text, deferred=True)
    """The whole report as ASCII JSON."""


def prepare(engine: Engine, path: Path) -> None:
    """
    Create the table in an empty file, or check any other file, in one transaction.

    Raises:
        StoreError: The file is not an SQLite database, belongs to another program, or a newer
            version has written it.

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
    Check that the file is the receiver's and not newer than this code; write nothing.

    Raises:
        StoreError: It is another file, or newer.

    """
    if _count_tables(connection) == 0:
        raise StoreError(
            f"{path} is an empty file: `openpipe-report serve --db {path}` creates the table in it"
        )
    if _integer(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StoreError(
            f"{path} is the SQLite database of another program and was left unchanged: "
            "give another file with --db"
        )
    version = _integer(connection, "PRAGMA user_version")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer openpipe-report (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): upgrade with `pip install -U 'openpipe-report[server]'`"
        )


def unusable(path: Path, error: DatabaseError) -> StoreError:
    """Return the error that names a file, SQLite's message about it, and the remedy."""
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
