"""
Sessions: the API keys of people who are logged in.

A browser keeps a random id, and never the key. Each request is checked with the key as if it had
come with it, so that a key that is revoked or expires ends its sessions. They are in memory: a
restart ends them, and several receivers over one database each have their own.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIFETIME = 12 * 3_600.0
"""Seconds after which a session ends."""
MAX_SESSIONS = 10_000
"""Most sessions; the oldest are ended."""

_BYTES = 32


class Sessions:
    """
    The sessions of one receiver. Safe to use from any thread.

    Args:
        clock: Seconds of a clock that is never set back.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, tuple[float, bytes]] = {}

    def open(self, key: bytes) -> str:
        """Begin a session with an API key; return its id."""
        session_id = secrets.token_urlsafe(_BYTES)
        with self._lock:
            now = self._clock()
            # They are in the order in which they end.
            while self._keys and (
                len(self._keys) >= MAX_SESSIONS or next(iter(self._keys.values()))[0] <= now
            ):
                del self._keys[next(iter(self._keys))]
            self._keys[session_id] = (now + LIFETIME, key)
        return session_id

    def find_key(self, session_id: str) -> bytes | None:
        """Return the API key of a session; None if there is no such session, or it has ended."""
        with self._lock:
            ends_at, key = self._keys.get(session_id, (0.0, b""))
            return key if key and self._clock() < ends_at else None

    def authorization(self, session_id: str, given: bytes = b"") -> bytes:
        """Return the header `Authorization` of a request, or else that of its session's key."""
        if given:
            return given
        key = self.find_key(session_id)
        return b"" if key is None else b"Bearer " + key

    def close(self, session_id: str) -> None:
        """End a session."""
        with self._lock:
            self._keys.pop(session_id, None)
