"""
Watching lazy objects in place, for the run of the function that returned them.

An object is re-classed to a subclass of the same name whose methods act within the run, and has its
own class again when that is over. So it stays the same object, with its attributes, its
`isinstance` and its methods.
"""

from __future__ import annotations

import functools
from abc import ABCMeta
from typing import TYPE_CHECKING, Any, Generic

from openpipe_report._context.lazy_kinds import is_block, is_manager
from openpipe_report._context.watched_methods import methods_for
from openpipe_report._context.watched_work import KEY, Work, any_work_of, class_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from openpipe_report._context.run import Run

_NEVER_AWAITED, _NEVER_READ, _NEVER_ENTERED = "never awaited", "never read", "never entered"

_HARMLESS = (object, Generic)
"""Classes whose `__init_subclass__` keeps no register."""


def watch(run: Run, target: Any, settle: Callable[[Run, Any], Any]) -> bool:
    """
    Keep a run open until a lazy object is done.

    Args:
        run: The run of the function that returned the object.
        target: The object.
        settle: Ends a run with a result, perhaps later.

    Returns:
        False if the object is not watched: it is made in C, its class may have no subclass, or it
        is returned again and again, as a pool of connections is that everybody shares.
    """
    try:
        work = any_work_of(target)
        if work is None:
            _attach(target, Work(run, settle, _attach))
        elif work.is_open and run.number < work.runs[-1].number:  # a decorator around the last one
            work.runs.append(run)
        else:
            work.give_up(target)
            return False
    except Exception:  # noqa: BLE001 - whatever a class does about being derived from
        return False
    kind = class_of(target)
    reason = _NEVER_AWAITED if hasattr(kind, "__await__") else _NEVER_READ
    run.wait_for(None, _NEVER_ENTERED if is_manager(kind) or is_block(kind) else reason)
    return True


def _attach(target: Any, work: Work) -> None:
    kind = class_of(target)
    if hasattr(target, "__dict__"):
        attributes = vars(target)
        object.__setattr__(target, "__class__", _subclass(kind))
        attributes[KEY] = work
    else:  # a class for this object alone, which has no other place for it
        object.__setattr__(target, "__class__", _make_subclass(kind, {"__slots__": (), KEY: work}))


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
    for name, make in methods_for(kind).items():
        setattr(made, name, make(made))
    return made
