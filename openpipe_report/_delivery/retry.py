"""
Every rule about attempts: which failures pass, and when a report may be tried again.

- A connection error, a timeout, HTTP 407 to 409, 425, 429 and 5xx, and a 200 that is not the API's
  may pass. Anything else refuses the report for good.
- A report waits by its own backoff: full jitter, 0.5 s doubling to 5 s, for `retry_for` seconds
  from its first attempt. One that was never tried is not given up.
- A `Retry-After` stops all attempts to the server, for an hour at the most.
- The circuit breaker stops all attempts but one probe at a time.
- A kept connection that turns out to be closed is replaced at once, see `transport`.

tenacity's wait and stop say when; nobody sleeps here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenacity import RetryCallState, stop_before_delay, wait_random_exponential

if TYPE_CHECKING:
    from tenacity.wait import wait_base

    from openpipe_report._delivery.outcome import Retryable
    from openpipe_report._delivery.queue import PendingReport

LONGEST_PAUSE = 3600.0
"""Seconds that a `Retry-After` is honoured at the most: a mistaken one must not end reporting."""

LONGEST_BACKOFF = 5.0
"""Seconds between two attempts at the most, unless the server asks for more."""

FEWEST_FAILURES = 16
"""Reports that may fail in a row without opening the circuit breaker, however few senders."""


def may_pass(status: int) -> bool:
    """Whether a report that was answered with an HTTP status other than 200 is tried again."""
    # 407 comes from a proxy on the way: no server has refused the report.
    return status in {407, 408, 409, 425, 429} or status >= 500  # noqa: PLR2004 - every server error


_FULL_JITTER = wait_random_exponential(multiplier=0.5, max=LONGEST_BACKOFF)


@dataclass(frozen=True)
class RetryTiming:
    """How long to wait where no setting says so; tests give their own."""

    wait: wait_base = _FULL_JITTER
    """Seconds after so many attempts of one report."""
    probe_wait: wait_base = _FULL_JITTER
    """Seconds after so many probes."""
    shortest_probe: float = 0.5
    """Seconds between two probes at the least."""
    probe_lasts: float = LONGEST_BACKOFF
    """Seconds for which a probe that is under way holds back the next one."""


DEFAULT_RETRY_TIMING = RetryTiming()


class Backoff:
    """When one report is tried again."""

    def __init__(self, retry_for: float, timing: RetryTiming) -> None:
        self._wait = timing.wait
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


class CircuitBreaker:
    """
    Stops attempts in vain: it opens when more reports failed in a row than can be in flight.

    While it is open, one report at a time probes the server, every few seconds, whatever the
    backlog: thousands of retries would take the interpreter's lock from the callers. One success
    closes it. Failures are counted by report, so that a few which always fail never open it.

    Threads share it without a lock: two that probe at once do no harm.

    Args:
        senders: How many attempts can be in flight at once.
        timing: Says how long to wait between two probes.
    """

    def __init__(self, senders: int, timing: RetryTiming) -> None:
        self._limit = max(senders, FEWEST_FAILURES)
        self._timing = timing
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
            self.next_probe = now + self._timing.probe_lasts

    def record_failure(self, idempotency_key: str, now: float, reason: str) -> None:
        """
        Note that an attempt failed in a way that may pass.

        Args:
            idempotency_key: The report's.
            now: The monotonic time.
            reason: Why it failed.
        """
        if not self.is_open:
            self._failed.add(idempotency_key)
        if self.is_open:
            self._probes += 1
            self.reason = reason
            wait = self._timing.probe_wait(_after(self._probes))
            self.next_probe = now + max(self._timing.shortest_probe, wait)
            if not self.is_open:  # another thread's success has come meanwhile
                self.next_probe = 0.0

    def record_success(self) -> bool:
        """Close it: a report was taken, or all may be tried anew. Return whether it was open."""
        was_open = self.is_open
        self._failed = set()
        self._probes = 0
        self.next_probe = 0.0
        return was_open


class Retries:
    """
    The rules of one channel, and what they depend on: the state of its server.

    Threads share it without a lock, like its breaker.

    Args:
        retry_for: Seconds for which a report is tried again after its first attempt.
        senders: How many attempts can be in flight at once.
        timing: How long to wait.
    """

    def __init__(self, retry_for: float, senders: int, timing: RetryTiming) -> None:
        self._retry_for = retry_for
        self._backoff = Backoff(retry_for, timing)
        self.breaker = CircuitBreaker(senders, timing)
        self.paused_until = 0.0
        """The monotonic time before which the server asked not to be called (`Retry-After`)."""

    def not_before(self) -> float:
        """
        Return the monotonic time before which nothing may be tried.

        Together with the due time of each report in the queue, this is all that holds one back.
        """
        return max(self.paused_until, self.breaker.next_probe)

    def hold_back(self, pending: PendingReport, now: float) -> float | None:
        """Return when a report that may not be tried now (monotonic) is due; None to give up."""
        if now < self.paused_until:
            pending.reason = pending.reason or "the server asked to wait (Retry-After)"
            waited = self.paused_until - pending.begun if pending.attempts else 0.0
            return None if waited > self._retry_for and pending.place is None else self.paused_until
        pending.reason = pending.reason or self.breaker.reason
        # Probe with a report never sent before: one that failed may be the cause.
        return now if pending.attempts else 0.0

    def after_failure(self, pending: PendingReport, failure: Retryable, now: float) -> float | None:
        """
        Take into account that an attempt failed in a way that may pass.

        Args:
            pending: The report.
            failure: How it failed.
            now: The monotonic time.

        Returns:
            When the report is to be tried again (monotonic); None to give up.
        """
        asked = failure.retry_after or 0.0
        if asked:
            self.paused_until = max(self.paused_until, now + min(asked, LONGEST_PAUSE))
        else:
            self.breaker.record_failure(pending.idempotency_key, now, failure.reason)
        since_first = now - pending.begun
        wait = self._backoff.next_wait(pending.attempts, since_first, asked)
        if wait is None and pending.place is not None:  # the file has it, so it may wait
            if not failure.got_response or self.breaker.is_open:
                wait = LONGEST_BACKOFF
            elif asked and since_first < self._retry_for:
                wait = min(asked, LONGEST_PAUSE)
        return None if wait is None else now + wait


def _after(attempts: int) -> Any:
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempts
    return state
