"""
Objects that do their work when they are awaited, read or entered: awaitables, iterators, streams
of openai's and other SDKs', their managers, and context managers made by contextlib.

Such an object is watched in place: it is re-classed to a subclass of the same name whose methods
act within the run of the function that returned it, and has its own class again when that is over.
So it stays the same object, with its attributes, its `isinstance` and its methods.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from abc import ABCMeta
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic

from openpipe_report._context.binding import ScopeToken
from openpipe_report._context.run import (
    LEFT_EARLY,
    MAX_ITEMS,
    ActivatedScope,
    Run,
    UnfinishedError,
)
from openpipe_report._context.scope import Scope, enter_scope, exit_scope, surroundings
from openpipe_report._log import run_guarded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from types import FrameType

    from typing_extensions import Self

_HARMLESS = (object, Generic)

_KEY = "_openpipe_work"
_NEVER_AWAITED, _NEVER_READ, _NEVER_ENTERED = "never awaited", "never read", "never entered"

_MANAGERS = ("StreamManager", "ResponseContextManager", "ConnectionManager")
"""How the classes are called whose objects send a request when they are entered."""

_CONTEXTLIB: tuple[Any, ...] = (
    contextlib._GeneratorContextManager,  # noqa: SLF001 - no other name
    contextlib._AsyncGeneratorContextManager,  # noqa: SLF001 - as above
)


_STREAMS = ("Stream", "StreamWrapper")
"""How the classes of streams are called, where they have no `__stream__` as openai's have."""

_OTHER_USES = ("read", "execute", "fetchone", "recv", "receive", "get")
"""Methods of iterators that are files, cursors, connections or queues rather than work."""

_HEAP_TYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: set for the classes that Python code makes."""


def is_lazy(kind: type) -> bool:
    """Whether objects of a class are work to be done rather than its result."""
    return hasattr(kind, "__await__") or _is_iterator(kind) or _is_manager(kind)


def _is_iterator(kind: type) -> bool:
    if not (hasattr(kind, "__next__") or hasattr(kind, "__anext__")):
        return False
    return bool(kind.__flags__ & _HEAP_TYPE) and not any(hasattr(kind, use) for use in _OTHER_USES)


@functools.lru_cache(maxsize=512)
def _is_stream(kind: Any) -> bool:
    """Whether objects of a class are read as a model's answer is, item by item."""
    if not _is_iterator(kind):
        return False
    is_named = any(base.__name__.endswith(_STREAMS) for base in kind.__mro__)
    return is_named or hasattr(kind, "__stream__")


def _is_manager(kind: type) -> bool:
    if issubclass(kind, _CONTEXTLIB):
        return True
    if not (hasattr(kind, "__enter__") or hasattr(kind, "__aenter__")):
        return False
    return any(base.__name__.endswith(_MANAGERS) for base in kind.__mro__)


def watch(run: Run, target: Any, settle: Callable[[Run, Any], Any]) -> bool:
    """
    Keep a run open until a lazy object is done.

    Args:
        run: The run of the function that returned the object.
        target: The object.
        settle: Ends a run with a result, perhaps later.

    Returns:
        False if the object cannot be watched: it is made in C, or its class may have no subclass.
    """
    try:
        work = _work_of(target)
        if work is None:
            _attach(target, _Work(run, settle))
        else:  # a decorator below this one watches it
            work.runs.append(run)
    except Exception:  # noqa: BLE001 - whatever a class does about being derived from
        return False
    kind = type(target)
    reason = _NEVER_AWAITED if hasattr(kind, "__await__") else _NEVER_READ
    run.wait_for(None, _NEVER_ENTERED if _is_manager(kind) else reason)
    return True


class _Work:
    """What is known of a watched object's work."""

    def __init__(self, run: Run, settle: Callable[[Run, Any], Any]) -> None:
        self.runs = [run]
        """The innermost decorator's first."""
        self.is_open = True
        self.is_busy = False
        """Whether a step runs: what the object does to itself in it is a part of that."""
        self.has_stream = False
        """Whether it has opened a stream that is watched, too."""
        self.token: ScopeToken[Scope] | None = None
        """Of a context manager's block, while it is entered."""
        self._settle = settle
        self._items: list[Any] | None = None

    def begin(self) -> _Step:
        """Return what a step of the work is to run in."""
        for run in self.runs:
            run.begin_pending()
        return _Step(self)

    def keep(self, target: Any, item: Any) -> None:
        """Keep an item of a stream. What other iterators give may be large."""
        if not _is_stream(_class_of(target)):
            return
        if self._items is None:
            self._items = []
            for run in self.runs:
                run.items = self._items
        if len(self._items) < MAX_ITEMS:
            self._items.append(item)

    def finish(self, target: Any, error: BaseException | None) -> None:
        """End the runs; the object has its own class again."""
        if self._close(target):
            for run in self.runs:
                run.finish(error, self._items)

    def settle(self, target: Any, result: Any) -> Any:
        """End the runs with a result, or keep them open for the work that it is."""
        if result is target:  # a connection, for one, that is opened by awaiting it
            self.finish(target, None)
        elif self._close(target):
            for run in self.runs:
                result = self._settle(run, result)
        return result

    def _close(self, target: Any) -> bool:
        was_open, self.is_open = self.is_open, False
        run_guarded("leaving an object", _restore, target)
        return was_open


class _Step(ActivatedScope):
    """The scope of a watched object's work, for a step of it."""

    __slots__ = ("_work",)

    def __init__(self, work: _Work) -> None:
        super().__init__(work.runs[0].scope)
        self._work = work

    def __enter__(self) -> Self:
        self._work.is_busy = True
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._work.is_busy = False


def _work_of(target: Any) -> _Work | None:
    """
    Return the work of an object that its caller is to take a step of.

    None where that is over, as in a copy of a watched object, or a step of it runs already.
    """
    work: _Work | None = getattr(type(target), _KEY, None)
    if work is None:
        with suppress(TypeError):  # it has slots, and is not watched
            work = vars(target).get(_KEY)
    return work if work is not None and work.is_open and not work.is_busy else None


def _attach(target: Any, work: _Work) -> None:
    kind = _class_of(target)
    if hasattr(target, "__dict__"):
        attributes = vars(target)
        object.__setattr__(target, "__class__", _subclass(kind))
        attributes[_KEY] = work
    else:  # a class for this object alone, which has no other place for it
        object.__setattr__(target, "__class__", _make_subclass(kind, {"__slots__": (), _KEY: work}))


def _class_of(target: Any) -> Any:
    """Return an object's own class."""
    return getattr(type(target), "_openpipe_base", type(target))


def _restore(target: Any) -> None:
    object.__setattr__(target, "__class__", _class_of(target))
    with suppress(TypeError):
        vars(target).pop(_KEY, None)


class _Unnoticed:
    """A first base that keeps `__init_subclass__` of the second from being called."""

    def __init_subclass__(cls, **_: Any) -> None: ...


class _UnnoticedWithSlots:
    __slots__ = ()

    def __init_subclass__(cls, **_: Any) -> None: ...


@functools.lru_cache(maxsize=256)
def _subclass(kind: Any) -> type:
    return _make_subclass(kind, {})


def _make_subclass(kind: Any, attributes: dict[str, Any]) -> type:
    if type(kind) not in (type, ABCMeta):
        raise TypeError("a metaclass may register what it makes")
    body = {
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "_openpipe_base": kind,
        **attributes,
    }
    bases: tuple[type, ...] = (kind,)
    if any("__init_subclass__" in vars(base) for base in kind.__mro__ if base not in _HARMLESS):
        bases = (_UnnoticedWithSlots if "__slots__" in attributes else _Unnoticed, kind)
    made: type = type(kind)(kind.__name__, bases, body)
    if issubclass(kind, _CONTEXTLIB):
        overrides = {"__enter__": _enter_block, "__aenter__": _aenter_block}
        overrides |= {"__exit__": _exit_block, "__aexit__": _aexit_block}
    elif _is_manager(kind):
        overrides = _ENTERED
    else:
        overrides = {"__await__": _await, "__aiter__": _aiter}
        if hasattr(kind, "__await__"):
            overrides |= _ENTERED
        if _is_iterator(kind):
            overrides |= {"__iter__": _iter, "__next__": _next, "__anext__": _anext}
            for name in ("close", "aclose"):
                is_async = inspect.iscoroutinefunction(getattr(kind, name, None))
                overrides[name] = functools.partial(_async_close if is_async else _close, name)
    for name, override in overrides.items():
        if hasattr(kind, name):
            setattr(made, name, override(made))
    return made


# Each of these makes a method of a class. The method of its base is looked up before the work ends,
# for then the object has that class again.


def _await(made: Any) -> Any:
    def __await__(self: Any) -> Any:  # noqa: N807 - a method to be
        work = _work_of(self)
        iterator = super(made, self).__await__()
        if work is None:
            return iterator
        return _awaiting(work, self, iterator)

    return __await__


def _awaiting(work: _Work, target: Any, iterator: Any) -> Generator[Any, Any, Any]:
    try:
        with work.begin():
            result = yield from iterator
    except BaseException as error:
        work.finish(target, error)
        raise
    return work.settle(target, result)


def _next(made: Any) -> Any:
    def __next__(self: Any) -> Any:  # noqa: N807 - as above
        work, take = _work_of(self), super(made, self).__next__
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
        work, take = _work_of(self), super(made, self).__anext__
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
        work, iterator = _work_of(self), super(made, self).__iter__()
        return iterator if work is None or iterator is self else _iterating(work, self, iterator)

    return __iter__


def _iterating(work: _Work, target: Any, iterator: Any) -> Generator[Any, Any, Any]:
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
        work, iterator = _work_of(self), super(made, self).__aiter__()
        return iterator if work is None or iterator is self else _aiterating(work, self, iterator)

    return __aiter__


async def _aiterating(work: _Work, target: Any, iterator: Any) -> AsyncGenerator[Any]:
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
        work, act = _work_of(self), getattr(super(made, self), name)
        try:
            return act()
        finally:
            if work is not None:
                work.finish(self, UnfinishedError(LEFT_EARLY))

    return close


def _async_close(name: str, made: Any) -> Any:
    async def close(self: Any) -> Any:
        work, act = _work_of(self), getattr(super(made, self), name)
        try:
            return await act()
        finally:
            if work is not None:
                work.finish(self, UnfinishedError(LEFT_EARLY))

    return close


def _follow(work: _Work, entered: Any) -> None:
    """Watch the stream that a manager has opened, as the same work."""
    if work.is_open and _is_stream(_class_of(entered)):
        work.has_stream = True
        run_guarded("following a stream", _attach, entered, work)


def _enter(made: Any) -> Any:
    def __enter__(self: Any) -> Any:  # noqa: N807 - as above
        work, enter = _work_of(self), super(made, self).__enter__
        if work is None:
            return enter()
        try:
            with work.begin():
                entered = enter()
        except BaseException as error:
            work.finish(self, error)
            raise
        _follow(work, entered)
        return entered

    return __enter__


def _aenter(made: Any) -> Any:
    async def __aenter__(self: Any) -> Any:  # noqa: N807 - as above
        work, enter = _work_of(self), super(made, self).__aenter__
        if work is None:
            return await enter()
        try:
            with work.begin():
                entered = await enter()
        except BaseException as error:
            work.finish(self, error)
            raise
        _follow(work, entered)
        return entered

    return __aenter__


def _left(work: _Work, error: BaseException | None) -> BaseException | None:
    """What is to be said of a manager that is left: whether its stream was read to its end."""
    return UnfinishedError(LEFT_EARLY) if work.has_stream else error


def _exit(made: Any) -> Any:
    def __exit__(self: Any, *raised: Any) -> Any:  # noqa: N807 - as above
        work, leave = _work_of(self), super(made, self).__exit__
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
        work, leave = _work_of(self), super(made, self).__aexit__
        if work is None:
            return await leave(*raised)
        try:
            with work.begin():
                return await leave(*raised)
        finally:
            work.finish(self, _left(work, raised[1]))

    return __aexit__


_ENTERED = {"__enter__": _enter, "__aenter__": _aenter, "__exit__": _exit, "__aexit__": _aexit}


# contextlib's: the body of the `with` is inside the run, too.


def _open_block(work: _Work, frame: FrameType | None) -> None:
    work.begin()
    inner, around = work.runs[0].scope, surroundings(frame)
    token: ScopeToken[Scope] = ScopeToken()
    report = inner.report and around.scope.report
    inner = replace(inner, token=token, under=around.under, report=report)
    work.token = token
    enter_scope(inner, token, around, frame)


def _close_block(work: _Work, target: Any, error: BaseException | None) -> None:
    if work.token is not None:
        exit_scope(work.token)
    work.finish(target, error)


def _enter_block(made: Any) -> Any:
    def __enter__(self: Any) -> Any:  # noqa: N807 - as above
        work, enter = _work_of(self), super(made, self).__enter__
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
        work, enter = _work_of(self), super(made, self).__aenter__
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
        work, leave = _work_of(self), super(made, self).__exit__
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
        work, leave = _work_of(self), super(made, self).__aexit__
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
