"""
Two rules: each report's own exponential backoff, and a circuit breaker shared by all reports.

tenacity's wait and stop say when; nobody sleeps here.
"""

from __future__ import annotations

from typing import Any

from tenacity import RetryCallState, stop_before_delay, wait_random_exponential

from openpipe_report._log import logger, run_guarded

LONGEST_BACKOFF = 5.0
"""Seconds between two attempts at the most, unless the server asks for more."""

FEWEST_FAILURES = 16
"""Reports that may fail in a row without opening the circuit breaker, however few senders."""

_SHORTEST_PROBE = 0.5
"""Seconds between two probes at the least."""

_SAID_AFTER = 10.0
"""Seconds of failures alone after which the log says so."""


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
    Stops attempts in vain: it opens when more reports failed in a row than can be in flight.

    While it is open, one report at a time probes the server, every few seconds, whatever the
    backlog: thousands of retries would take the interpreter's lock from the callers. One success
    closes it. Failures are counted by report, so that a few which always fail never open it.

    Threads share it without a lock: two that probe at once do no harm.

    Args:
        senders: How many attempts can be in flight at once.
        backoff: Says how long to wait between two probes.
    """

    def __init__(self, senders: int, backoff: Backoff) -> None:
        self._limit = max(senders, FEWEST_FAILURES)
        self._backoff = backoff
        self._failed: set[str] = set()
        self._probes = 0
        self.next_probe = 0.0
        """The monotonic time before which nothing may be tried."""
        self.reason = ""
        """Why the last probe failed."""

    @property
    def is_open(self) -> bool:
        """Whether the server is taken to be out of order."""
        return len(self._failed) > self._limit

    def begin_probe(self, now: float) -> None:
        """Note that an attempt begins: while open, it has some time before the next one."""
        if self.is_open:
            self.next_probe = now + LONGEST_BACKOFF

    def record_failure(self, key: str, now: float, reason: str) -> None:
        """
        Note that an attempt failed in a way that may pass.

        Args:
            key: The report's Idempotency-Key.
            now: The monotonic time.
            reason: Why it failed.
        """
        if not self.is_open:
            self._failed.add(key)
        if self.is_open:
            self._probes += 1
            self.reason = reason
            self.next_probe = now + max(_SHORTEST_PROBE, self._backoff.wait(self._probes))
            if not self.is_open:  # another thread's success has come meanwhile
                self.next_probe = 0.0

    def record_success(self) -> bool:
        """Close it: a report was taken, or all may be tried anew. Return whether it was open."""
        was_open = self.is_open
        self._failed = set()
        self._probes = 0
        self.next_probe = 0.0
        return was_open


class OutageLog:
    """
    Says that a server takes no reports, after ten seconds, and once that it takes them again.

    Args:
        host: The server, as the lines name it.
        retry_for: Seconds for which a report is tried again.
    """

    def __init__(self, host: str, retry_for: float) -> None:
        self._host = host
        self._retry_for = retry_for
        self._since: float | None = None
        self._is_said = False

    def record_failure(self, now: float, reason: str, pending: int) -> None:
        """Note a failure, with how many reports are pending."""
        if self._since is None:
            self._since = now
        if self._is_said or now - self._since < _SAID_AFTER:
            return
        self._is_said = True
        run_guarded(
            "logging an outage",
            logger.warning,
            "openpipe_report: %s has taken no report for %.0f s (%s). %d are pending; each is "
            "tried again for %.0f s after its first attempt",
            self._host,
            now - self._since,
            reason,
            pending,
            self._retry_for,
        )

    def record_success(self) -> None:
        """Note that a report was taken."""
        self._since = None
        if self._is_said:
            self._is_said = False
            run_guarded(
                "logging an outage",
                logger.info,
                "openpipe_report: %s takes reports again",
                self._host,
            )


def _after(attempts: int) -> Any:
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempts
    return state
