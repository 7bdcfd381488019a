"""
A bounded set of ids that keeps the newest.
"""

from __future__ import annotations

from collections import OrderedDict


class RecentIds:
    """
    Keeps so many ids at the most, and drops the oldest.

    Shared by threads without a lock: each step is one call into C.

    Args:
        limit: The number of ids that are kept.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, object] = OrderedDict()

    def add(self, new: str) -> bool:
        """Add an id; return whether it is new. Of several threads that add it, one is told so."""
        mark = object()
        is_new = self._ids.setdefault(new, mark) is mark
        while len(self._ids) > self._limit:
            try:
                self._ids.popitem(last=False)
            except KeyError:  # another thread was faster
                break
        return is_new

    def __contains__(self, given: str) -> bool:
        return given in self._ids

    def __len__(self) -> int:
        return len(self._ids)
