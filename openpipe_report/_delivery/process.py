"""
The end of a process and its forks: what every reporter of the process has to do then.

Exit is hooked at the first report of each process, not at import. Besides `atexit` there is
`multiprocessing.util.Finalize`: children started by fork or forkserver leave through `os._exit`
and run no atexit callbacks before 3.13. Other forked children call `os._exit` themselves, which is
replaced in those that have reported. From 3.12 on no thread starts inside atexit, so the exiting
thread may have to send by itself.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from openpipe_report._delivery.weak_registry import WeakRegistry
from openpipe_report._log import log_internal_error, run_guarded

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCK_ERROR = 0.05
"""Seconds by which the kernel's and Python's clocks may differ."""

_NANOSECONDS = 1e12
"""From here on a time since 1970 is one in nanoseconds: `logging._startTime` since 3.13."""

_TO_CLOSE = 0.3
"""Seconds beyond the budget in which all participants together may close their spools."""


class Participant(Protocol):
    """What takes part in the exit and the forks of the process."""

    @property
    def closed(self) -> bool:
        """Whether it was shut down, and takes part no more."""
        ...

    @property
    def exit_timeout(self) -> float:
        """Seconds that it may hold the process at its exit."""
        ...

    def sweep(self, *, at_exit: bool) -> None:
        """Report the streams that are still open."""
        ...

    def drain(self, deadline: float) -> None:
        """Deliver what is pending, until `deadline` (monotonic)."""
        ...

    def drop_remaining(self, deadline: float) -> None:
        """Count as lost what is still pending, within `deadline` (monotonic)."""
        ...

    def reset(self) -> None:
        """Start empty, in a forked child."""
        ...


class ExitState:
    """How far the exit of this process has come."""

    def __init__(self) -> None:
        self.hooked = False
        self.thread: int | None = None
        """The thread that runs the exit hooks, once it does."""
        self.budget: float | None = None
        """Seconds that are left for all participants together; only our own waiting uses it up."""
        self.draining = False


class _ProcessState:
    """What this process knows of its participants and its exit; a forked child renews it."""

    def __init__(self) -> None:
        self.participants: WeakRegistry[Participant] = WeakRegistry()
        self.exit = ExitState()
        self.is_forked = False
        """Whether this process is a forked child."""


_state = _ProcessState()


def exit_state() -> ExitState:
    """Return how far the exit of this process has come."""
    return _state.exit


def register(participant: Participant) -> None:
    """Let fork and exit find a participant, which is held weakly."""
    _state.participants.add(participant)


def participants(*, closed: bool = False) -> list[Participant]:
    """Every participant that is not shut down; with `closed` those as well."""
    return [each for each in _state.participants if closed or not each.closed]


def hook_exit() -> None:
    """Hook the exit of this process, once."""
    if _state.exit.hooked:
        return
    _state.exit.hooked = True
    atexit.unregister(_at_exit)  # a forked child may have inherited it
    atexit.register(_at_exit)
    multiprocessing_util = sys.modules.get("multiprocessing.util")
    if multiprocessing_util is not None:
        multiprocessing_util.Finalize(None, _at_exit, exitpriority=100)
    if os._exit is _system_exit and (_state.is_forked or _was_forked_before_import()):
        os._exit = _exit_after_delivery
    if not threading.main_thread().is_alive():  # the exit is under way: too late for the hooks
        _begin_exit(participants())


_system_exit = os._exit


def _was_forked_before_import() -> bool:
    """
    Return whether this process was forked before it imported this module, as RQ's work horses are.

    No fork hook of ours has run then. But `logging` was imported before the process began, by the
    kernel's clock (proc(5), field 22 of stat). Where that cannot be told: False.
    """
    try:
        stat = Path("/proc/self/stat").read_text("utf-8", "replace")
        began = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began
        imported: float = logging._startTime  # type: ignore[attr-defined]  # noqa: SLF001
    except (OSError, ValueError, IndexError, AttributeError):
        return False
    since_import = time.time() - (imported / 1e9 if imported > _NANOSECONDS else imported)
    return 0 <= age < since_import - _CLOCK_ERROR


def _exit_after_delivery(status: int) -> NoReturn:
    """
    Stand for `os._exit` in a forked child that has reported: deliver first, within the budget.

    RQ's work horses and Celery's workers end like this, past atexit. `exit_timeout=0` turns it off.
    """
    try:
        _at_exit()
    except BaseException:  # noqa: BLE001 - the process ends, whatever happens
        log_internal_error("the exit hook")
    finally:
        _system_exit(status)


def deliver_during_exit(participant: Participant) -> None:
    """Deliver at once, within what is left: during exit nobody waits for the threads."""
    # Not on another thread, which may hold the lock of the queue: this may be a finalizer. And not
    # while draining, which takes along what was submitted meanwhile.
    state = _state.exit
    if state.thread == threading.get_ident() and not (state.draining or sys.is_finalizing()):
        _drain([participant])


def _begin_exit(leaving: list[Participant]) -> None:
    _state.exit.thread = threading.get_ident()
    if _state.exit.budget is None:
        _state.exit.budget = max((each.exit_timeout for each in leaving), default=0.0)


def _at_exit() -> None:
    for each in participants():
        run_guarded("the exit hook", functools.partial(each.sweep, at_exit=True))
    leaving = participants()  # with a reporter that a span has made just now
    _begin_exit(leaving)
    _drain(leaving)


def _drain(leaving: list[Participant]) -> None:
    state = _state.exit
    state.draining = True
    deadline = time.monotonic() + (state.budget or 0.0)
    acts: list[Callable[[Participant], None]] = [
        lambda each: each.sweep(at_exit=True),
        lambda each: each.drain(deadline),
        lambda each: each.drop_remaining(deadline + _TO_CLOSE),
    ]
    try:
        for act in acts:
            for each in leaving:
                try:
                    act(each)
                except (KeyboardInterrupt, SystemExit):  # the user does not wait any longer
                    deadline = time.monotonic()
                except Exception:  # noqa: BLE001 - the process ends all the same
                    log_internal_error("the exit hook")
    finally:
        state.budget = max(0.0, deadline - time.monotonic())
        state.draining = False


def _in_child() -> None:
    _state.exit = ExitState()
    _state.is_forked = True
    for participant in _state.participants:
        participant.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
