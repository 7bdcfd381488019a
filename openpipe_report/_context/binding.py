"""
The binding of blocks to generators.

A context variable does not follow a generator: each step sees the context of whoever takes it, and
what a step has set stays in force for that one between the steps. So a block that is entered in a
generator is bound to the generator's frame: it is in force where that frame is on the stack of the
calls that run, in any thread, task or context, and nowhere else. Stacks are searched only while
such a block is open somewhere in the process.

Tasks and threads that a generator starts run in copies of the context, which are given the block's
scope when they are made: see `copies`.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar
from weakref import KeyedRef, ref

if TYPE_CHECKING:
    from types import FrameType

    from openpipe_report._context.entering import EnteredIn


class _ThreadKey(threading.local):
    """Something that names the running thread, and no later one: idents are used again."""

    def __init__(self) -> None:
        self.value = object()


_thread_key = _ThreadKey()


def _current_task() -> object | None:
    """Return the task of trio or asyncio that runs."""
    trio: Any = sys.modules.get("trio")
    if trio is not None:  # first: as a guest it runs inside of asyncio's
        with suppress(Exception):  # its RuntimeError, and a module that is half imported
            task: object = trio.lowlevel.current_task()
            return task
    # current_task() raises without a loop, which takes ten times as long as this look.
    loop = asyncio._get_running_loop()  # noqa: SLF001 - one of asyncio.__all__
    return None if loop is None else asyncio.current_task(loop)


class BlockScope(Protocol):
    """What a block puts in force."""

    report: bool


_Scope = TypeVar("_Scope", bound=BlockScope)


class ScopeToken(Generic[_Scope]):
    """One entering of a block, by one thread or task, and perhaps in a generator."""

    __slots__ = (
        "__weakref__",
        "_below",
        "_is_sync",
        "_task",
        "_thread",
        "frame",
        "holds_outside",
        "inner",
        "outer",
        "over",
    )

    def __init__(self) -> None:
        self._thread = _thread_key.value
        task = _current_task()
        self._task = None if task is None else ref(task)
        self.over = False
        self.outer: _Scope | None = None
        """What the context variable held before."""
        self.frame: FrameType | None = None
        """The frame of the generator that the block is bound to, while it is open."""
        self.inner: _Scope | None = None
        """What a bound block has put in force."""
        self.holds_outside = False
        """Whether a bound block holds for the code that takes the generator's steps, too."""
        self._below: ScopeToken[_Scope] | None = None
        self._is_sync = False

    def bind(self, generator: EnteredIn, inner: _Scope) -> None:
        """Bind the block to a generator, within the blocks that it has open already."""
        frame = generator.frame
        key = id(frame)
        below = open_blocks.get(key)
        self._below = None if below is None else below()
        self._is_sync = bool(frame.f_code.co_flags & inspect.CO_GENERATOR)
        self.frame, self.inner = frame, inner
        self.holds_outside = not generator.is_certain
        open_blocks[key] = KeyedRef(self, _forget, key)

    def end(self) -> None:
        """Note that the block is over, wherever it was left."""
        self.over = True
        if self.frame is None:
            return
        key = id(self.frame)
        top = open_blocks.get(key)
        if top is not None and top() is self:
            below = self._below
            while below is not None and below.over:
                below = below._below  # noqa: SLF001 - of this class
            if below is None:
                del open_blocks[key]
            else:
                open_blocks[key] = KeyedRef(below, _forget, key)
            self._below = None
        self.frame = self.inner = None

    def is_own(self) -> bool:
        """
        Whether what runs is what entered the block, rather than a task or thread started inside.

        The former has the block's scope only while the block is open and, if it is a generator's,
        while that runs; the latter keep it. The tasks that a plain generator's thread runs while
        the generator is suspended are its consumer's: those of its own run on top of its frame.
        """
        if self._thread is not _thread_key.value:
            return False
        if self._is_sync:
            return True
        task = _current_task()
        return task is None if self._task is None else task is not None and task is self._task()


def _forget(reference: KeyedRef[int, ScopeToken[Any]]) -> None:
    # Runs wherever the garbage collector does. The dying token still holds its frame, so that no
    # other frame can have this id yet.
    if open_blocks.get(reference.key) is reference:
        del open_blocks[reference.key]


open_blocks: dict[int, KeyedRef[int, ScopeToken[Any]]] = {}
"""
The innermost open block of each generator that has one, by the id of its frame.

Weak, for an async generator may be forgotten unfinished: the token is held by the object of the
`with` statement in the frame, and holds the frame, so both go together. No lock: a frame is run by
one thread at a time, and each change is of one key.
"""


class BoundBlocks(NamedTuple):
    """The blocks of generators that are on a stack."""

    innermost: ScopeToken[Any] | None
    report: bool
    """Whether all of them let calls be reported."""


_NO_BLOCKS = BoundBlocks(innermost=None, report=True)


def find_bound_blocks(frame: FrameType | None) -> BoundBlocks:
    """Find the open blocks of the generators that a frame runs in."""
    if not open_blocks:
        return _NO_BLOCKS
    innermost, report = None, True
    find = open_blocks.get
    while frame is not None:
        reference = find(id(frame))
        token = None if reference is None else reference()
        if token is not None and token.inner is not None:
            innermost = innermost or token
            report = report and token.inner.report
        frame = frame.f_back
    return BoundBlocks(innermost, report)
