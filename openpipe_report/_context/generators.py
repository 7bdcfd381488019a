"""
Generators that step another generator inside a run.

The run's scope is set during each step and not between the steps, where it would apply to the
consumer. `send()`, `throw()`, `close()` and results pass through.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from openpipe_report._context.run import MAX_ITEMS, ActivatedScope, Run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


def generator_function(start: Callable[[Any, Any], tuple[Run, Callable[[], Any]]]) -> Any:
    """
    Make a generator function whose generators step another generator inside a run.

    Args:
        start: Returns the run and a function that makes the other generator, for the arguments of a
            call.
    """

    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        this, make = start(args, kwargs)
        activated = ActivatedScope(this.scope)
        items = this.items = []
        try:
            with activated:
                generator = make()
            step = functools.partial(next, generator)
            while True:
                with activated:
                    item = step()
                if len(items) < MAX_ITEMS:
                    items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with activated:
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
        activated = ActivatedScope(this.scope)
        items = this.items = []
        try:
            with activated:
                generator = make()
            step = generator.__anext__
            while True:
                with activated:
                    item = await step()
                if len(items) < MAX_ITEMS:
                    items.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with activated:
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


def generator_in_run(run: Run, generator: Any) -> Any:
    """Wrap a generator that exists already; the run ends when the generator ends."""
    return named_as(generator, generator_function(lambda *_: (run, run.begin_pending))())


def async_generator_in_run(run: Run, generator: Any) -> Any:
    """Wrap an async generator that exists already; the run ends when the generator ends."""
    return named_as(generator, async_generator_function(lambda *_: (run, run.begin_pending))())


def named_as(original: Any, wrapper: Any) -> Any:
    """Give the wrapper of a generator or coroutine the original's names."""
    wrapper.__name__, wrapper.__qualname__ = original.__name__, original.__qualname__
    return wrapper
