"""
Work that a decorated function returns instead of doing it: it stays inside the function's run.

A coroutine, generator or async generator is wrapped in another one, and an object that is awaited
or read, an openai stream for one, is watched in place; the run ends when that is done. A wrapped
generator has the run's scope while it runs, not while it waits for its next step: else it would be
in force for whoever iterates over it. Arguments, results, `send()`, `throw()` and `close()` pass
through.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from openpipe_report._context.lazy_kinds import is_lazy
from openpipe_report._context.lazy_objects import watch
from openpipe_report._context.run import MAX_ITEMS, ActivatedScope, Run
from openpipe_report._log import log_internal_error, run_guarded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

NEVER_AWAITED = "never awaited"
NEVER_ITERATED = "never iterated over"


def settle(run: Run, result: Any) -> Any:
    """
    End a run with its result; if that is work still to be done, when it is done.

    Returns:
        The result, or what stands for it.
    """
    kind: Any = type(result)
    keep = _keeper_of(kind)
    if keep is None:
        run.finish(None, result)
        return result
    try:
        return keep(run, result)
    except Exception:  # noqa: BLE001 - the guard
        log_internal_error("following returned work")
        run.finish(None, result)
        return result


@functools.lru_cache(maxsize=512)
def _keeper_of(kind: type) -> Callable[[Run, Any], Any] | None:
    """Find what keeps a run open for results of a type; None if such a result is final."""
    if issubclass(kind, CoroutineType):
        return _keep_coroutine
    if issubclass(kind, GeneratorType):
        return _keep_generator
    if issubclass(kind, AsyncGeneratorType):
        return _keep_async_generator
    if hasattr(kind, "add_done_callback"):  # asyncio's futures and tasks, those of pools
        return _keep_future
    if is_lazy(kind):
        return _keep_object
    for base in kind.__mro__:
        if base.__name__ in _BODIES:
            return functools.partial(_keep_body, _BODIES[base.__name__])
    return None


def _keep_coroutine(run: Run, coroutine: Any) -> Any:
    run.wait_for(coroutine, NEVER_AWAITED)
    return _named(_await_pending(run), coroutine)


def _keep_generator(run: Run, generator: Any) -> Any:
    if inspect.isawaitable(generator):
        return _keep_coroutine(run, generator)
    run.wait_for(generator, NEVER_ITERATED)
    return _named(generator_function(lambda *_: (run, run.begin_pending))(), generator)


def _keep_async_generator(run: Run, generator: Any) -> Any:
    run.wait_for(generator, NEVER_ITERATED)
    return _named(async_generator_function(lambda *_: (run, run.begin_pending))(), generator)


def _named(made: Any, original: Any) -> Any:
    made.__name__, made.__qualname__ = original.__name__, original.__qualname__
    return made


def _keep_future(run: Run, future: Any) -> Any:
    future.add_done_callback(functools.partial(run_guarded, "ending a run", _on_done, run))
    return future


_BODIES = {
    "StreamingResponse": "body_iterator",  # Starlette's and FastAPI's
    "EventSourceResponse": "body_iterator",  # sse-starlette's
    "StreamingHttpResponse": "streaming_content",  # Django's
    "Response": "response",  # Flask's; others of that name have no such attribute
}
"""Attributes of web frameworks' responses that hold what is to be streamed, by class."""


def _keep_body(name: str, run: Run, response: Any) -> Any:
    body = getattr(response, name, None)
    if isinstance(body, map):  # Django's, over the generator
        body = (part for part in body)
    if isinstance(body, (GeneratorType, AsyncGeneratorType)):
        setattr(response, name, settle(run, body))
    elif is_lazy(type(body)):
        settle(run, body)  # watched in place
    else:
        run.finish(None, response)
    return response


def _on_done(run: Run, future: Any) -> None:
    error: BaseException | None = None
    result = None
    if future.cancelled():
        error = asyncio.CancelledError()
    else:
        # Not by exception(): asyncio would take that for somebody who looks after the error.
        error = getattr(future, "_exception", None)
        result = future.result() if error is None else None
    run.finish(error, result)


def _keep_object(run: Run, result: Any) -> Any:
    if watch(run, result, settle):
        return result
    kind = type(result)
    if hasattr(kind, "send") and hasattr(kind, "throw"):  # a coroutine made in C, or by Cython
        run.wait_for(result, NEVER_AWAITED)
        return _await_pending(run)
    run.finish(None, result)
    return result


async def _await_pending(run: Run) -> Any:
    awaitable = run.begin_pending()
    try:
        with ActivatedScope(run.scope):
            result = await awaitable
    except BaseException as error:
        run.finish(error, None)
        raise
    return settle(run, result)


def generator_function(start: Callable[[Any, Any], tuple[Run, Callable[[], Any]]]) -> Any:
    """
    Make a generator function whose generators run another one inside a run.

    Args:
        start: Gives the run, and what makes the other generator, from the arguments of a call.
    """

    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        this, make = start(args, kwargs)
        within = ActivatedScope(this.scope)
        items = this.items = []
        try:
            with within:
                generator = make()
            step = functools.partial(next, generator)
            while True:
                with within:
                    item = step()
                if len(items) < MAX_ITEMS:
                    items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with within:
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in, so it goes in
                    step = functools.partial(generator.throw, error)
                else:
                    step = functools.partial(generator.send, sent)
        except StopIteration as stop:
            this.finish(None, items)
            return stop.value
        except BaseException as error:
            this.finish(error, items)
            raise

    return run


def async_generator_function(start: Callable[[Any, Any], tuple[Run, Callable[[], Any]]]) -> Any:
    """Make the same for async generators."""

    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        this, make = start(args, kwargs)
        within = ActivatedScope(this.scope)
        items = this.items = []
        try:
            with within:
                generator = make()
            step = generator.__anext__
            while True:
                with within:
                    item = await step()
                if len(items) < MAX_ITEMS:
                    items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with within:
                        await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - as above
                    step = functools.partial(generator.athrow, error)
                else:
                    step = functools.partial(generator.asend, sent)
        except StopAsyncIteration:
            this.finish(None, items)
        except BaseException as error:
            this.finish(error, items)
            raise

    return run
