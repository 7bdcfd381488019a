"""What SQLite and PostgreSQL spell differently in the same query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, and_, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

POSTGRESQL = "postgresql"
"""SQLAlchemy's name of the dialect."""
INDEXED = 200
"""Characters of a long text in PostgreSQL's index, which could not hold all of it."""


def is_postgresql(connection: Connection) -> bool:
    """Return whether a connection is to PostgreSQL."""
    return connection.dialect.name == POSTGRESQL


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that has `on_conflict_do_nothing()` and `on_conflict_do_update()`."""
    return postgresql.insert(table) if is_postgresql(connection) else sqlite.insert(table)


class _WithoutIndex(FunctionElement[Any]):
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(_WithoutIndex)
def _leave(element: _WithoutIndex, compiler: Any, **options: Any) -> str:
    [column] = element.clauses
    return str(compiler.process(column, **options))


@compiles(_WithoutIndex, "sqlite")
def _sign(element: _WithoutIndex, compiler: Any, **options: Any) -> str:
    return f"+{_leave(element, compiler, **options)}"


def restart_ids(connection: Connection, table: Table) -> None:
    """Let PostgreSQL count the ids of a table from the highest on, after rows were given theirs."""
    if is_postgresql(connection):
        sequence = func.pg_get_serial_sequence(table.name, "id")
        highest = select(func.max(table.c.id)).scalar_subquery()
        connection.execute(select(func.setval(sequence, highest)))


class _Start(FunctionElement[str]):
    inherit_cache = True
    type = Text()


@compiles(_Start)
def _whole(element: _Start, compiler: Any, **options: Any) -> str:
    [text] = element.clauses
    return str(compiler.process(text, **options))


@compiles(_Start, POSTGRESQL)
def _start(element: _Start, compiler: Any, **options: Any) -> str:
    return f"left({_whole(element, compiler, **options)}, {INDEXED})"


def equals(column: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Compare a column of long texts: PostgreSQL's index on it has only the begin of each."""
    return and_(_Start(column) == _Start(literal(value, Text)), column == value)


def without_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """
    Return a column that SQLite compares row by row, without using an index on it.

    PostgreSQL knows the frequencies of values, and chooses for itself.
    """
    return _WithoutIndex(column)
