"""
Sleeping in the event loop that runs, whichever it is; none is imported that was not.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def find_sleep() -> Callable[[float], Awaitable[object]]:
    """Return the `sleep` of trio where this coroutine is run by it, else that of asyncio."""
    trio: Any = sys.modules.get("trio")
    if trio is not None and _is_run_by(trio):  # first: as a guest it runs inside of asyncio's
        sleep: Callable[[float], Awaitable[object]] = trio.sleep
        return sleep
    import asyncio  # noqa: PLC0415 - whoever runs a coroutine has it

    return asyncio.sleep


def _is_run_by(trio: Any) -> bool:
    try:
        trio.lowlevel.current_task()
    except (AttributeError, RuntimeError):  # half imported; not in one of its tasks
        return False
    return True
