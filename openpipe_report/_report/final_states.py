"""
Background responses whose final state was reported: each is reported once.
"""

from __future__ import annotations

from typing import Any

from openpipe_report._report.recent_ids import RecentIds

_FINAL = ("completed", "failed", "incomplete", "cancelled")


class FinalStates:
    """
    The newest background responses whose final state was reported.

    Args:
        limit: The number of ids that are kept.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._claimed = RecentIds(limit)

    def __len__(self) -> int:
        return len(self._claimed)

    def claim(self, value: Any) -> bool:
        """Return whether a value is a final state that was not claimed before."""
        if not isinstance(value, dict) or not value.get("background"):
            return False
        response_id = value.get("id")
        if not isinstance(response_id, str) or value.get("status") not in _FINAL:
            return False
        return self._claimed.add(response_id)


final_states = FinalStates()
"""The process has one set: several clients may poll one response."""
