"""
Tells from its API key who sends a request.

The keys of the store are in memory, and are read again while requests come: in the background where
they are older than `REREAD_AFTER`, and before the request is answered where they are older than
`MAX_AGE`, so that a revoked key is accepted no longer than that. A key that is not known is looked
for again before it is refused, at most once in `MIN_AGE` for all senders.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from typing import TYPE_CHECKING

from openpipe_report.server.access import FULL_ACCESS, Access
from openpipe_report.server.errors import ApiError, unavailable
from openpipe_report.server.seldom_log import SeldomLog
from openpipe_report.server.store.errors import StoreError
from openpipe_report.server.store.keys import AcceptedKeys, hash_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report.server.store import Store
    from openpipe_report.server.store.keys import ApiKey

MIN_AGE = 0.5
"""Seconds for which keys are not read again, whatever comes."""
REREAD_AFTER = 1.0
"""Age in seconds of keys that are read again in the background."""
MAX_AGE = 4.0
"""Age in seconds of keys by which nobody is accepted."""
MARKED_EVERY = 60.0
"""Least seconds between two notes that the same key was used."""

_NEVER = float("-inf")


class Authenticator:
    """
    Identifies the senders of requests to one receiver. Used on event loops only.

    Args:
        store: It has the keys.
        api_key: A further key, with full access to the project `default`; empty for none.
        clock: Seconds of a clock that is never set back.

    """

    def __init__(
        self, store: Store, api_key: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._key = api_key.encode("utf-8", "surrogateescape")
        self._clock = clock
        # Written by the thread that reads the keys, in this order, and read by event loops.
        self._keys = AcceptedKeys(are_required=True, by_hash={})
        self._read_at = _NEVER
        self._reading: asyncio.Future[None] | None = None
        self._marked_at: dict[int, float] = {}
        self._log = SeldomLog()

    async def identify(self, authorization: bytes) -> Access:
        """
        Return the access that a header `Authorization` gives; empty where there is none.

        Raises:
            ApiError: 401, the key is not accepted; 503, the keys cannot be read.

        """
        given = _bearer(authorization)
        if self._key and hmac.compare_digest(given, self._key):
            return FULL_ACCESS
        age = self._clock() - self._read_at
        if age > MAX_AGE:
            await self._read_again()
        elif age > REREAD_AFTER:
            self._start_reading()
        key = self._find(given)
        if key is None and (self._key or self._keys.are_required):
            if self._clock() - self._read_at > MIN_AGE:
                await self._read_again()
                key = self._find(given)
            if key is None and (self._key or self._keys.are_required):
                raise _unauthorized()
        if key is None:
            return FULL_ACCESS
        self._mark(key)
        return Access(key.project, key.scope)

    def _find(self, given: bytes) -> ApiKey | None:
        if not given or not self._keys.by_hash:
            return None
        # How long the look-up takes depends on a hash, from which nothing follows about a key.
        key = self._keys.by_hash.get(hash_key(given))
        return None if key is None or key.state(time.time() * 1_000) != "active" else key

    async def _read_again(self) -> None:
        # Shared by all requests that wait: one that is cancelled does not cancel the others.
        await asyncio.shield(self._start_reading())
        if self._clock() - self._read_at > MAX_AGE:
            raise unavailable("The API keys cannot be read for now; the receiver's log has why")

    def _start_reading(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        reading = self._reading
        if reading is None or reading.done() or reading.get_loop() is not loop:
            reading = self._reading = loop.run_in_executor(None, self._read)
        return reading

    def _read(self) -> None:
        began = self._clock()
        try:
            self._keys = self._store.keys.accepted()
        except Exception as error:  # noqa: BLE001 - whatever it is, the keys are not known
            self._log.write("the API keys cannot be read", error)
        else:
            self._read_at = began

    def _mark(self, key: ApiKey) -> None:
        now = self._clock()
        if now - self._marked_at.get(key.id, _NEVER) < MARKED_EVERY:
            return
        self._marked_at[key.id] = now
        with contextlib.suppress(StoreError):  # the store is closed
            self._store.keys.mark_used(key.id, time.time() * 1_000)


def _bearer(authorization: bytes) -> bytes:
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def _unauthorized() -> ApiError:
    return ApiError(
        401,
        "The API key is missing, wrong, expired or revoked: send `Authorization: Bearer <key>`",
        headers={"WWW-Authenticate": "Bearer"},
    )
