"""
The work of a watched object: the runs that it keeps open, its steps and its end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from openpipe_report._context.lazy_kinds import is_stream
from openpipe_report._context.run import MAX_ITEMS, ActivatedScope, Run
from openpipe_report._log import run_guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from openpipe_report._context.binding import ScopeToken
    from openpipe_report._context.scope import Scope

KEY = "_openpipe_work"
"""The attribute of a watched object, or of its class, that holds its work."""


class Work:
    """
    What is known of a watched object's work.

    Args:
        run: The run of the function that returned the object.
        settle: Ends a run with a result, perhaps later.
        attach: Watches another object as the same work.
    """

    def __init__(
        self,
        run: Run,
        settle: Callable[[Run, Any], Any],
        attach: Callable[[Any, Work], None],
    ) -> None:
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
        self._attach = attach
        self._items: list[Any] | None = None

    def begin(self) -> Step:
        """Return what a step of the work is to run in."""
        for run in self.runs:
            run.begin_pending()
        return Step(self)

    def keep(self, target: Any, item: Any) -> None:
        """Keep an item of a stream. What other iterators give may be large."""
        if not is_stream(class_of(target)):
            return
        if self._items is None:
            self._items = []
            for run in self.runs:
                run.items = self._items
        if len(self._items) < MAX_ITEMS:
            self._items.append(item)

    def follow(self, entered: Any) -> None:
        """Watch the stream that a manager has opened, as the same work."""
        if self.is_open and is_stream(class_of(entered)):
            self.has_stream = True
            run_guarded("following a stream", self._attach, entered, self)

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

    def give_up(self, target: Any) -> None:
        """End the runs with the object as their result, for it is no work of theirs alone."""
        self.is_open = False
        for run in self.runs:
            run.finish(None, target)
        self.runs.clear()

    def _close(self, target: Any) -> bool:
        was_open, self.is_open = self.is_open, False
        run_guarded("leaving an object", _restore, target)
        return was_open


class Step(ActivatedScope):
    """The scope of a watched object's work, for a step of it."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        super().__init__(work.runs[0].scope)
        self._work = work

    def __enter__(self) -> Self:
        self._work.is_busy = True
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._work.is_busy = False


def any_work_of(target: Any) -> Work | None:
    """Return the work of an object, open or not."""
    work: Work | None = getattr(type(target), KEY, None)
    if work is None:
        with suppress(TypeError):  # it has slots, and is not watched
            work = vars(target).get(KEY)
    return work


def work_of(target: Any) -> Work | None:
    """
    Return the work of an object that its caller is to take a step of.

    None where that is over, as in a copy of a watched object, or a step of it runs already.
    """
    work = any_work_of(target)
    return work if work is not None and work.is_open and not work.is_busy else None


def class_of(target: Any) -> Any:
    """Return an object's own class."""
    return getattr(type(target), "_openpipe_base", type(target))


def _restore(target: Any) -> None:
    object.__setattr__(target, "__class__", class_of(target))
    with suppress(TypeError):
        vars(target).pop(KEY, None)
