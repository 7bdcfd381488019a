"""
All reporters of the process: sharing them between clients, and flushing all of them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from openpipe_report._delivery.channels import channels
from openpipe_report._delivery.flushes import Flushed
from openpipe_report._delivery.fork_safe_lock import ForkSafeLock
from openpipe_report._delivery.policies import forget_policies, note_policy
from openpipe_report._delivery.reporter import Reporter
from openpipe_report._delivery.stats import Stats, past_stats, sum_stats
from openpipe_report._delivery.weak_registry import WeakRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._settings import Settings


class _Shared:
    """The reporters that clients share."""

    def __init__(self) -> None:
        self.reporters: WeakRegistry[Reporter] = WeakRegistry()
        self.lock = ForkSafeLock()
        """Held while one is looked for and made, so that two threads make one."""


_shared = _Shared()


def shared_reporter(settings: Settings) -> Reporter:
    """Return the one reporter of all clients with equal settings; make it if need be."""
    with _shared.lock:
        for reporter in _shared.reporters:  # not by hash: a user's hook may have none
            if not reporter.closed and reporter.settings == settings:
                return reporter
        note_policy(settings)
        reporter = Reporter.from_settings(settings)
        _shared.reporters.add(reporter)
        return reporter


def live_reporters() -> list[Reporter]:
    """Every reporter that is not shut down."""
    return [each for each in _reporters() if not each.closed]


def _reporters(*, closed: bool = False) -> list[Reporter]:
    owners = [owner for channel in channels(closed=closed) for owner in channel.owners]
    return [each for each in owners if isinstance(each, Reporter)]


def flush_all(timeout: float | None = 30.0) -> Flushed:
    """
    Flush every reporter of the process within `timeout` seconds altogether.

    Returns:
        True if all that was queued before is delivered, else how much is not, and why.
    """
    left = _time_left(timeout)
    return _sum_flushed([reporter.flush(left()) for reporter in live_reporters()])


async def aflush_all(timeout: float | None = 30.0) -> Flushed:
    """
    Flush as `flush()` does, without blocking the event loop: asyncio's or trio's.

    It starts no thread to wait in, and leaves nothing behind where it is cancelled.

    Returns:
        As `flush()`.
    """
    left = _time_left(timeout)
    return _sum_flushed([await reporter.aflush(left()) for reporter in live_reporters()])


def shutdown_all(timeout: float | None = 30.0) -> Flushed:
    """
    Flush and stop every reporter of the process within `timeout` seconds altogether.

    Clients made before report no more; a client made afterwards gets a new reporter.
    """
    left = _time_left(timeout)
    flushed = _sum_flushed([reporter.shutdown(left()) for reporter in live_reporters()])
    forget_policies()
    return flushed


def total_stats() -> Stats:
    """
    Count what became of the reports of every reporter of the process, in one sum.

    Those of reporters that were shut down, or that nobody uses any more, are in it: no count ever
    falls but for `pending`, `pending_bytes`, `open_streams` and `threads`. A forked child begins
    with zeros.
    """
    # While these are held, none of them moves on to the past.
    reporters = _reporters(closed=True)
    total = sum_stats([*(reporter.stats() for reporter in reporters), past_stats.total()])
    return replace(total, threads=sum(len(each.threads) for each in channels(closed=True)))


def _time_left(timeout: float | None) -> Callable[[], float | None]:
    """Return a function that says how much of the timeout is left."""
    if timeout is None:
        return lambda: None
    deadline = time.monotonic() + timeout
    return lambda: max(0.0, deadline - time.monotonic())


def _sum_flushed(parts: list[Flushed]) -> Flushed:
    return Flushed(
        sum(part.pending for part in parts),
        sum(part.lost for part in parts),
        "; ".join(part.reason for part in parts if part.reason),
    )
