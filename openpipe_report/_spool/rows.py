"""
The spool's rows: how they are added, settled, taken over and counted, as SQL on one connection.

A row's owner answers for it. Rows whose owner is gone, or has left, are orphans: the next process
with the same destination takes them over.
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
    """Where a report goes, as the file knows it."""

    base_url: str
    key_hash: str
    """HMAC of the API key with the file's salt, hexadecimal; empty without a key."""


class SpooledReport(NamedTuple):
    """A report as it lies in the file."""

    key: str
    body: bytes


class DestinationCounts(NamedTuple):
    """How many reports a file holds for one destination."""

    destination: Destination
    orphaned: int
    """Nobody is about to deliver them."""
    owned: int
    """Running processes are about to deliver them."""
    dead_letters: int
    """They were rejected, or given up."""


class Rows:
    """The rows of one file as one owner deals with them; each method is a transaction."""

    def __init__(self, connection: sqlite3.Connection, owner: Owner) -> None:
        self._connection = connection
        self._owner = owner

    def add(self, destination: Destination, added: Sequence[SpooledReport]) -> None:
        """
        Add new rows of this owner, all or none.

        It is what a report waits for, and SQLite gives up the GIL at each step of a statement: a
        thread that computes keeps it for 5 ms each time. So one statement adds many rows, and it
        is a transaction by itself where it can be.
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
        Write down ends; rows that are not there any more are no error.

        Args:
            removed: Keys of what was delivered.
            dead_lettered: Keys, and why these rows are dead letters from now on.
            released: Keys of what another owner may take over.
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
        """Delete the oldest dead letters until `wanted` bytes are free; return how many."""
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
        Take over what no living owner answers for; no two owners ever get the same row.

        Args:
            destination: Only rows that go there.
            reports: How many at the most.
            size: How many bytes at the most; if that is above 0, the first row may be larger.
            dead_letters: Take these, too; from now on they are waiting again.
        """
        which = "FROM reports WHERE base_url = ? AND key_hash = ?"
        if not dead_letters:
            which += " AND rejected_at IS NULL"
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
        """Say that this owner lives."""
        owner = self._owner
        self._connection.execute(
            "INSERT OR REPLACE INTO owners (id, host, pid, started, heartbeat)"
            " VALUES (?, ?, ?, ?, ?)",
            (owner.id, owner.host, owner.pid, owner.started, time.time()),
        )

    def release_all(self) -> int:
        """Let others take over the rows of this owner; return how many wait."""
        mine = "SELECT count(*) FROM reports WHERE rejected_at IS NULL AND owner = ?"
        with transaction(self._connection) as connection:
            left = integer(connection, mine, self._owner.id)
            connection.execute("DELETE FROM owners WHERE id = ?", (self._owner.id,))
        return left

    def count_by_destination(self) -> list[DestinationCounts]:
        """Count what the file holds, by destination."""
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
