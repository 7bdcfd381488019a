"""
Copies of the context that are made while a generator's block is open.

A step of a generator may run in a context in which the block was not entered. The tasks, threads
and callbacks that the step starts run in copies of that context, so each copy is given the scope
that is in force where it is made. Nothing runs when a generator is resumed, so this is done where
contexts are copied: `contextvars.copy_context()`, and the task factory of the event loop, as a task
copies its context in C.

Neither is replaced before a block is entered in a generator. The task factory is put back by the
first task that is made when no such block is open. What this cannot reach: contexts that other C
code copies, which are callbacks of futures, and uvloop's `call_soon()`; and tasks of anyio's groups
where the loop's own task factory is an eager one.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from openpipe_report._context.binding import open_blocks
from openpipe_report._log import log_internal_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Find = Callable[[FrameType], Any]

_copy_context = contextvars.copy_context


def carry_into_copies(variable: contextvars.ContextVar[Any], find: Find) -> None:
    """
    Set a context variable in the copies that are made from now on, in this event loop at least.

    Args:
        variable: The variable.
        find: Returns its value for copies that a frame makes; None if that is what it holds.
    """
    if contextvars.copy_context is _copy_context:
        _replace_copy_context(_ContextCopier(variable, find))
    loop = asyncio._get_running_loop()  # noqa: SLF001 - one of asyncio.__all__
    if loop is not None:
        factory = loop.get_task_factory()
        if not isinstance(factory, _TaskFactory):
            loop.set_task_factory(_TaskFactory(factory, variable, find))


def _replace_copy_context(copy_context: Any) -> None:
    for module in list(sys.modules.values()):  # anyio and trio import the function by its name
        names = None
        with suppress(AttributeError):
            # Not getattr(): that executes a module that importlib.util.LazyLoader has put there.
            names = object.__getattribute__(module, "__dict__")
        if isinstance(names, dict) and names.get("copy_context") is _copy_context:
            names["copy_context"] = copy_context


class _ContextCopier:
    """
    Stands for `contextvars.copy_context()`.

    It is no function, because the builtin does not become a method of a class that it is put into.
    """

    def __init__(self, variable: contextvars.ContextVar[Any], find: Find) -> None:
        functools.update_wrapper(self, _copy_context)
        self._variable = variable
        self._find = find

    def __call__(self) -> contextvars.Context:
        context = _copy_context()
        if open_blocks:
            value = _find_guarded(self._find)
            if value is not None:
                context.run(self._variable.set, value)
        return context

    def __reduce__(self) -> str:
        return "copy_context"


class _TaskFactory:
    """Makes the tasks of one event loop, by the task factory that the loop has had before."""

    def __init__(self, previous: Any, variable: contextvars.ContextVar[Any], find: Find) -> None:
        self._previous = previous
        self._variable = variable
        self._find = find

    def __getattr__(self, name: str) -> Any:
        # anyio starts no task of a group eagerly: it looks at the code of the loop's task factory.
        if name == "_previous":  # not set: a copy without __init__
            raise AttributeError(name)
        return getattr(self._previous, name)

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        make: Any = self._previous or _make_task
        if not open_blocks:
            if loop.get_task_factory() is self:
                loop.set_task_factory(self._previous)
            return make(loop, coroutine, **options)
        value = None
        if options.get("context") is None:  # else it was copied before
            value = _find_guarded(self._find)
        if value is None:
            return make(loop, coroutine, **options)
        before = self._variable.get()
        self._variable.set(value)
        try:
            return make(loop, coroutine, **options)
        finally:
            self._variable.set(before)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    return asyncio.tasks.Task(coroutine, loop=loop, **options)  # as event loops do


def _find_guarded(find: Find) -> Any:
    """Find the value for the caller of the function that calls this one."""
    try:
        return find(sys._getframe(2))  # noqa: SLF001 - the public ways are slow
    except ValueError:  # nothing of Python's calls it: a thread that runs a builtin alone
        return None
    except Exception:  # noqa: BLE001 - the guard
        log_internal_error("carrying a block into a copied context")
        return None
