"""
Owner: which process answers for a row of the spool, and whether that process still lives.

A process of this machine (same boot, same pid namespace) is looked up by its pid and the time it
started at, so a clock that is set does not matter, nor a pid that is used again. Where that cannot
tell - another machine or container, no /proc - its heartbeat does, by wall clock.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import uuid4

LEASE = 30.0
"""Seconds without a heartbeat after which an owner that cannot be looked up counts as dead."""


@cache
def this_host() -> str:
    """Name what pids are unique in: the machine, its boot, and the pid namespace."""
    boot = _read("/proc/sys/kernel/random/boot_id").strip()
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return "/".join(filter(None, (socket.gethostname(), boot, namespace)))


def start_of(pid: int) -> str:
    """Return when a process started; empty if it is gone, a zombie, or /proc is not there."""
    # Behind the name in brackets, which may hold anything, come the state and 18 more, proc(5).
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""  # noqa: PLR2004


def _exists(pid: int) -> bool:
    if os.name != "posix":  # there, signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Owner:
    """One use of a spool by one process; by default, by this one."""

    id: str = field(default_factory=lambda: str(uuid4()))
    host: str = field(default_factory=this_host)
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: start_of(os.getpid()))
    """When the process started, in the system's own unit; empty where that is not known."""
    heartbeat: float = field(default_factory=time.time)
    """When it last said that it lives: Unix time in seconds."""

    def is_dead(self, now: float) -> bool:
        """Whether another may take over its rows; `now` is Unix time in seconds."""
        if self.host == this_host():
            if self.started:
                return start_of(self.pid) != self.started
            if not _exists(self.pid):
                return True
        # Either way: after the clock was set back, an old heartbeat may lie in the future.
        return abs(now - self.heartbeat) > LEASE
