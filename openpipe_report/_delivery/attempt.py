"""
One attempt to send a report: by when it has to be over, and whom it keeps waiting.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

AT_ONCE = 0.001
"""Seconds: an attempt that takes longer keeps its thread waiting, so that another may send."""

MAX_BODY = 64 * 1024
"""Bytes of an answer's body that are read; no answer of the API's is longer."""

_LONGEST_STEP = 24 * 3600.0
"""Seconds of one step at the most, whatever the timeouts: poll(2) takes no more than 24 days."""

_SENT_AT_ONCE = 16 * 1024
"""Bytes that a socket takes without waiting for the other end."""


@dataclass
class Attempt:
    """One request, and the times that hold for it; of one thread."""

    path: str
    """Where to post, below the base URL."""
    body: bytes
    """The report's JSON."""
    idempotency_key: str
    connect_timeout: float
    read_timeout: float
    on_wait: Callable[[], object]
    """Called, once or more, when the network keeps it waiting."""
    began: float = field(default_factory=time.monotonic)

    def limit(self, timeout: float, error: type[Exception]) -> float:
        """Return the seconds that one step may take; raise an error where none are left."""
        left = self.began + self.connect_timeout + self.read_timeout - time.monotonic()
        if left <= 0:
            raise error("the answer takes too long")
        return min(timeout, left, _LONGEST_STEP)

    def read_body(self, chunks: Iterable[bytes]) -> bytes:
        """Read a body, or its first `MAX_BODY` bytes: a server may send it drop by drop."""
        body = b""
        for chunk in chunks:
            body += chunk
            if len(body) > MAX_BODY:
                break
            self.limit(self.read_timeout, httpx.ReadTimeout)
        return body[:MAX_BODY]


class Pace:
    """
    Whether the server of a connection answers at once, going by its last answer; of one thread.

    It does where no step had to be waited for, however long this thread was without the
    interpreter's lock meanwhile: beside threads that compute, one that sends is enough then.
    """

    def __init__(self) -> None:
        self._is_at_once = True
        self._has_waited = False

    def begin(self, attempt: Attempt) -> None:
        """Let another thread have its turn now, if this one will have to wait."""
        self._has_waited = len(attempt.body) > _SENT_AT_ONCE or not self._is_at_once
        if self._has_waited:
            attempt.on_wait()

    def receive(
        self, attempt: Attempt, receive: Callable[[float], bytes], timed_out: type[Exception]
    ) -> bytes:
        """
        Receive bytes; let another thread have its turn when they do not come at once.

        Args:
            attempt: The attempt.
            receive: Waits so many seconds for bytes; raises `timed_out` when none came.
            timed_out: The error of a connection of its kind.
        """
        if not self._has_waited:
            try:
                return receive(attempt.limit(AT_ONCE, httpx.ReadTimeout))
            except timed_out:
                self._has_waited = True
                attempt.on_wait()
        return receive(attempt.limit(attempt.read_timeout, httpx.ReadTimeout))

    def end(self, attempt: Attempt) -> None:
        """Remember whether the answer came at once."""
        is_quick = time.monotonic() - attempt.began < AT_ONCE
        self._is_at_once = is_quick or not self._has_waited
