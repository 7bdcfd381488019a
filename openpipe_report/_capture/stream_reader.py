"""
Who reads a stream: `flush()` reports only those streams that its own thread or task left open.

The reader is whoever asked for the last piece, not whoever opened the stream: it may have been
opened in a task that `gather()` made, by a thread of a pool, or be read by a new task a step, as
`wait_for()` does it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from weakref import ref


class StreamReader:
    """
    The thread or task that reads one stream.

    Args:
        is_async: Whether the stream is read by `async for`.
    """

    __slots__ = ("_has_read", "_is_async", "_loop", "_task", "_thread")

    def __init__(self, *, is_async: bool) -> None:
        self._is_async = is_async
        self._has_read = False
        self._task: Any = None
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
            task = asyncio.current_task()
        except RuntimeError:  # another event loop than asyncio's
            task = None
        if task is None:
            self._task = self._loop = None
        elif self._task is None or self._task() is not task:
            self._task, self._loop = ref(task), task.get_loop()

    def is_gone(self) -> bool:
        """
        Return whether nobody else can be reading the stream.

        It is gone where this thread or task itself was the last to read, or where its thread or
        event loop runs no more. A stream that was opened and never read may be on its way to
        somebody else, and is left alone, unless this thread or task opened it.
        """
        if not self._is_async:
            if self._thread == threading.get_ident():
                return True
            return self._has_read and not _is_alive(self._thread)
        if self._loop is None:  # a task of another kind of loop is told by its thread alone
            return not _is_alive(self._thread)
        try:
            current = asyncio.current_task()
        except RuntimeError:
            current = None
        task = self._task()
        if current is not None and task is current:
            return True
        return not self._loop.is_running()


def _is_alive(ident: int) -> bool:
    return any(thread.ident == ident for thread in threading.enumerate())
