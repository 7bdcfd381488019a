"""
Background responses whose final state was reported: each is reported once.
"""

from __future__ import annotations

from typing import Any

_FINAL = ("completed", "failed", "incomplete", "cancelled")


class FinalStates:
    """
    The ids of the newest background responses whose final state was reported.

    Shared without a lock: `dict.setdefault` decides in one step which thread was the first.

    Args:
        limit: The number of ids that are kept.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._claims: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def claim(self, value: Any) -> bool:
        """Return whether a value is a final state that was not claimed before."""
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
"""The process has one set: several clients may poll one response."""
