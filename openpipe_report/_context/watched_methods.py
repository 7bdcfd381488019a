"""
The methods of watched objects, in place of those of their own class.

Each function here makes a method of a class that is derived from an object's own. The method goes
on to that of the base, which it looks up before the work ends, for then the object has its own
class again.
"""

from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openpipe_report._context.binding import ScopeToken
from openpipe_report._context.lazy_kinds import is_block, is_iterator, is_manager
from openpipe_report._context.run import LEFT_EARLY, UnfinishedError
from openpipe_report._context.scope import Scope, enter_scope, exit_scope, surroundings
from openpipe_report._context.watched_work import Work, work_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from types import FrameType


def methods_for(kind: Any) -> dict[str, Callable[[Any], Any]]:
    """Return what makes each method that objects of a class need, by the method's name."""
    entered = {"__enter__": _enter, "__aenter__": _aenter, "__exit__": _exit, "__aexit__": _aexit}
    if is_block(kind):
        methods = {"__enter__": _enter_block, "__aenter__": _aenter_block}
        methods |= {"__exit__": _exit_block, "__aexit__": _aexit_block}
    elif is_manager(kind):
        methods = entered
    else:
        methods = {"__await__": _await, "__aiter__": _aiter}
        if hasattr(kind, "__await__"):
            methods |= entered
        if is_iterator(kind):
            methods |= {"__iter__": _iter, "__next__": _next, "__anext__": _anext}
            for name in ("close", "aclose"):
                is_async = inspect.iscoroutinefunction(getattr(kind, name, None))
                methods[name] = functools.partial(_async_close if is_async else _close, name)
    return {name: make for name, make in methods.items() if hasattr(kind, name)}


def _await(made: Any) -> Any:
    def __await__(self: Any) -> Any:  # noqa: N807 - a method to be
        work = work_of(self)
        iterator = super(made, self).__await__()
        if work is None:
            return iterator
        return _awaiting(work, self, iterator)

    return __await__


def _awaiting(work: Work, target: Any, iterator: Any) -> Generator[Any, Any, Any]:
    try:
        with work.begin():
            result = yield from iterator
    except BaseException as error:
        work.finish(target, error)
        raise
    return work.settle(target, result)


def _next(made: Any) -> Any:
    def __next__(self: Any) -> Any:  # noqa: N807 - as above
        work, take = work_of(self), super(made, self).__next__
        if work is None:
            return take()
        try:
            with work.begin():
                item = take()
        except StopIteration:
            work.finish(self, None)
            raise
        except BaseException as error:
            work.finish(self, error)
            raise
        work.keep(self, item)
        return item

    return __next__


def _anext(made: Any) -> Any:
    async def __anext__(self: Any) -> Any:  # noqa: N807 - as above
        work, take = work_of(self), super(made, self).__anext__
        if work is None:
            return await take()
        try:
            with work.begin():
                item = await take()
        except StopAsyncIteration:
            work.finish(self, None)
            raise
        except BaseException as error:
            work.finish(self, error)
            raise
        work.keep(self, item)
        return item

    return __anext__


def _iter(made: Any) -> Any:
    def __iter__(self: Any) -> Any:  # noqa: N807 - as above
        work, iterator = work_of(self), super(made, self).__iter__()
        return iterator if work is None or iterator is self else _iterating(work, self, iterator)

    return __iter__


def _iterating(work: Work, target: Any, iterator: Any) -> Generator[Any, Any, Any]:
    """Read an object to its end; whoever stops before may go on with another iteration."""
    while True:
        try:
            with work.begin():
                item = next(iterator)
        except StopIteration as stop:
            work.finish(target, None)
            return stop.value
        except BaseException as error:
            work.finish(target, error)
            raise
        work.keep(target, item)
        yield item


def _aiter(made: Any) -> Any:
    def __aiter__(self: Any) -> Any:  # noqa: N807 - as above
        work, iterator = work_of(self), super(made, self).__aiter__()
        return iterator if work is None or iterator is self else _aiterating(work, self, iterator)

    return __aiter__


async def _aiterating(work: Work, target: Any, iterator: Any) -> AsyncGenerator[Any]:
    try:
        while True:
            try:
                with work.begin():
                    item = await anext(iterator)
            except StopAsyncIteration:
                work.finish(target, None)
                return
            except BaseException as error:
                work.finish(target, error)
                raise
            work.keep(target, item)
            yield item
    finally:
        aclose = getattr(iterator, "aclose", None)
        if aclose is not None:
            await aclose()


def _close(name: str, made: Any) -> Any:
    def close(self: Any) -> Any:
        work, act = work_of(self), getattr(super(made, self), name)
        try:
            return act()
        finally:
            if work is not None:
                work.finish(self, UnfinishedError(LEFT_EARLY))

    return close


def _async_close(name: str, made: Any) -> Any:
    async def close(self: Any) -> Any:
        work, act = work_of(self), getattr(super(made, self), name)
        try:
            return await act()
        finally:
            if work is not None:
                work.finish(self, UnfinishedError(LEFT_EARLY))

    return close


def _enter(made: Any) -> Any:
    def __enter__(self: Any) -> Any:  # noqa: N807 - as above
        work, enter = work_of(self), super(made, self).__enter__
        if work is None:
            return enter()
        try:
            with work.begin():
                entered = enter()
        except BaseException as error:
            work.finish(self, error)
            raise
        work.follow(entered)
        return entered

    return __enter__


def _aenter(made: Any) -> Any:
    async def __aenter__(self: Any) -> Any:  # noqa: N807 - as above
        work, enter = work_of(self), super(made, self).__aenter__
        if work is None:
            return await enter()
        try:
            with work.begin():
                entered = await enter()
        except BaseException as error:
            work.finish(self, error)
            raise
        work.follow(entered)
        return entered

    return __aenter__


def _left(work: Work, error: BaseException | None) -> BaseException | None:
    """What is to be said of a manager that is left: whether its stream was read to its end."""
    return UnfinishedError(LEFT_EARLY) if work.has_stream else error


def _exit(made: Any) -> Any:
    def __exit__(self: Any, *raised: Any) -> Any:  # noqa: N807 - as above
        work, leave = work_of(self), super(made, self).__exit__
        if work is None:
            return leave(*raised)
        try:
            with work.begin():
                return leave(*raised)
        finally:
            work.finish(self, _left(work, raised[1]))

    return __exit__


def _aexit(made: Any) -> Any:
    async def __aexit__(self: Any, *raised: Any) -> Any:  # noqa: N807 - as above
        work, leave = work_of(self), super(made, self).__aexit__
        if work is None:
            return await leave(*raised)
        try:
            with work.begin():
                return await leave(*raised)
        finally:
            work.finish(self, _left(work, raised[1]))

    return __aexit__


# contextlib's: the body of the `with` is inside the run, too.


def _open_block(work: Work, frame: FrameType | None) -> None:
    work.begin()
    inner, around = work.runs[0].scope, surroundings(frame)
    token: ScopeToken[Scope] = ScopeToken()
    report = inner.report and around.scope.report
    inner = replace(inner, token=token, under=around.under, report=report)
    work.token = token
    enter_scope(inner, token, around, frame)


def _close_block(work: Work, target: Any, error: BaseException | None) -> None:
    if work.token is not None:
        exit_scope(work.token)
    work.finish(target, error)


def _enter_block(made: Any) -> Any:
    def __enter__(self: Any) -> Any:  # noqa: N807 - as above
        work, enter = work_of(self), super(made, self).__enter__
        if work is None:
            return enter()
        _open_block(work, sys._getframe(1))  # noqa: SLF001 - as in `metadata`
        try:
            return enter()
        except BaseException as error:
            _close_block(work, self, error)
            raise

    return __enter__


def _aenter_block(made: Any) -> Any:
    async def __aenter__(self: Any) -> Any:  # noqa: N807 - as above
        work, enter = work_of(self), super(made, self).__aenter__
        if work is None:
            return await enter()
        _open_block(work, sys._getframe(1))  # noqa: SLF001 - as above
        try:
            return await enter()
        except BaseException as error:
            _close_block(work, self, error)
            raise

    return __aenter__


def _exit_block(made: Any) -> Any:
    def __exit__(self: Any, *raised: Any) -> Any:  # noqa: N807 - as above
        work, leave = work_of(self), super(made, self).__exit__
        if work is None:
            return leave(*raised)
        try:
            is_handled = leave(*raised)
        except BaseException as error:
            _close_block(work, self, error)
            raise
        _close_block(work, self, None if is_handled else raised[1])
        return is_handled

    return __exit__


def _aexit_block(made: Any) -> Any:
    async def __aexit__(self: Any, *raised: Any) -> Any:  # noqa: N807 - as above
        work, leave = work_of(self), super(made, self).__aexit__
        if work is None:
            return await leave(*raised)
        try:
            is_handled = await leave(*raised)
        except BaseException as error:
            _close_block(work, self, error)
            raise
        _close_block(work, self, None if is_handled else raised[1])
        return is_handled

    return __aexit__
