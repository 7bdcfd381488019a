"""
What concerns all reporters of a process: sharing them, fork, and exit.

Exit is hooked at the first report of each process, not at import. Besides `atexit` there is
`multiprocessing.util.Finalize`: children started by fork or forkserver leave through `os._exit`
and run no atexit callbacks before 3.13. From 3.12 on no thread starts inside atexit, so the
exiting thread may have to send by itself.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from openpipe_report._delivery.accounting import Flushed
from openpipe_report._log import note_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._delivery.reporter import Reporter
    from openpipe_report._settings import Settings

_live: WeakSet[Reporter] = WeakSet()
_shared: WeakSet[Reporter] = WeakSet()
_lock = threading.RLock()

_TO_CLOSE = 0.3
"""Seconds beyond the budget in which all reporters together may close their spools."""

capturing: list[Reporter] = []
"""Reporters of `testing.captured_reports()`: the innermost takes the reports of all others."""


class Exit:
    """How far the exit of this process has come."""

    hooked = False
    thread: int | None = None
    """The thread that runs the exit hooks, once it does."""
    budget: float | None = None
    """Seconds that are left for all reporters together; only our own waiting uses it up."""
    draining = False


def register(reporter: Reporter) -> None:
    """Let `flush()`, `shutdown()`, fork and exit find a reporter."""
    with _lock:
        _live.add(reporter)


def shared_reporter(settings: Settings, make: Callable[[Settings], Reporter]) -> Reporter:
    """Return the one reporter of all clients with equal settings; make it if need be."""
    with _lock:
        for reporter in _shared:  # not by hash: a user's hook may have none
            if not reporter.closed and reporter.settings == settings:
                return reporter
        reporter = make(settings)
        _shared.add(reporter)
        return reporter


def live() -> list[Reporter]:
    """Every reporter that is not shut down."""
    with _lock:
        return [reporter for reporter in _live if not reporter.closed]


def flush_all(timeout: float | None = 30.0) -> Flushed:
    """
    Flush every reporter of the process within `timeout` seconds altogether.

    Returns:
        True if all that was queued before is delivered, else how much is not, and why.
    """
    return _each(lambda reporter, left: reporter.flush(left), timeout)


def shutdown_all(timeout: float | None = 30.0) -> Flushed:
    """
    Flush and stop every reporter of the process within `timeout` seconds altogether.

    Clients made before report no more; a client made afterwards gets a new reporter.
    """
    return _each(lambda reporter, left: reporter.shutdown(left), timeout)


def _each(act: Callable[[Reporter, float | None], Flushed], timeout: float | None) -> Flushed:
    deadline = None if timeout is None else time.monotonic() + timeout
    pending = lost = 0
    reasons: list[str] = []
    for reporter in live():
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        flushed = act(reporter, left)
        pending += flushed.pending
        lost += flushed.lost
        if flushed.reason:
            reasons.append(flushed.reason)
    return Flushed(pending, lost, "; ".join(reasons))


def hook_exit() -> None:
    """Hook the exit of this process, once."""
    if Exit.hooked:
        return
    Exit.hooked = True
    atexit.unregister(_at_exit)  # a forked child may have inherited it
    atexit.register(_at_exit)
    multiprocessing_util = sys.modules.get("multiprocessing.util")
    if multiprocessing_util is not None:
        multiprocessing_util.Finalize(None, _at_exit, exitpriority=100)
    if not threading.main_thread().is_alive():  # the exit is under way: too late for the hooks
        _begin_exit(live())


def after_submit(reporter: Reporter) -> None:
    """During exit nobody will wait for the threads: deliver at once, within what is left."""
    # Not on another thread, which may be in the midst of the outbox's lock: this may be a
    # finalizer. And not in the midst of draining, which takes what was submitted there along.
    if Exit.thread == threading.get_ident() and not (Exit.draining or sys.is_finalizing()):
        _drain([reporter])


def _begin_exit(reporters: list[Reporter]) -> None:
    Exit.thread = threading.get_ident()
    if Exit.budget is None:
        Exit.budget = max((r.settings.exit_timeout for r in reporters), default=0.0)


def _at_exit() -> None:
    reporters = live()
    _begin_exit(reporters)
    _drain(reporters)


def _drain(reporters: list[Reporter]) -> None:
    Exit.draining = True
    deadline = time.monotonic() + (Exit.budget or 0.0)
    acts: list[Callable[[Reporter], None]] = [
        lambda reporter: reporter.sweep(at_exit=True),
        lambda reporter: reporter.drain(deadline),
        lambda reporter: reporter.write_off(deadline + _TO_CLOSE),
    ]
    try:
        for act in acts:
            for reporter in reporters:
                try:
                    act(reporter)
                except (KeyboardInterrupt, SystemExit):  # somebody will not wait any longer
                    deadline = time.monotonic()
                except Exception:  # noqa: BLE001 - the process ends all the same
                    note_fault("the exit hook")
    finally:
        Exit.budget = max(0.0, deadline - time.monotonic())
        Exit.draining = False


def _in_child() -> None:
    global _lock  # noqa: PLW0603 - one state per process
    _lock = threading.RLock()
    Exit.hooked = Exit.draining = False
    Exit.thread = Exit.budget = None
    for reporter in list(_live):
        reporter.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
