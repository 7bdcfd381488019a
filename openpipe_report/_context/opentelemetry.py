"""
Which trace a call or span belongs to: OpenTelemetry's, where that is loaded and a span is active.

OpenTelemetry is looked for among the modules that are loaded already; nothing is imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from openpipe_report._context.scope import Scope


class Parent(NamedTuple):
    """What a new call or span is a child of, its ids as W3C has them: lowercase hexadecimal."""

    trace_id: str | None
    span_id: str | None
    foreign: int
    """The id of OpenTelemetry's active span; 0 without one."""


def parent_of(scope: Scope) -> Parent:
    """
    Find the parent of what begins here.

    The innermost span counts: ours if OpenTelemetry's active one was active when ours began, else
    that one.
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
    except Exception:  # noqa: BLE001 - half imported, or somebody else's implementation
        return Parent(scope.trace_id, scope.span_id, 0)
