"""
Objects that are held weakly, and found while they live.

A WeakSet raises where one thread, or a finalizer, adds to it while another one iterates. Here each
change is one step of a dict, and what is iterated is a copy that one call into C makes: safe for
threads, in finalizers and in signal handlers, without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import KeyedRef

if TYPE_CHECKING:
    from collections.abc import Iterator

_Thing = TypeVar("_Thing")


class WeakRegistry(Generic[_Thing]):
    """Iterates over what was added and is still alive, in that order."""

    def __init__(self) -> None:
        self._by_id: dict[int, KeyedRef[int, _Thing]] = {}

    def add(self, thing: _Thing) -> None:
        """Add an object, until it is collected."""
        key = id(thing)
        self._by_id[key] = KeyedRef(thing, self._forget, key)

    def clear(self) -> None:
        """Forget all of them."""
        self._by_id.clear()

    def __iter__(self) -> Iterator[_Thing]:
        for reference in list(self._by_id.values()):
            thing = reference()
            if thing is not None:
                yield thing

    def _forget(self, reference: KeyedRef[int, _Thing]) -> None:
        # Another object may have the same id already.
        if self._by_id.get(reference.key) is reference:
            del self._by_id[reference.key]
