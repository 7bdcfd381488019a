"""
Inserts many rows at once.

SQLAlchemy prepares the parameters of each row anew, which takes longer than the insert. Here the
statement is compiled once, and the rows are given to the driver as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Insert


class BulkInsert:
    """An insert of rows that all have the same columns, whose types the driver knows itself."""

    def __init__(self, statement: Insert, columns: Sequence[str]) -> None:
        self._statement = statement
        self._columns = columns
        self._by_dialect: dict[str, tuple[str, Sequence[str] | None]] = {}

    def execute(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows, which may have more keys than the insert has columns."""
        name = connection.dialect.name
        if name not in self._by_dialect:
            compiled = self._statement.compile(
                dialect=connection.dialect, column_keys=list(self._columns)
            )
            self._by_dialect[name] = str(compiled), getattr(compiled, "positiontup", None)
        sql, order = self._by_dialect[name]
        given: Any = rows if order is None else [tuple(map(row.__getitem__, order)) for row in rows]
        connection.exec_driver_sql(sql, given)
