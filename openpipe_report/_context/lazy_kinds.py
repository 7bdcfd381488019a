"""
Which objects are lazy: they do their work when they are awaited, read or entered.

Awaitables, iterators, streams of openai's and other SDKs', their managers, and context managers
made by contextlib are lazy; other context managers, files, cursors and connections are results.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

_MANAGERS = ("StreamManager", "ResponseContextManager", "ConnectionManager")
"""How the classes are called whose objects send a request when they are entered."""

_STREAMS = ("Stream", "StreamWrapper")
"""How the classes of streams are called, where they have no `__stream__` as openai's have."""

_OTHER_USES = (
    "execute",
    "fetchone",
    "get",
    "poll",
    "read",
    "receive",
    "recv",
    "seek",
    "write",
)
"""Methods of iterators that are files, cursors, connections or queues rather than work."""

_HEAP_TYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: set for the classes that Python code makes."""

_BLOCKS: tuple[Any, ...] = (
    contextlib._GeneratorContextManager,  # noqa: SLF001 - no other name
    contextlib._AsyncGeneratorContextManager,  # noqa: SLF001 - as above
)


def is_lazy(kind: Any) -> bool:
    """Whether objects of a class are work to be done rather than its result."""
    return hasattr(kind, "__await__") or is_iterator(kind) or is_manager(kind) or is_block(kind)


def is_iterator(kind: Any) -> bool:
    """Whether objects of a class are read item by item, and are good for nothing else."""
    if not (hasattr(kind, "__next__") or hasattr(kind, "__anext__")):
        return False
    return bool(kind.__flags__ & _HEAP_TYPE) and not any(hasattr(kind, use) for use in _OTHER_USES)


@functools.lru_cache(maxsize=512)
def is_stream(kind: Any) -> bool:
    """Whether objects of a class are iterators over a model's answer."""
    if not is_iterator(kind):
        return False
    is_named = any(base.__name__.endswith(_STREAMS) for base in kind.__mro__)
    return is_named or hasattr(kind, "__stream__")


def is_manager(kind: Any) -> bool:
    """Whether objects of a class send a request when they are entered."""
    if not (hasattr(kind, "__enter__") or hasattr(kind, "__aenter__")):
        return False
    return any(base.__name__.endswith(_MANAGERS) for base in kind.__mro__)


def is_block(kind: Any) -> bool:
    """Whether objects of a class are context managers made of generators."""
    return issubclass(kind, _BLOCKS)
