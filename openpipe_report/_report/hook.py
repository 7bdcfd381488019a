"""
Calls the hook `before_report`, which fails closed: what it raises on is not sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report._log import log_internal_error
from openpipe_report._report.model import Report

if TYPE_CHECKING:
    from collections.abc import Callable


def call_hook(hook: Callable[[Any], Any], report: Report) -> Report | str:
    """Return the report that the hook leaves, or the reason of its loss; empty if held back."""
    try:
        left = hook(report)
        return "" if left is None else Report.model_validate(left.to_wire())
    except BaseException:  # noqa: BLE001 - fails closed, whatever the hook does
        log_internal_error("before_report")
        return "before_report raised"
