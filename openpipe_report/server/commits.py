"""Lets coroutines wait for commits, with one wake-up of the event loop for all of a batch."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future


_Result = TypeVar("_Result")


class Commits:
    """
    Futures of the store's thread that coroutines of one event loop wait for.

    `asyncio.wrap_future` wakes the loop for each future, which takes a system call; here the first
    of a batch wakes it for all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Appended to by the store's thread and emptied by the loop's: both are one step of C.
        self._done: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._is_woken = False

    async def wait(self, future: Future[_Result]) -> _Result:
        """Wait until the future is done; return its result or raise its exception."""
        waiter: asyncio.Future[_Result] = self._loop.create_future()
        future.add_done_callback(lambda done: self._on_done(waiter, done))
        return await waiter

    def _on_done(self, waiter: asyncio.Future[Any], future: Future[Any]) -> None:
        self._done.append((waiter, future))
        # After the append: `_release` clears the flag before it looks, so none is left behind.
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._is_woken = False
        while self._done:
            waiter, future = self._done.popleft()
            if waiter.done():
                continue
            error = future.exception()
            if error is None:
                waiter.set_result(future.result())
            else:
                waiter.set_exception(error)
