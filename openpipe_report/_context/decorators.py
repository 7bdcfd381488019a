"""
Decorators that run functions, coroutines and generators inside a scope; with_context().
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from openpipe_report._context.generators import async_generator_function, generator_function
from openpipe_report._context.returned_work import finish_with
from openpipe_report._context.run import ActivatedScope, Run
from openpipe_report._context.scope import Scope, current_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._context.run import WrappedRun

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def decorate(
    function: _Function, begin: Callable[[tuple[Any, ...], dict[str, Any]], WrappedRun]
) -> _Function:
    """
    Wrap a function of any kind; the wrapper is of the same kind.

    Args:
        function: A function, coroutine function, generator function or async generator function.
        begin: Makes the span, or the carried scope, of a run from the arguments of the call.
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
    elif any(map(inspect.isgeneratorfunction, kinds)) and not _is_awaited(code):
        wrap = _generator
    elif any(map(inspect.iscoroutinefunction, kinds)):
        wrap = _coroutine
    else:
        wrap = _plain
    return cast("_Function", functools.wraps(function)(wrap(function, begin)))


def _is_awaited(function: Any) -> bool:
    """Whether a generator function was made awaitable by `@types.coroutine`."""
    code = getattr(function, "__code__", None)
    return bool(code and code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _plain(function: Any, begin: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        this = Run(begin(args, kwargs))
        with ActivatedScope(this.scope, this):
            result = function(*args, **kwargs)
        return finish_with(this, result)

    return run


def _coroutine(function: Any, begin: Any) -> Any:
    async def run(*args: Any, **kwargs: Any) -> Any:
        this = Run(begin(args, kwargs))
        with ActivatedScope(this.scope, this):
            result = await function(*args, **kwargs)
        return finish_with(this, result)

    return run


def _generator(function: Any, begin: Any) -> Any:
    return generator_function(_starter(function, begin))


def _async_generator(function: Any, begin: Any) -> Any:
    return async_generator_function(_starter(function, begin))


def _starter(function: Any, begin: Any) -> Any:
    def start(args: Any, kwargs: Any) -> tuple[Run, Any]:
        return Run(begin(args, kwargs)), functools.partial(function, *args, **kwargs)

    return start


def argument_binder(
    function: Callable[..., Any],
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """Return a function that names the arguments of a call, without `self` and `cls`."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return lambda args, kwargs: {"args": args, "kwargs": kwargs}

    def name_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            named = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:  # the call will raise it, too
            return {"args": args, "kwargs": kwargs}
        if next(iter(named), None) in {"self", "cls"}:
            del named[next(iter(named))]
        return named

    return name_arguments


def with_context(function: _Function) -> _Function:
    """
    Apply the metadata and the span of this place to a function, wherever it is called.

        with span("answer"), ThreadPoolExecutor() as pool:
            pool.map(with_context(ask), questions)

    Threads of a pool start without them; tasks and `asyncio.to_thread` have them anyway.

    Args:
        function: A function, coroutine function, generator or async generator function.

    Returns:
        A function of the same kind; any number of threads may call it at once.
    """
    # A copy without a token remains in force when the block has ended.
    carried = _Carried(replace(current_scope(), token=None))
    return decorate(function, lambda *_: carried)


@dataclass(frozen=True)
class _Carried:
    inner: Scope

    def start(self) -> Scope:
        return self.inner

    def finish(self, error: BaseException | None, result: Any) -> None:
        pass
