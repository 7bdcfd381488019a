"""
Inserts many rows at once.

SQLAlchemy prepares the parameters of each row anew, which takes longer than the insert. Here the
statement is compiled once, and the rows are given to the driver as they are; to PostgreSQL they are
sent with COPY.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from openpipe_report.server.store.dialects import is_postgresql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table


class BulkInsert:
    """An insert of rows that have all columns of a table, whose types the driver knows itself."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = table.columns.keys()
        self._compiled: tuple[str, Sequence[str]] | None = None

    def execute(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows, which may have more keys than the table has columns."""
        if is_postgresql(connection):
            self._copy(connection, rows)
            return
        if self._compiled is None:
            statement = insert(self._table)
            compiled = statement.compile(dialect=connection.dialect, column_keys=self._columns)
            order: Sequence[str] = getattr(compiled, "positiontup", None) or ()
            self._compiled = str(compiled), order
        sql, order = self._compiled
        connection.exec_driver_sql(sql, [tuple(map(row.__getitem__, order)) for row in rows])

    def _copy(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        names = ", ".join(f'"{name}"' for name in self._columns)
        raw: Any = connection.connection.dbapi_connection
        with (
            raw.cursor() as cursor,
            cursor.copy(f'COPY "{self._table.name}" ({names}) FROM STDIN') as copy,
        ):
            for row in rows:
                copy.write_row([row[name] for name in self._columns])
