"""
Creates the tables in an empty file, upgrades an older one, and checks any other.

Alembic knows the steps. SQLite's `user_version` is the number of the schema too, so that the first
edition refuses a newer file, and `application_id` marks the files as the receiver's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from openpipe_report.server.store.backing_up import back_up
from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.revisions import current_revision, stamp, upgrade
from openpipe_report.server.store.search_index import prepare_index
from openpipe_report.server.store.sqlite import (
    APPLICATION_ID,
    highest_id,
    note_id,
    transaction,
    unusable,
)
from openpipe_report.server.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from openpipe_report.server.store.search_index import SearchIndex

SCHEMA_VERSION = 3

_log = logging.getLogger("openpipe_report.server")


def prepare(
    engine: Engine,
    path: Path,
    index: SearchIndex,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """
    Make a file ready to be written to, each step in one transaction.

    An older file is copied to `NAME.schema-N.backup` beside it first, then upgraded. If the upgrade
    fails or is interrupted, the file is as it was.

    Args:
        engine: The engine of the file, which exists.
        path: The file.
        index: The search index to create.
        progress: Is told how many reports of an upgrade are done, and how many there are.

    Raises:
        StoreError: The file is not an SQLite database, belongs to another program, or a newer
            version has written it.

    """
    try:
        with engine.connect() as connection:
            if not _is_empty(connection):
                check(connection, path, upgradable=True)
                version = _integer(connection, "PRAGMA user_version")
                if version < SCHEMA_VERSION:
                    backup = path.with_name(f"{path.name}.schema-{version}.backup")
                    _log.warning("upgrading %s; a backup is at %s", path, backup)
                    back_up(connection, backup, overwrite=True)
                    path.chmod(0o600)
            with transaction(connection):
                if _is_empty(connection):
                    _create(connection)
                else:
                    _upgrade(connection, progress)
                prepare_index(connection, index)
            check(connection, path)
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    except DatabaseError as error:
        raise unusable(path, error) from error


def check(connection: Connection, path: Path, *, upgradable: bool = False) -> None:
    """
    Check that the file is the receiver's and of this schema; write nothing.

    Raises:
        StoreError: It is another file, newer, or older (unless it is to be upgraded).

    """
    if _is_empty(connection):
        raise StoreError(
            f"{path} is an empty file: `openpipe-report serve --db {path}` creates the tables in it"
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
    if version < SCHEMA_VERSION and not upgradable:
        raise StoreError(
            f"{path} was written by an older openpipe-report (schema {version}): "
            f"`openpipe-report serve --db {path}` upgrades it, with a backup beside it"
        )


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    stamp(connection)
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _upgrade(connection: Connection, progress: Callable[[int, int], None] | None) -> None:
    if _integer(connection, "PRAGMA user_version") < SCHEMA_VERSION:
        given = highest_id(connection)
        if current_revision(connection) is None:
            stamp(connection, "0001")  # the first edition did not use Alembic
        upgrade(connection, progress)
        note_id(connection, given)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _is_empty(connection: Connection) -> bool:
    return _integer(connection, "SELECT count(*) FROM sqlite_master") == 0


def _integer(connection: Connection, query: str) -> int:
    return int(connection.exec_driver_sql(query).scalar_one())
