"""What is in force at a place, as the calls that are made there would have it."""

from __future__ import annotations

import asyncio
import gc

from openpipe_report._context.binding import open_blocks
from openpipe_report._context.scope import current_scope

NOTHING = (None, True)


def labels():
    """What a call made here would have: its label, and whether it would be reported."""
    current = current_scope()
    return current.metadata.get("of"), current.report


async def async_labels():
    """The same in a coroutine, after a step of the event loop."""
    await asyncio.sleep(0)
    return labels()


def check_nothing_left():
    """No block of a generator is left open, and none is in force."""
    gc.collect()
    assert not open_blocks
    assert labels() == NOTHING
