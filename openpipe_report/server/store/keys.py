"""
The API keys of a database: made, listed, revoked, and looked up by all receivers that share it.

A key is shown once and is stored nowhere; what is stored is its SHA-256. A salt and a slow hash
protect passwords, of which an attacker can try the likely ones. A key has 256 random bits, so that
none is likelier than another, and a fast hash is as safe.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, or_, select, update

from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.tables import api_keys
from openpipe_report.server.store.values import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator
    from concurrent.futures import Future

    from sqlalchemy import Connection, Engine

    from openpipe_report.server.store.writer import Writer

PREFIX = "opr_"
"""Every key begins so, by which scanners and people recognise one."""
SCOPES = ("write", "read", "admin")
MAX_KEYS = 10_000
"""Most keys that are neither revoked nor expired; each receiver has them in memory."""
MAX_NAME = 100
"""Characters of a key's name."""

_RANDOM_BYTES = 32
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHOWN = [column for column in api_keys.columns if column is not api_keys.c.key_hash]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key, without the key itself. Times are Unix times in milliseconds."""

    id: int
    name: str
    """What its owner calls it; several may have the same name."""
    project: str
    scope: str
    """`write`, `read` or `admin`."""
    created_at: float
    expires_at: float | None
    """From then on it is not accepted; None if it does not expire."""
    revoked_at: float | None
    """When it was revoked; None if it was not."""
    last_used_at: float | None
    """About when it was last used, within a minute; None if it never was."""

    def state(self, now: float) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class AcceptedKeys:
    """The keys that a receiver accepts."""

    are_required: bool
    """Whether a request needs one: from the first key on, also where all are revoked."""
    by_hash: dict[str, ApiKey]
    """Those that were not revoked, by `hash_key()`; they may have expired since."""


class Keys:
    """
    The keys of one database. Safe to use from any thread.

    Args:
        engine: The engine of the database.
        get_writer: Returns the thread that writes, or raises StoreError.

    """

    def __init__(self, engine: Engine, get_writer: Callable[[], Writer]) -> None:
        self._engine = engine
        self._get_writer = get_writer

    def create(
        self, name: str, *, project: str, scope: str, expires_at: float | None = None
    ) -> tuple[ApiKey, str]:
        """
        Make a key; returns its row and the key, which cannot be read again.

        Args:
            name: What its owner calls it.
            project: A name that `check_project()` accepts.
            scope: One of `SCOPES`.
            expires_at: Unix time in milliseconds from which on it is not accepted.

        Raises:
            ValueError: An argument is not valid.
            StoreError: There are too many keys, or the database cannot be written.

        """
        row: dict[str, Any] = {
            "name": _check_name(name),
            "project": check_project(project),
            "scope": _check_scope(scope),
            "created_at": time.time() * 1_000,
            "expires_at": expires_at,
        }
        key = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        stored = {**row, "key_hash": hash_key(key)}
        made = self._get_writer().change(lambda connection: _insert(connection, stored))
        return ApiKey(id=made.result(), **row, revoked_at=None, last_used_at=None), key

    def revoke(self, ids: Collection[int]) -> list[ApiKey]:
        """
        Revoke keys; returns those of these ids that were not revoked before.

        Raises:
            StoreError: The database cannot be written.

        """
        now = time.time() * 1_000
        return self._get_writer().change(lambda connection: _revoke(connection, ids, now)).result()

    def all(self) -> list[ApiKey]:
        """Return all keys, also revoked ones, in the order in which they were made."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(*_SHOWN).order_by(api_keys.c.id)).all()
        return [ApiKey(*row) for row in rows]

    def exist(self) -> bool:
        """Return whether a key was ever made."""
        with self._engine.connect() as connection:
            return connection.execute(select(api_keys.c.id).limit(1)).first() is not None

    def accepted(self) -> AcceptedKeys:
        """Return the keys that are accepted now."""
        query = select(api_keys.c.key_hash, *_SHOWN).where(_is_active(time.time() * 1_000))
        with self._engine.connect() as connection:
            rows = connection.execute(query.limit(MAX_KEYS)).all()
        found = {key_hash: ApiKey(*shown) for key_hash, *shown in rows}
        return AcceptedKeys(bool(found) or self.exist(), found)

    def mark_used(self, key_id: int, now: float) -> Future[None]:
        """Note when a key was last used: Unix time in milliseconds."""
        return self._get_writer().change(lambda connection: _mark_used(connection, key_id, now))


def hash_key(key: str | bytes) -> str:
    """Return what is stored of a key."""
    given = key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape")
    return hashlib.sha256(given).hexdigest()


def check_project(project: str) -> str:
    """Return the name of a project, or raise ValueError."""
    if not _PROJECT.fullmatch(project):
        raise ValueError(
            "a project is named by 1 to 64 letters, digits, `.`, `_` and `-`, and begins with a "
            "letter or digit"
        )
    return project


def _check_name(name: str) -> str:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"the name of a key has 1 to {MAX_NAME} printable characters")
    return storable(name)


def _check_scope(scope: str) -> str:
    if scope not in SCOPES:
        raise ValueError(f"a scope is {', '.join(SCOPES)}, not {scope}")
    return scope


def _is_active(now: float) -> Any:
    not_expired = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)
    return api_keys.c.revoked_at.is_(None) & not_expired


def _insert(connection: Connection, row: dict[str, Any]) -> Generator[None, None, int]:
    active = select(func.count()).select_from(api_keys).where(_is_active(row["created_at"]))
    if connection.execute(active).scalar_one() >= MAX_KEYS:
        raise StoreError(f"there are {MAX_KEYS:,} keys: revoke some with `keys revoke`")
    yield from ()
    made = connection.execute(insert(api_keys).values(row)).inserted_primary_key
    return 0 if made is None else int(made[0])


def _revoke(
    connection: Connection, ids: Collection[int], now: float
) -> Generator[None, None, list[ApiKey]]:
    yield from ()
    wanted = api_keys.c.id.in_(ids) & api_keys.c.revoked_at.is_(None)
    found = connection.execute(select(*_SHOWN).where(wanted).order_by(api_keys.c.id)).all()
    connection.execute(update(api_keys).where(wanted).values(revoked_at=now))
    return [ApiKey(*row) for row in found]


def _mark_used(connection: Connection, key_id: int, now: float) -> Generator[None, None, None]:
    yield from ()
    of_key = api_keys.c.id == key_id
    connection.execute(update(api_keys).where(of_key).values(last_used_at=now))
