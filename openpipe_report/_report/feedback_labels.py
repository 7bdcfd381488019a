"""
Names and values of the labels that feedback is kept in.

Client, page and export share them. A label is removed by setting it to null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

FEEDBACK: Final = "feedback"
"""The label that judges an answer: `UP` or `DOWN`."""
UP: Final = "up"
DOWN: Final = "down"
COMMENT: Final = "comment"
"""The label with the words of whoever judged the answer."""
CORRECTED: Final = "corrected"
"""The label with the text that the answer should have had."""


def is_judged(labels: Container[str]) -> bool:
    """Return whether a report with these labels was judged, or its answer corrected."""
    return FEEDBACK in labels or CORRECTED in labels
