"""
Work that a decorated function returns instead of doing it, which stays inside the function's run.

A coroutine, generator or async generator is wrapped in another one of its kind; a future or task
is given a callback. A package that knows further classes registers a function for them, as
`_openai` does for streams. Every other object is a result, and ends the run at once, since nothing
tells whether an object of an unknown class is work or what came of it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from concurrent.futures import Future
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from openpipe_report._context.generators import (
    async_generator_in_run,
    generator_in_run,
    named_as,
)
from openpipe_report._context.run import ActivatedScope, Run
from openpipe_report._log import log_internal_error, run_guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    KeepOpen = Callable[[Run, Any], None]
    """Keeps a run open until the work of an object is done."""

_finders: list[Callable[[type], KeepOpen | None]] = []

NEVER_AWAITED = "never awaited"
NEVER_ITERATED = "never iterated over"


def register_classes(find: Callable[[type], KeepOpen | None]) -> None:
    """
    Keep runs open for objects of further classes.

    Args:
        find: Returns the function that keeps a run open for objects of a class, or None.
    """
    _finders.append(find)
    _find_keep_open.cache_clear()


def finish_with(run: Run, result: Any) -> Any:
    """
    End a run with its result. If the result is work still to be done, end the run after the work.

    Returns:
        The result, or the wrapper of a coroutine or generator.
    """
    kind: Any = type(result)
    keep_open = _find_keep_open(kind)
    if keep_open is None:
        run.finish(None, result)
        return result
    try:
        return keep_open(run, result)
    except Exception:  # noqa: BLE001 - the guard
        log_internal_error("keeping a run open")
        run.finish(None, result)
        return result


@functools.lru_cache(maxsize=512)
def _find_keep_open(kind: type) -> Callable[[Run, Any], Any] | None:
    """Find the function that keeps a run open for results of a type; None for final results."""
    if issubclass(kind, CoroutineType):
        return _wrap_coroutine
    if issubclass(kind, GeneratorType):
        return _wrap_generator
    if issubclass(kind, AsyncGeneratorType):
        return _wrap_async_generator
    if issubclass(kind, (asyncio.Future, Future)):
        return _add_callback
    for find in _finders:
        keep_open = find(kind)
        if keep_open is not None:
            return functools.partial(_keep_open_in_place, keep_open)
    return None


def _wrap_coroutine(run: Run, coroutine: Any) -> Any:
    run.wait_for(coroutine, NEVER_AWAITED)
    return named_as(coroutine, _await_pending(run))


async def _await_pending(run: Run) -> Any:
    awaitable = run.begin_pending()
    with ActivatedScope(run.scope, run):
        result = await awaitable
    return finish_with(run, result)


def _wrap_generator(run: Run, generator: Any) -> Any:
    if inspect.isawaitable(generator):
        return _wrap_coroutine(run, generator)
    run.wait_for(generator, NEVER_ITERATED)
    return generator_in_run(run, generator)


def _wrap_async_generator(run: Run, generator: Any) -> Any:
    run.wait_for(generator, NEVER_ITERATED)
    return async_generator_in_run(run, generator)


def _keep_open_in_place(keep_open: KeepOpen, run: Run, result: Any) -> Any:
    keep_open(run, result)
    return result


def _add_callback(run: Run, future: Any) -> Any:
    future.add_done_callback(functools.partial(run_guarded, "ending a run", _on_done, run))
    return future


def _on_done(run: Run, future: Any) -> None:
    error: BaseException | None = None
    result = None
    if future.cancelled():
        error = asyncio.CancelledError()
    else:
        # future.exception() would suppress asyncio's "exception was never retrieved".
        error = getattr(future, "_exception", None)
        result = future.result() if error is None else None
    run.finish(error, result)
