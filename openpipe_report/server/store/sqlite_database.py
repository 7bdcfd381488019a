"""SQLiteDatabase: one SQLite file as the store's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openpipe_report.server.store import sqlite
from openpipe_report.server.store.backing_up import back_up
from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.migrating import check, prepare
from openpipe_report.server.store.search_index import choose_index
from openpipe_report.server.store.wiping import wipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.exc import DatabaseError

    from openpipe_report.server.store.database import Step
    from openpipe_report.server.store.search_index import SearchIndex


class SQLiteDatabase:
    """
    One file. It is created if it is missing, and opened by `open_to_read()` or `open_to_write()`.

    Raises:
        StoreError: The path is a folder or its folder is missing; the file cannot be created, or
            is missing (`read_only`).

    """

    def __init__(self, path: Path, *, read_only: bool, full_text: bool | None) -> None:
        self._path = path
        self._full_text = full_text
        self._index: SearchIndex | None = None
        self._identity: sqlite.FileIdentity | None = None
        self._check_path(read_only=read_only)
        if not read_only:
            self._create_file()
        self.engine = sqlite.make_engine(path, read_only=read_only)

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def index(self) -> SearchIndex:
        if self._index is None:
            with self.engine.connect() as connection:
                self._index = choose_index(connection, full_text=self._full_text)
        return self._index

    def open_to_read(self) -> None:
        with self.engine.connect() as connection:
            check(connection, self._path)

    def open_to_write(
        self, progress: Callable[[int, int], None] | None, *, create: bool = True
    ) -> None:
        if not create:
            with self.engine.connect() as connection:
                check(connection, self._path, upgradable=True)
        prepare(self.engine, self._path, self.index, progress)
        self._identity = sqlite.FileIdentity(self._path)

    def prepare_to_write(self, connection: Connection) -> None:
        sqlite.prepare_to_write(connection)

    def transaction(self, connection: Connection) -> AbstractContextManager[None]:
        return sqlite.transaction(connection, self._identity)

    def take_ids(self, connection: Connection, count: int) -> int:
        del count  # SQLite notes the highest id of the inserted rows itself
        return self.highest_id(connection) + 1

    def highest_id(self, connection: Connection) -> int:
        return sqlite.highest_id(connection)

    def note_id(self, connection: Connection, report_id: int) -> None:
        sqlite.note_id(connection, report_id)

    def maintain(self, connection: Connection) -> None:
        sqlite.empty_wal(connection, self._path)

    def overwriting(self, connection: Connection) -> AbstractContextManager[None]:
        return sqlite.overwriting(connection)

    def wipe(self, step: Step, vacuuming: bool | None, progress: Callable[[], None]) -> list[str]:  # noqa: FBT001
        return wipe(step, self.engine.connect, self._path, vacuuming, progress)

    def back_up(
        self, target: Path, *, overwrite: bool, progress: Callable[[int, int], None] | None
    ) -> None:
        if target.exists() and target.samefile(self._path):
            raise StoreError(f"{target} is the database itself: name another file")
        with self.engine.connect() as connection:
            back_up(connection, target, overwrite=overwrite, progress=progress)

    def check(self) -> None:
        if self._identity is not None:
            self._identity.check()

    def unusable(self, error: DatabaseError) -> StoreError:
        return sqlite.unusable(self._path, error)

    def _check_path(self, *, read_only: bool) -> None:
        if self._path.is_dir():
            raise StoreError(f"{self._path} is a folder: give a file with --db")
        if read_only and not self._path.exists():
            raise StoreError(
                f"there is no database at {self._path}: `openpipe-report serve --db {self._path}` "
                "creates it, or give another file with --db"
            )
        if not self._path.absolute().parent.is_dir():
            raise StoreError(f"the folder of {self._path} does not exist: create it first")

    def _create_file(self) -> None:
        try:
            sqlite.create_file(self._path)
        except OSError as error:
            raise StoreError(
                f"cannot create {self._path} ({error.strerror}): check its folder, rights and disk "
                "space, or give another file with --db"
            ) from error
