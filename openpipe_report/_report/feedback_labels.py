"""
Names and values of the labels that feedback is kept in.

Client, page and export share them. A label is removed by setting it to null.
"""

from __future__ import annotations

from typing import Final

FEEDBACK: Final = "feedback"
"""The label that judges an answer: `UP` or `DOWN`."""
UP: Final = "up"
DOWN: Final = "down"
COMMENT: Final = "comment"
"""The label with the words of whoever judged the answer."""
CORRECTED: Final = "corrected"
"""The label with the text that the answer should have had."""
