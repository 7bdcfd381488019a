"""
The context variables: the scope that is in force, and the call whose request is running.

Scopes are values: entering a block sets a new scope, and leaving the block sets the previous one.
`Token.reset()` is not used, since it raises if another task leaves the block than entered it.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from openpipe_report._context.binding import (
    ScopeToken,
    find_bound_blocks,
    open_blocks,
)
from openpipe_report._context.copies import carry_into_copies
from openpipe_report._context.entering import generator_of
from openpipe_report._log import run_guarded
from openpipe_report._report.label_values import LabelValue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from openpipe_report._context.called import CalledReporters
    from openpipe_report._delivery.reporter import Reporter

MetadataValue = LabelValue


@dataclass(slots=True, eq=False)
class Scope:
    """
    The labels, the span and the opt-out that apply to calls; never changed, only replaced.

    The dataclass is not frozen, because that triples the time of construction.
    """

    metadata: Mapping[str, MetadataValue] = field(default_factory=dict[str, MetadataValue])
    trace_id: str | None = None
    span_id: str | None = None
    report: bool = True
    reporter: Reporter | None = None
    called: CalledReporters | None = None
    """The reporters of the calls made inside the innermost span."""
    foreign_span: int = 0
    """OpenTelemetry's span that was active when the innermost span of ours began."""
    token: ScopeToken[Scope] | None = None
    """The entry into the block that set the scope; None for a copy without a block."""
    generator_block: ScopeToken[Scope] | None = None
    """The innermost block of a running generator around the place where the scope was set."""


scope: ContextVar[Scope] = ContextVar("openpipe_report_scope", default=Scope())  # noqa: B039

current_call: ContextVar[Any] = ContextVar("openpipe_report_call", default=None)
"""The call whose `request()` is running; None inside a request that is not reported."""


class ScopeLookup(NamedTuple):
    """The scopes that were found in one place."""

    in_force: Scope
    """The scope that applies to calls made here."""
    in_variable: Scope
    """The scope that the context variable holds."""
    without_generators: Scope
    """The same, or the scope around it if it is of a generator that does not run here."""
    generator_block: ScopeToken[Scope] | None
    """The innermost block of a generator that runs here."""


def current_scope() -> Scope:
    """
    Return the scope that applies to calls made here.

    A block can exit in another task, or out of order with the blocks of a second generator. The
    context variable then still holds its scope, which is skipped here, but not in tasks that were
    started inside the block.
    """
    current = scope.get()
    if not open_blocks and ((token := current.token) is None or not token.is_over):
        return current
    return look_up_scopes(sys._getframe(1)).in_force  # noqa: SLF001 - the public ways are slow


def look_up_scopes(frame: FrameType | None) -> ScopeLookup:
    """
    Find the scope that applies to the calls that a frame makes.

    The innermost block of a generator on the stack has precedence over the context variable, unless
    the variable was set inside that block. An opt-out of either applies.
    """
    innermost, report = find_bound_blocks(frame)
    held = in_variable = _drop_ended_blocks(scope.get())
    while (token := held.token) is not None and token is not innermost:
        is_bound = token.frame is not None and not token.holds_outside
        if not (token.is_over or is_bound) or not token.is_entered_here():
            break
        held = token.outer or Scope()
    is_set_inside = held.token is innermost or held.generator_block is innermost
    if innermost is None or innermost.inner is None or is_set_inside:
        found = held
    else:
        found = innermost.inner
        report = report and held.report
    if found.report and not report:
        found = replace(found, report=False)
    return ScopeLookup(found, in_variable, held, innermost)


def _drop_ended_blocks(current: Scope) -> Scope:
    """Remove from the context variable the scopes of ended blocks that were entered here."""
    remaining = current
    while (token := remaining.token) is not None and token.is_over and token.is_entered_here():
        remaining = token.outer or Scope()
    if remaining is not current:
        scope.set(remaining)
    return remaining


def child_scope(around: ScopeLookup, token: ScopeToken[Scope], **changes: Any) -> Scope:
    """Return the scope of a block: the one around it, with changes."""
    return replace(around.in_force, token=token, generator_block=around.generator_block, **changes)


def enter_scope(
    inner: Scope, token: ScopeToken[Scope], around: ScopeLookup, frame: FrameType | None
) -> None:
    """
    Set the scope of a block.

    Args:
        inner: The scope.
        token: The entry into the block.
        around: The scopes around the block.
        frame: The frame that called `__enter__`.
    """
    generator = generator_of(frame)
    if generator is None:
        token.outer = around.in_variable
    else:
        # Without other generators: their blocks could form a chain that grows with each of them.
        token.outer = around.without_generators
        token.bind(generator, inner)
        run_guarded("preparing copies of contexts", carry_into_copies, scope, _scope_for_copies)
    scope.set(inner)


def _scope_for_copies(frame: FrameType) -> Scope | None:
    """Return the scope for a copy of the context that a frame makes; None if it is set already."""
    around = look_up_scopes(frame)
    if around.generator_block is None:
        return None if around.in_force is around.in_variable else around.in_force
    # Without a token: the work in the copied context may go on when the block has ended.
    return replace(around.in_force, token=None, generator_block=around.generator_block)


def exit_scope(token: ScopeToken[Scope]) -> None:
    """Set the scope before the block again, or let the inner blocks set it when they exit."""
    token.end()
    current = scope.get()
    if current.token is token:
        scope.set(token.outer or Scope())
        _drop_ended_blocks(scope.get())
        return
    # Blocks of generators were entered meanwhile: take this block out of the chain below them.
    inner = current.token
    while inner is not None and inner.outer is not None:
        if inner.outer.token is token:
            inner.outer = token.outer
            return
        inner = inner.outer.token
