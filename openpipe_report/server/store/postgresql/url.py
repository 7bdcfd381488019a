"""
Reads the URL of a PostgreSQL database, and shows it without its password.

The password may be in the URL, or wherever libpq finds it: `PGPASSWORD`, `~/.pgpass`, a service
file (`postgresql+psycopg:///?service=NAME`).
"""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from openpipe_report.server.store.errors import StoreError

_NAMES = ("postgresql", "postgres", "postgresql+psycopg", "postgres+psycopg")
_SECRET = ("password", "sslpassword")
_MASK = "***"


def read_url(text: str) -> URL:
    """
    Return the URL, with the driver that is used.

    Raises:
        StoreError: It is no URL, or names another driver. The message does not quote it.

    """
    # Neither error is chained: they quote the URL, and what stands for the port may be a password.
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    # A password with an unescaped @ or / goes on in the host or in the name of the database.
    if url is None or "@" in f"{url.host}{url.database}":
        raise StoreError(
            "the URL of the database cannot be read: give "
            "postgresql+psycopg://USER@HOST:PORT/DATABASE, with special characters of the password "
            "as %XX, or the password in PGPASSWORD"
        )
    if url.drivername.lower() not in _NAMES:
        raise StoreError(
            f"the driver {url.drivername} is not supported: begin the URL with postgresql+psycopg:,"
            " or give a file with --db"
        )
    return url.set(drivername="postgresql+psycopg")


def show_url(url: URL) -> str:
    """Return a URL as messages show it, without passwords."""
    masked = {name: _MASK for name in url.query if name.lower() in _SECRET}
    return url.update_query_dict(masked).render_as_string(hide_password=True)
