"""
Two rules: each report's own exponential backoff, and a circuit breaker shared by all reports.

tenacity's wait and stop say when; nobody sleeps here.
"""

from __future__ import annotations

from typing import Any

from tenacity import RetryCallState, stop_before_delay, wait_random_exponential

LONGEST_BACKOFF = 5.0
"""Seconds between two attempts at the most, unless the server asks for more."""


class Backoff:
    """When a report is tried again: full jitter, 0.5 s doubling to 5 s, for `retry_for` seconds."""

    def __init__(self, retry_for: float) -> None:
        self._wait = wait_random_exponential(multiplier=0.5, max=LONGEST_BACKOFF)
        self._stop = stop_before_delay(retry_for)

    def next_wait(self, attempts: int, since_first: float, at_least: float) -> float | None:
        """
        Seconds to wait, or None when `retry_for` would be over by then.

        Args:
            attempts: How many have failed.
            since_first: Seconds since the first of them began.
            at_least: Seconds that the server asked for.
        """
        state = _after(attempts)
        state.outcome_timestamp = state.start_time + since_first
        state.upcoming_sleep = max(self._wait(state), at_least)
        return None if self._stop(state) else state.upcoming_sleep

    def wait(self, attempts: int) -> float:
        """Seconds to wait after so many attempts have failed."""
        return self._wait(_after(attempts))


class CircuitBreaker:
    """
    Opens after more consecutive failures than there are senders; then one probe at a time.

    While it lasts, reports do not try one after the other in vain, which would take the
    interpreter's lock from the callers: one at a time looks whether it is over, every few seconds.
    Threads share it without a lock; where two of them look at once, no harm is done.

    Args:
        senders: How many attempts can be in flight at once.
        backoff: Says how long to wait between two looks.
    """

    def __init__(self, senders: int, backoff: Backoff) -> None:
        self._senders = senders
        self._backoff = backoff
        self._failures = 0
        self.next_probe = 0.0
        """The monotonic time before which nothing is to be tried."""
        self.reason = ""
        """Why the last look got no answer."""

    @property
    def is_open(self) -> bool:
        """Whether the server is taken to be out of reach."""
        return self._failures > self._senders

    def begin_probe(self, now: float) -> None:
        """Note that an attempt begins: in an outage it is given some time before another does."""
        if self.is_open:
            self.next_probe = now + LONGEST_BACKOFF

    def record_failure(self, now: float, reason: str, *, is_first: bool) -> None:
        """
        Note that an attempt got no answer.

        Args:
            now: The monotonic time.
            reason: Why there was none.
            is_first: Whether it was the report's first: a few reports that never get an answer,
                tried again and again, are no outage.
        """
        if is_first or self.is_open:
            self._failures += 1
        if self.is_open:
            self.reason = reason
            self.next_probe = now + self._backoff.wait(max(1, self._failures - self._senders))
            if not self.is_open:  # another thread's answer has come meanwhile
                self.next_probe = 0.0

    def record_success(self) -> bool:
        """Note that the server got_response, or that all may be tried anew; whether it was out."""
        was_open, self._failures = self.is_open, 0
        self.next_probe = 0.0
        return was_open


def _after(attempts: int) -> Any:
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempts
    return state
