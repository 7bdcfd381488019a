"""
The reader of a stream: `flush()` reports only streams that have no reader any more.

The reader is the thread or event loop that asked for the last chunk, not the one that opened the
stream. A stream may be opened in a task of `gather()` or in a thread of a pool, and each chunk may
be read in a task of its own, as by `wait_for()`.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class StreamReader:
    """
    The thread or task that reads one stream.

    Args:
        is_async: Whether the stream is read by `async for`.
    """

    __slots__ = ("_has_read", "_is_async", "_loop", "_thread")

    def __init__(self, *, is_async: bool) -> None:
        self._is_async = is_async
        self._loop: Any = None
        self.on_read()
        self._has_read = False

    def on_read(self) -> None:
        """Record that this thread or task asks for the next chunk; never raise."""
        self._has_read = True
        self._thread = threading.get_ident()
        if not self._is_async:
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # other event loops than asyncio's: the thread decides
            self._loop = None

    def is_gone(self) -> bool:
        """
        Return whether the thread or event loop of the last reader has ended.

        A stream that was opened and never read may still be handed to another thread. A stream that
        a living thread has read may be read further by that thread or another.
        """
        if self._loop is not None:
            return bool(self._loop.is_closed())
        return (self._has_read or self._is_async) and not _is_alive(self._thread)


def _is_alive(ident: int) -> bool:
    return any(thread.ident == ident for thread in threading.enumerate())
