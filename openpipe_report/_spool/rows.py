"""
The SQL on a spool's rows: add, resolve, claim and count them.

The owner of a row is the process that is about to deliver it. A row without a living owner is an
orphan; the next process with the same destination claims it.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from openpipe_report._spool.owner import Owner
from openpipe_report._spool.schema import integer, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_ROWS_PER_STATEMENT = 100
_ORPHAN = "(owner IS NULL OR owner NOT IN (SELECT id FROM owners))"


class Destination(NamedTuple):
    """The server and API key that a report is to be sent with, as the file identifies them."""

    base_url: str
    key_hash: str
    """Hexadecimal HMAC of the API key, made with the file's salt; empty without a key."""


class SpooledReport(NamedTuple):
    """A report as the file holds it."""

    key: str
    """The Idempotency-Key."""
    body: bytes
    """The JSON that is sent."""


class DestinationCounts(NamedTuple):
    """How many reports a file holds for one destination."""

    destination: Destination
    orphaned: int
    """Reports without a living owner."""
    owned: int
    """Reports that a running process is about to deliver."""
    dead_letters: int
    """Reports that the server rejected, or whose retries have ended without success."""


class Rows:
    """The rows of one file, used on behalf of one owner. Each method is one transaction."""

    def __init__(self, connection: sqlite3.Connection, owner: Owner) -> None:
        self._connection = connection
        self._owner = owner

    def add(self, destination: Destination, added: Sequence[SpooledReport]) -> None:
        """
        Add rows with this owner, all or none.

        Speed matters, because a report is not sent before it is added. SQLite releases the GIL at
        each step of a statement, and a thread that computes then keeps it for 5 ms. So one
        statement adds many rows, and a single statement goes without a transaction around it.
        """
        common = (*destination, self._owner.id, time.time())
        batches = [
            added[start : start + _ROWS_PER_STATEMENT]
            for start in range(0, len(added), _ROWS_PER_STATEMENT)
        ]
        with transaction(self._connection) if len(batches) > 1 else nullcontext():
            for rows in batches:
                self._connection.execute(
                    "INSERT OR IGNORE INTO reports"  # noqa: S608 - only placeholders
                    " (base_url, key_hash, owner, created_at, key, body)"
                    f" VALUES {_placeholders(rows, '(?, ?, ?, ?, ?, ?)')}",
                    [value for row in rows for value in (*common, *row)],
                )

    def resolve(
        self,
        removed: Sequence[str] = (),
        dead_lettered: Sequence[tuple[str, str]] = (),
        released: Sequence[str] = (),
    ) -> None:
        """
        Record the outcome of stored reports. A key without a row is ignored.

        Args:
            removed: Keys of delivered reports; their rows are deleted.
            dead_lettered: Keys and reasons of reports that become dead letters.
            released: Keys of reports that any owner may claim.
        """
        now = time.time()
        with transaction(self._connection) as connection:
            for action, keys in (
                ("DELETE FROM reports", removed),
                ("UPDATE reports SET owner = NULL", released),
            ):
                for start in range(0, len(keys), _ROWS_PER_STATEMENT):
                    some = keys[start : start + _ROWS_PER_STATEMENT]
                    connection.execute(f"{action} WHERE key IN ({_placeholders(some, '?')})", some)
            if dead_lettered:
                connection.executemany(
                    "UPDATE reports SET owner = NULL, rejected_at = ?, reason = ? WHERE key = ?",
                    [(now, reason, key) for key, reason in dead_lettered],
                )

    def make_room(self, wanted: int) -> int:
        """Delete the oldest dead letters until `wanted` bytes are free; return their number."""
        dead = "SELECT number, length(body) FROM reports WHERE rejected_at IS NOT NULL"
        doomed: list[tuple[int]] = []
        with transaction(self._connection) as connection:
            for number, size in connection.execute(f"{dead} ORDER BY number"):
                if wanted <= 0:
                    break
                doomed.append((number,))
                wanted -= size
            connection.executemany("DELETE FROM reports WHERE number = ?", doomed)
        return len(doomed)

    def claim(
        self, destination: Destination, reports: int, size: int, *, dead_letters: bool = False
    ) -> list[SpooledReport]:
        """
        Become the owner of orphans, the oldest first. No two owners ever claim the same row.

        Args:
            destination: Only reports with this destination are claimed.
            reports: Maximum number of reports.
            size: Maximum number of bytes; if above 0, the first report may be larger.
            dead_letters: Whether to claim dead letters as well; they stop being dead letters.

        Returns:
            The claimed reports.
        """
        which = "FROM reports WHERE base_url = ? AND key_hash = ?"
        if not dead_letters:
            which += " AND rejected_at IS NULL"
        # Checked first without a write lock: usually there is no row of another owner.
        others = f"SELECT 1 {which} AND owner IS NOT ? LIMIT 1"
        mine = (*destination, self._owner.id)
        if size <= 0 or self._connection.execute(others, mine).fetchone() is None:
            return []
        orphans = f"SELECT number, length(body) {which} AND {_ORPHAN} ORDER BY number LIMIT ?"
        chosen: list[int] = []
        with transaction(self._connection) as connection:
            self._delete_dead_owners()
            for number, length in connection.execute(orphans, (*destination, reports)):
                if chosen and length > size:
                    break
                size -= length
                chosen.append(number)
            connection.executemany(
                "UPDATE reports SET owner = ?, rejected_at = NULL, reason = NULL WHERE number = ?",
                ((self._owner.id, number) for number in chosen),
            )
            row = "SELECT key, body FROM reports WHERE number = ?"
            return [SpooledReport(*connection.execute(row, (n,)).fetchone()) for n in chosen]

    def _delete_dead_owners(self) -> None:
        now = time.time()
        found = self._connection.execute("SELECT id, host, pid, started, heartbeat FROM owners")
        owners = [Owner(*row) for row in found]
        dead = [one for one in owners if one.id != self._owner.id and one.is_dead(now)]
        self._connection.executemany(
            "DELETE FROM owners WHERE id = ?", ((owner.id,) for owner in dead)
        )

    def heartbeat(self) -> None:
        """Record that this owner is alive."""
        owner = self._owner
        self._connection.execute(
            "INSERT OR REPLACE INTO owners (id, host, pid, started, heartbeat)"
            " VALUES (?, ?, ?, ?, ?)",
            (owner.id, owner.host, owner.pid, owner.started, time.time()),
        )

    def release_all(self) -> int:
        """Delete this owner, so that its rows are orphans; return how many rows it had."""
        mine = "SELECT count(*) FROM reports WHERE rejected_at IS NULL AND owner = ?"
        with transaction(self._connection) as connection:
            remaining = integer(connection, mine, self._owner.id)
            connection.execute("DELETE FROM owners WHERE id = ?", (self._owner.id,))
        return remaining

    def count_by_destination(self) -> list[DestinationCounts]:
        """Count the reports in the file by destination."""
        counts = (
            "SELECT base_url, key_hash,"  # noqa: S608 - a constant
            f" sum(rejected_at IS NULL AND {_ORPHAN}),"
            f" sum(rejected_at IS NULL AND NOT {_ORPHAN}),"
            " sum(rejected_at IS NOT NULL)"
            " FROM reports GROUP BY base_url, key_hash ORDER BY base_url, min(number)"
        )
        with transaction(self._connection) as connection:
            self._delete_dead_owners()
            found = connection.execute(counts).fetchall()
        return [DestinationCounts(Destination(*row[:2]), *row[2:]) for row in found]


def _placeholders(values: Sequence[object], place: str) -> str:
    return ", ".join([place] * len(values))
