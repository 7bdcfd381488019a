"""
The tables of a spool's file, and their rows.
"""

from __future__ import annotations

from typing import NamedTuple

APPLICATION_ID = int.from_bytes(b"OPRs", "big")
VERSION = 3
VERSION_WITHOUT_PATHS = 2
"""A version whose files are still delivered: they hold reports only, and have no column `path`."""
SCHEMA = f"""
BEGIN;
CREATE TABLE destination (base_url TEXT NOT NULL, salt BLOB NOT NULL, key_hash TEXT NOT NULL);
CREATE TABLE reports (
    number INTEGER PRIMARY KEY,
    idempotency_key TEXT NOT NULL,
    tag INTEGER NOT NULL,
    body BLOB NOT NULL,
    path TEXT NOT NULL,
    reason TEXT
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
"""
A row with a reason is a dead letter, which only `resend --dead` sends; any other is still to be
delivered. The key itself is in no file: `key_hash` is an HMAC of it, made with the file's own salt.
"""


class SpooledReport(NamedTuple):
    """A report as a file holds it."""

    number: int
    idempotency_key: str
    tag: int
    """A number that means something to the process that stored it."""
    body: bytes
    """The JSON that is sent."""
    path: str
    """Where it is posted, below the base URL."""


class Counts(NamedTuple):
    """How many reports a file holds."""

    waiting: int
    dead_letters: int
    """Rejected, or given up after `retry_for`."""
