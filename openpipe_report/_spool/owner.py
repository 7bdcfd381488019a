"""
The process that owns rows of a spool, and whether it is still alive.

A process on this machine (same boot, same pid namespace) is identified by its pid and start time,
so neither a reused pid nor a changed clock matters. Where that is impossible - another machine or
container, or no /proc - the owner counts as dead once its heartbeat is too old by the wall clock.
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
"""Seconds without a heartbeat after which an owner counts as dead if it cannot be looked up."""


@cache
def this_host() -> str:
    """Return an identifier of the scope in which pids are unique: machine, boot, namespace."""
    boot = _read("/proc/sys/kernel/random/boot_id").strip()
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return "/".join(filter(None, (socket.gethostname(), boot, namespace)))


def start_of(pid: int) -> str:
    """Return a process's start time; empty if it is gone, a zombie, or there is no /proc."""
    # After the name in brackets, which may hold any character: the state, 18 fields, the start
    # time in clock ticks since boot. See proc(5).
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""  # noqa: PLR2004


def _exists(pid: int) -> bool:
    if os.name != "posix":  # on Windows, signal 0 would end the process
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
    """One process's use of one spool; by default this process's. A row of the table `owners`."""

    id: str = field(default_factory=lambda: str(uuid4()))
    host: str = field(default_factory=this_host)
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: start_of(os.getpid()))
    """Start time of the process as `start_of()` gives it; empty if unknown."""
    heartbeat: float = field(default_factory=time.time)
    """Time of the last heartbeat: Unix time in seconds."""

    def is_dead(self, now: float) -> bool:
        """Whether other processes may claim its rows; `now` is Unix time in seconds."""
        if self.host == this_host():
            if self.started:
                return start_of(self.pid) != self.started
            if not _exists(self.pid):
                return True
        # abs(): after the clock was set back, an old heartbeat lies in the future.
        return abs(now - self.heartbeat) > LEASE
