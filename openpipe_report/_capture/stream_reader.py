"""
Who reads a stream: `flush()` reports only those streams that nobody can read on.

The reader is whoever asked for the last piece, not whoever opened the stream: it may have been
opened in a task that `gather()` made, by a thread of a pool, or be read by a new task a step, as
`wait_for()` does it.
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
        self._has_read = False
        self._loop: Any = None
        self._note()

    def on_read(self) -> None:
        """Note that this thread or task asks for the next piece."""
        self._has_read = True
        self._note()

    def _note(self) -> None:
        self._thread = threading.get_ident()
        if not self._is_async:
            return
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # another event loop than asyncio's is told by its thread alone
            self._loop = None

    def is_gone(self) -> bool:
        """
        Return whether nobody can read on: the last reader's thread or event loop has ended.

        A stream that was opened and never read may be on its way to somebody else. One that a
        living thread has read may be read on in a moment, by that thread or another.
        """
        if self._loop is not None:
            return bool(self._loop.is_closed())
        return (self._has_read or self._is_async) and not _is_alive(self._thread)


def _is_alive(ident: int) -> bool:
    return any(thread.ident == ident for thread in threading.enumerate())
