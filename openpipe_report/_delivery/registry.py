"""
All reporters of the process: sharing them between clients, and flushing all of them.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from openpipe_report._delivery import process
from openpipe_report._delivery.accounting import Flushed
from openpipe_report._delivery.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._settings import Settings


class _Shared:
    """The reporters that clients share."""

    def __init__(self) -> None:
        self.reporters: WeakSet[Reporter] = WeakSet()
        self.lock = threading.RLock()
        """Guards `reporters`, so that two threads make one. The lock of `process` comes after."""

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held it."""
        self.lock = threading.RLock()


_shared = _Shared()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.renew_lock)


def shared_reporter(settings: Settings) -> Reporter:
    """Return the one reporter of all clients with equal settings; make it if need be."""
    with _shared.lock:
        for reporter in _shared.reporters:  # not by hash: a user's hook may have none
            if not reporter.closed and reporter.settings == settings:
                return reporter
        reporter = Reporter.from_settings(settings)
        _shared.reporters.add(reporter)
        return reporter


def live_reporters() -> list[Reporter]:
    """Every reporter that is not shut down."""
    return [each for each in process.participants() if isinstance(each, Reporter)]


def flush_all(timeout: float | None = 30.0) -> Flushed:
    """
    Flush every reporter of the process within `timeout` seconds altogether.

    Returns:
        True if all that was queued before is delivered, else how much is not, and why.
    """
    return _for_each_reporter(lambda reporter, left: reporter.flush(left), timeout)


def shutdown_all(timeout: float | None = 30.0) -> Flushed:
    """
    Flush and stop every reporter of the process within `timeout` seconds altogether.

    Clients made before report no more; a client made afterwards gets a new reporter.
    """
    return _for_each_reporter(lambda reporter, left: reporter.shutdown(left), timeout)


def _for_each_reporter(
    act: Callable[[Reporter, float | None], Flushed], timeout: float | None
) -> Flushed:
    deadline = None if timeout is None else time.monotonic() + timeout
    pending = lost = 0
    reasons: list[str] = []
    for reporter in live_reporters():
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        flushed = act(reporter, left)
        pending += flushed.pending
        lost += flushed.lost
        if flushed.reason:
            reasons.append(flushed.reason)
    return Flushed(pending, lost, "; ".join(reasons))
