"""
The binding of blocks to generators.

A context variable does not belong to a generator: each step runs in the context of its caller, and
what a step sets remains set for that caller between the steps. Therefore a block that is entered in
a generator is bound to the generator's frame. The block is in force in any thread, task or context
whose call stack contains that frame, and nowhere else. Stacks are searched only while such a block
is open somewhere in the process.

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
    """Holds an object that identifies a thread. Thread idents do not: they are reused."""

    def __init__(self) -> None:
        self.value = object()


_thread_key = _ThreadKey()


def _current_task() -> object | None:
    """Return the current task of trio or asyncio."""
    trio: Any = sys.modules.get("trio")
    if trio is not None:  # first: as a guest it runs inside of asyncio's
        with suppress(Exception):  # RuntimeError outside of tasks; a half-imported module
            task: object = trio.lowlevel.current_task()
            return task
    # Without a loop, current_task() raises, which takes ten times as long as this check.
    loop = asyncio._get_running_loop()  # noqa: SLF001 - one of asyncio.__all__
    return None if loop is None else asyncio.current_task(loop)


class BlockScope(Protocol):
    """The part of a scope that is used here."""

    report: bool


_Scope = TypeVar("_Scope", bound=BlockScope)


class ScopeToken(Generic[_Scope]):
    """One entry into a block, by one thread or task, and perhaps in a generator."""

    __slots__ = (
        "__weakref__",
        "_enclosing",
        "_is_sync",
        "_task",
        "_thread",
        "frame",
        "holds_outside",
        "inner",
        "is_over",
        "outer",
    )

    def __init__(self) -> None:
        self._thread = _thread_key.value
        task = _current_task()
        self._task = None if task is None else ref(task)
        self.is_over = False
        self.outer: _Scope | None = None
        """The scope to go back to at the end of the block."""
        self.frame: FrameType | None = None
        """The frame of the generator to which the block is bound, while the block is open."""
        self.inner: _Scope | None = None
        """The scope of a bound block."""
        self.holds_outside = False
        """Whether a bound block is also in force between the generator's steps."""
        self._enclosing: ScopeToken[_Scope] | None = None
        self._is_sync = False

    def bind(self, generator: EnteredIn, inner: _Scope) -> None:
        """Bind the block to a generator, inside the blocks that the generator has open already."""
        frame = generator.frame
        key = id(frame)
        enclosing = open_blocks.get(key)
        self._enclosing = None if enclosing is None else enclosing()
        self._is_sync = bool(frame.f_code.co_flags & inspect.CO_GENERATOR)
        self.frame, self.inner = frame, inner
        self.holds_outside = not generator.is_certain
        open_blocks[key] = KeyedRef(self, _forget, key)

    def end(self) -> None:
        """Record that the block is over. Any thread or task may do this."""
        self.is_over = True
        if self.frame is None:
            return
        key = id(self.frame)
        top = open_blocks.get(key)
        if top is not None and top() is self:
            enclosing = self._enclosing
            while enclosing is not None and enclosing.is_over:
                enclosing = enclosing._enclosing  # noqa: SLF001 - of this class
            if enclosing is None:
                del open_blocks[key]
            else:
                open_blocks[key] = KeyedRef(enclosing, _forget, key)
            self._enclosing = None
        self.frame = self.inner = None

    def is_entered_here(self) -> bool:
        """
        Return whether the running thread or task is the one that entered the block.

        That one has the block's scope only while the block is open and, for a block of a
        generator, while the generator runs. Tasks and threads that were started inside the block
        keep the scope. For a plain generator the thread decides: tasks that its thread runs
        between two steps belong to the consumer, and those of its own run on top of its frame.
        """
        if self._thread is not _thread_key.value:
            return False
        if self._is_sync:
            return True
        task = _current_task()
        return task is None if self._task is None else task is not None and task is self._task()


def _forget(reference: KeyedRef[int, ScopeToken[Any]]) -> None:
    # Called by the garbage collector, in any thread. The dying token still holds its frame, so no
    # other frame can have this id yet.
    if open_blocks.get(reference.key) is reference:
        del open_blocks[reference.key]


open_blocks: dict[int, KeyedRef[int, ScopeToken[Any]]] = {}
"""
The innermost open block of each generator that has one, by the id of its frame.

The references are weak, because an async generator may be dropped unfinished. The object of the
`with` statement in the frame holds the token, and the token holds the frame, so that both are
collected together. There is no lock: one thread at a time runs a frame, and each change affects one
key.
"""


class BoundBlocks(NamedTuple):
    """The open blocks of the generators on a stack."""

    innermost: ScopeToken[Any] | None
    report: bool
    """False if one of the blocks is an opt-out."""


_NO_BLOCKS = BoundBlocks(innermost=None, report=True)


def find_bound_blocks(frame: FrameType | None) -> BoundBlocks:
    """Find the open blocks of the generators on the stack of a frame."""
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
