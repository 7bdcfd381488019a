"""
Wipes what erased reports have left in an SQLite file. SQLite only.

SQLite marks erased rows and pages as free and leaves their bytes as they are, FTS5 adds marks to
its index, and the `-wal` keeps old pages. So, a short transaction at a time: the index is merged,
which drops what is marked; the free pages are filled with zeros; and the `-wal` is emptied.

The pages of an index may still have, in bytes that are not in use, copies of keys that have moved
to other pages: ids, names, labels. They are gone once the file is written anew, in one transaction
that lets nothing else be written. This is done without being asked for where it takes a second.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from openpipe_report.server.store.errors import StoreUnavailableError
from openpipe_report.server.store.sqlite import BUSY_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from openpipe_report.server.store.database import Step

SMALL = 128 * 2**20
"""Size in bytes up to which a file is written anew."""

_MERGED_PAGES = 200
_WIPED_PAGES = 256
_FEW_PAGES = 4
_TABLE = "wiped_pages"
_WAIT_FOR_READERS = 10.0
_WAL_TIMEOUT_MS = 100
_WAL_PAUSE = 0.1


def wipe(
    step: Step,
    connect: Callable[[], Connection],
    path: Path,
    vacuuming: bool | None,  # noqa: FBT001 - as `Store.wipe()` has it
    progress: Callable[[], None],
) -> list[str]:
    """Wipe what erased reports have left; see `Store.wipe()`."""
    _merge_index(step, progress)
    if vacuuming is None:
        vacuuming = path.stat().st_size <= SMALL
    if vacuuming:
        _vacuum(connect)
    else:
        _wipe_free_pages(step, progress)
    left = [
        f"An upgrade has kept the reports in {backup}: remove it." for backup in _find_backups(path)
    ]
    if not vacuuming:
        left.append(
            "Ids and labels may be left in unused bytes of the file: --vacuum removes them, while "
            "nothing can be stored."
        )
    if not _empty_wal(connect, progress):
        left.append(
            f"Some pages may be left in {path}-wal, which somebody uses all the time: run it again "
            "later."
        )
    return left


def _find_backups(path: Path) -> Iterator[Path]:
    """Yield the copies that upgrades have left beside the file."""
    return iter(sorted(path.parent.glob(f"{_literal(path.name)}.schema-*.backup")))


def _literal(name: str) -> str:
    return "".join(f"[{one}]" if one in "*?[" else one for one in name)


def _merge_index(step: Step, progress: Callable[[], None]) -> None:
    """Merge the FTS5 index into one part, which has nothing of the reports that were removed."""
    if not step(lambda connection: _has_table(connection, "report_search")):
        return
    # A negative number starts the merge of all parts; positive ones continue it. Reports that come
    # meanwhile are in new parts, which could be merged for ever.
    wanted = step(_count_index_pages) * 2 // _MERGED_PAGES + 2
    changed = step(lambda connection: _merge(connection, -_MERGED_PAGES))
    for _ in range(wanted):
        if changed <= 1:
            return
        progress()
        changed = step(lambda connection: _merge(connection, _MERGED_PAGES))


def _wipe_free_pages(step: Step, progress: Callable[[], None]) -> None:
    """Fill all free pages with zeros: a table takes them, and is dropped."""
    step(_drop)
    step(lambda connection: connection.exec_driver_sql(f"CREATE TABLE {_TABLE} (filler BLOB)"))
    free = step(_count_free_pages)
    for _ in range(free // _WIPED_PAGES + 1):
        if step(_fill) < _FEW_PAGES:
            break
        progress()
    while step(_remove_filler):
        progress()
    step(_drop)


def _vacuum(connect: Callable[[], Connection]) -> None:
    with connect() as connection:
        try:
            connection.exec_driver_sql("VACUUM")
        except DatabaseError as error:
            raise StoreUnavailableError(f"cannot write the file anew: {error.orig}") from error


def _empty_wal(connect: Callable[[], Connection], progress: Callable[[], None]) -> bool:
    """Empty the `-wal`; False if somebody read or wrote for too long."""
    deadline = time.monotonic() + _WAIT_FOR_READERS
    while time.monotonic() < deadline:
        with connect() as connection:
            # Nothing is stored while it waits for somebody who reads.
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_WAL_TIMEOUT_MS}")
            is_busy = True
            with contextlib.suppress(DatabaseError):
                query = "PRAGMA wal_checkpoint(TRUNCATE)"
                is_busy = bool(connection.exec_driver_sql(query).one()[0])
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1_000)}")
        if not is_busy:
            return True
        progress()
        time.sleep(_WAL_PAUSE)
    return False


def _has_table(connection: Connection, name: str) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
    return bool(connection.exec_driver_sql(query, (name,)).scalar_one())


def _count_index_pages(connection: Connection) -> int:
    query = "SELECT count(*) FROM report_search_data"
    return int(connection.exec_driver_sql(query).scalar_one())


def _merge(connection: Connection, pages: int) -> int:
    """Merge about so many pages; return how many rows of the index have changed."""
    before = _total_changes(connection)
    connection.exec_driver_sql(
        "INSERT INTO report_search(report_search, rank) VALUES ('merge', ?)", (pages,)
    )
    return _total_changes(connection) - before


def _total_changes(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())


def _count_free_pages(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def _fill(connection: Connection) -> int:
    """Let some free pages become the table's; return how many are left."""
    page = int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    pages = min(_WIPED_PAGES, _count_free_pages(connection) + 1)
    query = f"INSERT INTO {_TABLE} VALUES (zeroblob(?))"  # noqa: S608 - a name of our own
    connection.exec_driver_sql(query, (pages * page,))
    return _count_free_pages(connection)


def _remove_filler(connection: Connection) -> int:
    query = f"DELETE FROM {_TABLE} WHERE rowid = (SELECT max(rowid) FROM {_TABLE})"  # noqa: S608
    return connection.exec_driver_sql(query).rowcount


def _drop(connection: Connection) -> None:
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_TABLE}")
