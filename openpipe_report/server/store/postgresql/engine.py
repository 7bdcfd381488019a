"""The connections to a PostgreSQL database and their settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import QueuePool, create_engine, event

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

LOCK_TIMEOUT = 5.0
"""Seconds to wait while another receiver writes."""
IDLE_TIMEOUT = 15.0
"""
Seconds that a transaction may do nothing; the server ends it then.

A receiver that hangs, or whose machine is gone, must not keep the others from writing.
"""
CONNECT_TIMEOUT = 5
"""Seconds to wait for a connection, unless the URL or `PGCONNECT_TIMEOUT` says otherwise."""

_POOLED = 8
# A report is acknowledged once it is on disk, whatever the default of the server is.
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
_READ_ONLY = "SET default_transaction_read_only = on"


def make_engine(url: URL, *, read_only: bool) -> Engine:
    """Make the engine of a database. Its connections begin no transaction of their own."""
    # hide_parameters: the text of an error of SQLAlchemy's must not contain a report.
    engine = create_engine(
        url,
        connect_args=_arguments(url),
        poolclass=QueuePool,
        pool_size=_POOLED,
        max_overflow=-1,
        pool_pre_ping=True,  # after a restart of the server, connections of before are dropped
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
    )
    settings = [
        f"SET lock_timeout = {int(LOCK_TIMEOUT * 1_000)}",
        f"SET idle_in_transaction_session_timeout = {int(IDLE_TIMEOUT * 1_000)}",
        _DURABLE,
    ]
    statements = "; ".join([*settings, _READ_ONLY] if read_only else settings)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.autocommit = True
        connection.execute(statements)

    return engine


def _arguments(url: URL) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "client_encoding": "utf8",
        "fallback_application_name": "openpipe-report",
    }
    if "connect_timeout" not in url.query and not os.environ.get("PGCONNECT_TIMEOUT"):
        arguments["connect_timeout"] = CONNECT_TIMEOUT
    return arguments
