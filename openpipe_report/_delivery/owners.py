"""
The reporters of one channel, held weakly.

A WeakSet raises where one thread adds to it while another one iterates. Here each change is one
step of a dict, and what is iterated is a copy that one call into C makes: safe for threads, in
finalizers and in signal handlers, without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import KeyedRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openpipe_report._delivery.queue import ReportOwner


class Owners:
    """Iterates over those that are still alive."""

    def __init__(self) -> None:
        self._by_id: dict[int, KeyedRef[int, ReportOwner]] = {}

    def add(self, owner: ReportOwner) -> None:
        """Add a reporter, until it is collected."""
        key = id(owner)
        self._by_id[key] = KeyedRef(owner, self._forget, key)

    def __iter__(self) -> Iterator[ReportOwner]:
        for reference in list(self._by_id.values()):
            owner = reference()
            if owner is not None:
                yield owner

    def _forget(self, reference: KeyedRef[int, ReportOwner]) -> None:
        # Another reporter may have the same id already.
        if self._by_id.get(reference.key) is reference:
            del self._by_id[reference.key]
