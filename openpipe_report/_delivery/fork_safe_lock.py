"""
A lock that a forked child does not inherit.
"""

from __future__ import annotations

import os
import threading


class ForkSafeLock:
    """
    A re-entrant lock that is a new one in a forked child: another thread may have held it.

    For objects that live as long as the process: the hook keeps the lock.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
