"""Database: what the store needs of a kind of database. SQLite and PostgreSQL each have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DatabaseError

    from openpipe_report.server.store.errors import StoreError
    from openpipe_report.server.store.search_index import SearchIndex

    Step = Callable[[Callable[[Connection], Any]], Any]
    """Runs a change in a transaction of its own, and returns its result."""


class Database(Protocol):
    """One database, open to read or to write. Its connections begin no transaction themselves."""

    @property
    def name(self) -> str:
        """The file or URL as messages show it, without a password."""
        ...

    @property
    def engine(self) -> Engine:
        """Makes the connections."""
        ...

    @property
    def index(self) -> SearchIndex:
        """The search index; known once the database is open."""
        ...

    def open_to_read(self) -> None:
        """Check that the tables are ours and of this schema; write nothing."""
        ...

    def open_to_write(
        self, progress: Callable[[int, int], None] | None, *, create: bool = True
    ) -> None:
        """
        Create the tables or upgrade them; `progress` is told of reports done, and how many.

        Raises:
            StoreError: The tables are another program's, or there are none and `create` is false.

        """
        ...

    def prepare_to_write(self, connection: Connection) -> None:
        """Make the settings of a connection that writes many rows."""
        ...

    def transaction(self, connection: Connection) -> AbstractContextManager[None]:
        """
        Run the block in a transaction that may write, while no other one does.

        Raises:
            StoreUnavailableError: Nothing can be written for now. Nothing of the block is stored.

        """
        ...

    def take_ids(self, connection: Connection, count: int) -> int:
        """
        Return the first of `count` ids for new reports, inside a transaction.

        Ids are higher than any before, and are seen in this order: whoever has read a report finds
        none with a lower id later. Those of a transaction that fails are given again.
        """
        ...

    def highest_id(self, connection: Connection) -> int:
        """Return the highest id that was ever given to a report; 0 if none was."""
        ...

    def note_id(self, connection: Connection, report_id: int) -> None:
        """Give no id up to this one to a new report, inside a transaction."""
        ...

    def maintain(self, connection: Connection) -> None:
        """Do what is due every ten seconds or so, between two transactions."""
        ...

    def overwriting(self, connection: Connection) -> AbstractContextManager[None]:
        """Let what the block erases be overwritten, as far as that is possible at once."""
        ...

    def wipe(self, step: Step, vacuuming: bool | None, progress: Callable[[], None]) -> list[str]:  # noqa: FBT001
        """Wipe what erased reports have left; see `Store.wipe()`."""
        ...

    def back_up(
        self, target: Path, *, overwrite: bool, progress: Callable[[int, int], None] | None
    ) -> None:
        """Copy the database to a file; see `Store.back_up()`."""
        ...

    def check(self) -> None:
        """Raise StoreUnavailableError if the database is no longer the one that was opened."""
        ...

    def unusable(self, error: DatabaseError) -> StoreError:
        """Return the error that names the database, its driver's message, and the remedy."""
        ...
