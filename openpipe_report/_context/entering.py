"""
Which generator a block is entered in, as the stack of calls tells it.
"""

from __future__ import annotations

import inspect
from opcode import opmap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import FrameType

_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR

_WITH = {opmap.get("SETUP_WITH"), opmap.get("BEFORE_WITH")}  # Python 3.10, and up to 3.13
_LOAD_SPECIAL = opmap.get("LOAD_SPECIAL")  # before the call of `__enter__`, from 3.14

_ENTERING = frozenset(
    {
        "__enter__",
        "__aenter__",
        "enter_context",
        "enter_async_context",
        "call_fixture_func",  # pytest's
        "_run_tests_and_fixtures",  # anyio's, in tests
        "resolve_dependency",  # Litestar's
        "async_next",  # the same
    }
)
"""
The names of functions that enter a generator as a context manager: contextlib's, those of classes
like its own, and of tools that make fixtures and dependencies of generators.
"""


class EnteredIn(NamedTuple):
    """The generator in which a block is entered."""

    frame: FrameType
    is_certain: bool
    """False if the block may be meant for the code that has begun the generator."""


def generator_of(frame: FrameType | None) -> EnteredIn | None:
    """
    Find the generator that a block is to be bound to, if there is one.

    It is the nearest generator that runs the code that enters the block, through any number of
    functions, since they may leave the block open when they return. A `with` statement of a
    function ends its block before that, and so needs no binding.

    A generator that is entered as a context manager itself (`@contextmanager`, a fixture) does not
    count: its block is meant for the body of a `with` in its caller. A generator that is begun
    somewhere below an `__enter__` may be either.

    Args:
        frame: The frame that called `__enter__`.
    """
    unclear: FrameType | None = None
    while frame is not None:
        flags = frame.f_code.co_flags
        if flags & _GENERATOR and not _is_awaitable(frame):
            back = frame.f_back
            if back is None or back.f_code.co_name not in _ENTERING:
                if not _is_begun_by_enter(frame):
                    return EnteredIn(frame, is_certain=True)
                unclear = unclear or frame
        elif _is_at_with(frame):
            break
        frame = _caller_of(frame)
    return None if unclear is None else EnteredIn(unclear, is_certain=False)


def _caller_of(frame: FrameType) -> FrameType | None:
    """Return the frame that calls or awaits another one; None for the coroutine of a task."""
    back = frame.f_back
    is_coroutine = frame.f_code.co_flags & inspect.CO_COROUTINE
    if is_coroutine and back is not None and not _is_awaiting(back):
        return None
    return back


def _is_awaiting(frame: FrameType) -> bool:
    asynchronous = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
    return bool(frame.f_code.co_flags & asynchronous) or _is_awaitable(frame)


def _is_awaitable(frame: FrameType) -> bool:
    """Whether a generator is one that coroutines await."""
    code = frame.f_code
    return bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE) or code.co_name == "__await__"


def _is_begun_by_enter(frame: FrameType) -> bool:
    """Whether a generator runs below a function that enters a context manager."""
    caller = _caller_of(frame)
    while caller is not None and not caller.f_code.co_flags & _GENERATOR:
        if caller.f_code.co_name in {"__enter__", "__aenter__"}:
            return True
        if _is_at_with(caller):
            return False
        caller = _caller_of(caller)
    return False


def _is_at_with(frame: FrameType) -> bool:
    """Whether a frame is at the beginning of a `with` statement."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at] in _WITH or (at > 1 and code[at - 2] == _LOAD_SPECIAL)
