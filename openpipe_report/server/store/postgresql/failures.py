"""
The driver's errors as the store's.

An error of PostgreSQL's may quote a row, and so a prompt. Only its first line is told, and not even
that where it is about a value.
"""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError

from openpipe_report.server.store.errors import StoreError, StoreUnavailableError

_TEMPORARY = ("08", "28", "40", "53", "55", "57", "58")
"""Classes: connection, authorization, conflicts, resources, locks, shutdown, system errors."""
_READ_ONLY = "25006"
_IDLE = "25P03"
_ABOUT_VALUES = ("22", "23")


def driver_error(error: BaseException) -> psycopg.Error | None:
    """Return the error of psycopg that an error is or wraps; None if it is of something else."""
    found = error.orig if isinstance(error, DBAPIError) else error
    return found if isinstance(found, psycopg.Error) else None


def is_temporary(error: psycopg.Error) -> bool:
    """Return whether an error is of the moment, not of the statement or its values."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return state.startswith(_TEMPORARY) or state in {_READ_ONLY, _IDLE}


def reason_of(error: psycopg.Error) -> str:
    """Return what PostgreSQL says, without any value."""
    state = error.sqlstate
    if state is None:
        return str(error).partition("\n")[0]
    if state.startswith(_ABOUT_VALUES):
        return f"{type(error).__name__}, SQLSTATE {state}"
    return error.diag.message_primary or type(error).__name__


def as_store_error(error: psycopg.Error) -> StoreError:
    """Return the error of a write that has failed; nothing of it is stored."""
    if is_temporary(error):
        return StoreUnavailableError(f"the database cannot be written: {reason_of(error)}")
    return StoreError(f"PostgreSQL has refused a write: {reason_of(error)}")
