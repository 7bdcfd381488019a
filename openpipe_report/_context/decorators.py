"""
Running functions, coroutines and generators inside a scope, as decorators do.

A generator has the scope while it runs, not while it waits for its next step: else it would be in
force for whoever iterates over it. Arguments, results, `send()`, `throw()` and `close()` pass
through.
"""

from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from openpipe_report._context.scope import Scope, current_scope, scope, surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from typing_extensions import Self

_Function = TypeVar("_Function", bound="Callable[..., Any]")

MAX_ITEMS = 10_000
"""Items of a generator that are kept as its result."""


class WrappedRun(Protocol):
    """What goes on around one run of a decorated function."""

    def start(self) -> Scope:
        """Begin; return the scope for the run."""
        ...

    def finish(self, error: BaseException | None, result: Any) -> None:
        """End, with the exception that left the run, and its result or what there is of it."""
        ...


class ActivatedScope:
    """Puts a scope in force for a block, any number of times; keeps what the block made of it."""

    def __init__(self, inner: Scope) -> None:
        self._inner = inner

    def __enter__(self) -> Self:
        self._outer = scope.get()
        inner = self._inner
        around = surroundings(sys._getframe(1))  # noqa: SLF001 - the public ways are slow
        if inner.under is not around.under:
            inner = self._inner = replace(inner, under=around.under)
        if inner.report and not around.scope.report:  # an opt-out of whoever takes this step
            inner = replace(inner, report=False)
        self._active = inner
        scope.set(inner)
        return self

    def __exit__(self, *_: object) -> None:
        left = scope.get()
        if left is not self._active:  # a block was entered, and stays open until the next step
            self._inner = left
        scope.set(self._outer)


def decorate(
    function: _Function, begin: Callable[[tuple[Any, ...], dict[str, Any]], WrappedRun]
) -> _Function:
    """
    Wrap a function of any kind; the wrapper is of the same kind.

    Args:
        function: A function, coroutine function, generator function or async generator function.
        begin: Makes the work of a run from its arguments.
    """
    if not callable(function) or isinstance(function, (type, staticmethod, classmethod)):
        raise TypeError(
            f"only functions can be decorated, got {type(function).__name__}: put the decorator "
            "below @staticmethod, @classmethod and @property, and on methods, not on classes"
        )
    code: Any = function if hasattr(function, "__code__") else type(function).__call__
    kinds = (function, code)
    if any(map(inspect.isasyncgenfunction, kinds)):
        wrap: Any = _async_generator
    elif any(map(inspect.isgeneratorfunction, kinds)):
        wrap = _generator
    elif any(map(inspect.iscoroutinefunction, kinds)):
        wrap = _coroutine
    else:
        wrap = _plain
    return cast("_Function", functools.wraps(function)(wrap(function, begin)))


class _Run:
    """One run of a function or coroutine, as a block."""

    def __init__(self, work: WrappedRun) -> None:
        self._work = work
        self._within = ActivatedScope(work.start())
        self.result: Any = None

    def __enter__(self) -> Self:
        self._within.__enter__()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._within.__exit__()
        self._work.finish(error, self.result)


def _plain(function: Any, begin: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _Run(begin(args, kwargs)) as this:
            this.result = function(*args, **kwargs)
        return this.result

    return run


def _coroutine(function: Any, begin: Any) -> Any:
    async def run(*args: Any, **kwargs: Any) -> Any:
        with _Run(begin(args, kwargs)) as this:
            this.result = await function(*args, **kwargs)
        return this.result

    return run


def _generator(function: Any, begin: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        work = begin(args, kwargs)
        within = ActivatedScope(work.start())
        items: list[Any] = []
        try:
            with within:
                generator = function(*args, **kwargs)
            step = functools.partial(next, generator)
            while True:
                with within:
                    item = step()
                _keep(items, item)
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
            work.finish(None, items)
            return stop.value
        except BaseException as error:
            work.finish(error, items)
            raise

    return run


def _async_generator(function: Any, begin: Any) -> Any:
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        work = begin(args, kwargs)
        within = ActivatedScope(work.start())
        items: list[Any] = []
        try:
            with within:
                generator = function(*args, **kwargs)
            step = generator.__anext__
            while True:
                with within:
                    item = await step()
                _keep(items, item)
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
            work.finish(None, items)
        except BaseException as error:
            work.finish(error, items)
            raise

    return run


def _keep(items: list[Any], item: Any) -> None:
    if len(items) < MAX_ITEMS:
        items.append(item)


def argument_binder(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """Return what gives the arguments of a call by name, but for `self` and `cls`."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return lambda args, kwargs: {"args": args, "kwargs": kwargs}

    def name_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            named = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:  # the function will say so itself
            return {"args": args, "kwargs": kwargs}
        if next(iter(named), None) in {"self", "cls"}:
            del named[next(iter(named))]
        return named

    return name_arguments


def with_context(function: _Function) -> _Function:
    """
    Carry the metadata and span that are in force here to wherever a function is called.

        with span("answer"), ThreadPoolExecutor() as pool:
            pool.map(with_context(ask), questions)

    Threads of a pool begin without them; tasks and `asyncio.to_thread` have them anyway.

    Args:
        function: A function, coroutine function, generator or async generator function.

    Returns:
        A function of the same kind; any number of threads may call it at once.
    """
    # A copy: it holds even when the block it is of is over.
    carried = _Carried(replace(current_scope(), token=None))
    return decorate(function, lambda *_: carried)


@dataclass(frozen=True)
class _Carried:
    inner: Scope

    def start(self) -> Scope:
        return self.inner

    def finish(self, error: BaseException | None, result: Any) -> None:
        pass
