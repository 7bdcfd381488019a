"""
Creates the tables in a PostgreSQL database, upgrades older ones, and checks any other.

Alembic's own table `alembic_version` tells which they are. Whoever creates or upgrades holds an
advisory lock: of receivers that start at the same time, the others wait. All of it is one
transaction, for PostgreSQL's tables are created and changed in one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, MetaData, Table, func, inspect, select

from openpipe_report.server.store.dialects import INDEXED
from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.migrating import SCHEMA_VERSION
from openpipe_report.server.store.revisions import current_revision, stamp, upgrade
from openpipe_report.server.store.sqlite import APPLICATION_ID
from openpipe_report.server.store.tables import metadata, reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from openpipe_report.server.store.search_index import SearchIndex

last_ids = Table(
    "last_ids",
    MetaData(),  # SQLite counts the ids itself
    Column("last_id", BigInteger, nullable=False),
)
"""
One row: the highest id that was ever given to a report.

Whoever writes holds the lock of the row until its commit, so that reports are seen in the order of
their ids.
"""

_LABEL_INDEX = f"""
CREATE INDEX IF NOT EXISTS ix_labels_name_start ON labels (name, left(value, {INDEXED}), report_id)
"""

_log = logging.getLogger("openpipe_report.server")


def prepare(
    connection: Connection,
    name: str,
    index: SearchIndex,
    progress: Callable[[int, int], None] | None,
) -> None:
    """
    Make a database ready to be written to, inside a transaction.

    Args:
        connection: A connection inside a transaction.
        name: The database as messages show it.
        index: The search index to create.
        progress: Is told how many reports of an upgrade are done, and how many there are.

    Raises:
        StoreError: The tables are another program's, or a newer version's.

    """
    # Another receiver may be at an upgrade, which takes minutes.
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    schema = func.hashtext(func.current_schema())
    connection.execute(select(func.pg_advisory_xact_lock(APPLICATION_ID, schema)))
    _check_encoding(connection, name)
    if is_empty(connection):
        metadata.create_all(connection)
        stamp(connection)
    else:
        check(connection, name, upgradable=True)
        if current_revision(connection) != f"{SCHEMA_VERSION:04}":
            _log.warning("upgrading %s: if it fails, the database is as it was", name)
            upgrade(connection, progress)
    last_ids.create(connection, checkfirst=True)
    if connection.execute(select(func.count()).select_from(last_ids)).scalar_one() == 0:
        newest = connection.execute(select(func.max(reports.c.id))).scalar() or 0
        connection.execute(last_ids.insert().values(last_id=newest))
    connection.exec_driver_sql(_LABEL_INDEX)
    index.create(connection)


def check(connection: Connection, name: str, *, upgradable: bool = False) -> None:
    """
    Check that the tables are the receiver's and of this schema; write nothing.

    Raises:
        StoreError: There are none, or they are another program's, newer, or older (unless they
            are to be upgraded).

    """
    if is_empty(connection):
        raise StoreError(
            f"{name} has no reports: `openpipe-report serve --db {name}` creates the tables in it"
        )
    revision = current_revision(connection)
    if revision is None or not revision.isdecimal() or not inspect(connection).has_table("reports"):
        raise StoreError(
            f"{name} has tables of another program and was left unchanged: give a database or a "
            "schema of its own with --db (?options=-csearch_path%3DNAME)"
        )
    if int(revision) > SCHEMA_VERSION:
        raise StoreError(
            f"{name} was written by a newer openpipe-report (schema {int(revision)}, this one "
            f"knows {SCHEMA_VERSION}): upgrade with `pip install -U 'openpipe-report[postgres]'`"
        )
    if int(revision) < SCHEMA_VERSION and not upgradable:
        raise StoreError(
            f"{name} was written by an older openpipe-report (schema {int(revision)}): "
            f"`openpipe-report serve --db {name}` upgrades it"
        )


def is_empty(connection: Connection) -> bool:
    """Return whether the schema has neither our tables nor Alembic's."""
    present = inspect(connection)
    return not (present.has_table("reports") or present.has_table("alembic_version"))


def _check_encoding(connection: Connection, name: str) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"{name} has the encoding {encoding}, which cannot hold every text: create a database "
            "with ENCODING 'UTF8'"
        )
