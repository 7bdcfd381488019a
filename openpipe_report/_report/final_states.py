"""
Which background responses have been reported in their final state: each of them once.
"""

from __future__ import annotations

from typing import Any

_FINAL = ("completed", "failed", "incomplete", "cancelled")


class FinalStates:
    """
    The ids of background responses whose final state was reported, the newest of them.

    Shared without a lock: `dict.setdefault` decides in one step which thread was the first.

    Args:
        limit: How many ids are remembered.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._claims: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def claim(self, value: Any) -> bool:
        """Return whether it is a final state that nobody has seen before."""
        if not isinstance(value, dict) or not value.get("background"):
            return False
        response_id = value.get("id")
        if not isinstance(response_id, str) or value.get("status") not in _FINAL:
            return False
        claim = object()
        is_first = self._claims.setdefault(response_id, claim) is claim
        while len(self._claims) > self._limit:
            self._claims.pop(next(iter(self._claims)), None)
        return is_first


final_states = FinalStates()
"""Those of the process: several clients may poll one response."""
