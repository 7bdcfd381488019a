"""
What concerns all reporters of a process: sharing them, fork, and exit.

Exit is hooked at the first report of each process, not at import. Besides `atexit` there is
`multiprocessing.util.Finalize`: children started by fork or forkserver leave through `os._exit`
and run no atexit callbacks. From 3.12 on no thread starts inside atexit, so what becomes a
report from then on is sent by the exiting thread itself.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from openpipe_report._guard import logger, note_fault
from openpipe_report._ledger import Flushed

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._reporter import Reporter
    from openpipe_report._settings import Settings

_live: WeakSet[Reporter] = WeakSet()
_shared: dict[Settings, Reporter] = {}
_lock = threading.RLock()
_hooked_in: int | None = None
_exit_deadline: float | None = None
_draining: int | None = None
"""The thread that drains at exit: what a finalizer submits there is drained by its loop."""


def register(reporter: Reporter) -> None:
    """Let `flush()`, `shutdown()`, fork and exit find a reporter."""
    with _lock:
        _live.add(reporter)


def forget(reporter: Reporter) -> None:
    """Let a reporter that was shut down go."""
    with _lock:
        _live.discard(reporter)


def shared_reporter(settings: Settings, make: Callable[[Settings], Reporter]) -> Reporter:
    """Return the one reporter of all clients with equal settings; make it if need be."""
    with _lock:
        reporter = _shared.get(settings)
        if reporter is None or reporter.closed:
            reporter = _shared[settings] = make(settings)
        return reporter


def live() -> list[Reporter]:
    """Every reporter that is not shut down."""
    with _lock:
        return list(_live)


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
    global _hooked_in  # noqa: PLW0603 - one state per process
    if _hooked_in == os.getpid():
        return
    first = _hooked_in is None
    _hooked_in = os.getpid()
    if first:  # a forked child inherits the callback
        atexit.register(_at_exit)
    multiprocessing_util = sys.modules.get("multiprocessing.util")
    if multiprocessing_util is not None:
        multiprocessing_util.Finalize(None, _at_exit, exitpriority=100)


def after_submit(reporter: Reporter) -> None:
    """During exit nobody will wait for the threads: deliver at once, within what is left."""
    if _exit_deadline is None or sys.is_finalizing() or _draining == threading.get_ident():
        return
    _drain(reporter, _exit_deadline)


def _drain(reporter: Reporter, deadline: float) -> None:
    global _draining  # noqa: PLW0603 - one state per process
    _draining = threading.get_ident()
    try:
        reporter.drain(deadline)
    finally:
        _draining = None


def _at_exit() -> None:
    global _exit_deadline  # noqa: PLW0603 - one state per process
    reporters = live()
    if _exit_deadline is None:
        budget = max((r.settings.exit_timeout for r in reporters), default=0.0)
        _exit_deadline = time.monotonic() + budget
    for reporter in reporters:
        try:
            reporter.sweep(at_exit=True)
            _drain(reporter, _exit_deadline)
            left = reporter.ledger.pending
            reporter.abandon("exit")
            if left:
                logger.warning(
                    "openpipe_report: the process ends with %d report(s) to %s undelivered%s",
                    left,
                    reporter.settings.report_url,
                    f" ({reporter.ledger.last_failure})" if reporter.ledger.last_failure else "",
                )
        except Exception:  # noqa: BLE001 - the process ends all the same
            note_fault("the exit hook")


def _in_child() -> None:
    global _lock, _exit_deadline  # noqa: PLW0603 - one state per process
    _lock = threading.RLock()
    _exit_deadline = None
    for reporter in list(_live):
        reporter.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
