"""
The trace of a call or span: OpenTelemetry's, if it is loaded and one of its spans is active.

OpenTelemetry is used only if it is imported already.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from openpipe_report._context.scope import Scope


class Parent(NamedTuple):
    """The parent of a new call or span. The ids are lowercase hexadecimal, as W3C defines them."""

    trace_id: str | None
    span_id: str | None
    foreign: int
    """The id of OpenTelemetry's active span; 0 without one."""


def parent_of(scope: Scope) -> Parent:
    """
    Find the parent of a call or span that begins here.

    It is the innermost span: ours if OpenTelemetry's active span was active when ours began, else
    OpenTelemetry's.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return Parent(scope.trace_id, scope.span_id, 0)
    try:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return Parent(scope.trace_id, scope.span_id, 0)
        if context.span_id == scope.foreign_span:
            return Parent(scope.trace_id, scope.span_id, context.span_id)
        ids = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        return Parent(*ids, context.span_id)
    except Exception:  # noqa: BLE001 - half imported, or another implementation
        return Parent(scope.trace_id, scope.span_id, 0)
