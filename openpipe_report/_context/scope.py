"""
The context variables: the scope that is in force, and the call whose request is running.

A scope is a value: entering makes a new one, leaving puts the old one back by value, never by
`Token.reset`, which raises when a scope is left from another task than it was entered in.
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

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from openpipe_report._context.called import CalledReporters
    from openpipe_report._delivery.reporter import Reporter

MetadataValue = str | int | float | bool | None


@dataclass(slots=True, eq=False)
class Scope:
    """
    What `metadata()` and `span()` have put in force; never changed, only replaced.

    Not frozen in name, for that trebles the time it takes to make one.
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
    """The entering of a block that put it in force."""
    under: ScopeToken[Scope] | None = None
    """The innermost block of a generator that was in force where it was put in force."""


scope: ContextVar[Scope] = ContextVar("openpipe_report_scope", default=Scope())  # noqa: B039

current_call: ContextVar[Any] = ContextVar("openpipe_report_call", default=None)
"""The call whose `request()` is running; None inside a request that is not reported."""


class Surroundings(NamedTuple):
    """What is in force in one place, and where it comes from."""

    scope: Scope
    variable: Scope
    """What the context variable holds."""
    held: Scope
    """The same without the blocks of generators that do not run here."""
    under: ScopeToken[Scope] | None
    """The innermost block of a generator that runs here."""


def current_scope() -> Scope:
    """
    Return what is in force here.

    A block can exit in another task, or out of order with the blocks of a second generator. Its
    scope then stays current here and is skipped, but not by the tasks that were started inside.
    """
    current = scope.get()
    if not open_blocks and ((token := current.token) is None or not token.over):
        return current
    return surroundings(sys._getframe(1)).scope  # noqa: SLF001 - the public ways are slow


def surroundings(frame: FrameType | None) -> Surroundings:
    """
    Find what is in force for the calls that a frame makes.

    The innermost block of a generator on the stack wins over the context variable, unless that was
    set by a block within it. An opt-out of either holds.
    """
    innermost, report = find_bound_blocks(frame)
    held = variable = _drop_left_blocks(scope.get())
    while (token := held.token) is not None and token is not innermost:
        is_elsewhere = token.frame is not None and not token.holds_outside
        if not (token.over or is_elsewhere) or not token.is_own():
            break
        held = token.outer or Scope()
    within = held.token is innermost or held.under is innermost
    if innermost is None or innermost.inner is None or within:
        found = held
    else:
        found = innermost.inner
        report = report and held.report
    if found.report and not report:
        found = replace(found, report=False)
    return Surroundings(found, variable, held, innermost)


def _drop_left_blocks(current: Scope) -> Scope:
    """Put the scopes of blocks that are over out of the context variable, where they are ours."""
    left = current
    while left.token is not None and left.token.over and left.token.is_own():
        left = left.token.outer or Scope()
    if left is not current:
        scope.set(left)
    return left


def child_scope(around: Surroundings, token: ScopeToken[Scope], **changes: Any) -> Scope:
    """Return what is to be in force in a block: what is around it, but for the changes."""
    return replace(around.scope, token=token, under=around.under, **changes)


def enter_scope(
    inner: Scope, token: ScopeToken[Scope], around: Surroundings, frame: FrameType | None
) -> None:
    """
    Put a block's scope in force.

    Args:
        inner: The scope.
        token: Its token.
        around: What is in force around the block.
        frame: The frame that called `__enter__`.
    """
    generator = generator_of(frame)
    if generator is None:
        token.outer = around.variable
    else:
        # Not a block of another generator: those may be entered one after the other without end.
        token.outer = around.held
        token.bind(generator, inner)
        carry_into_copies(scope, _scope_for_copies)
    scope.set(inner)


def _scope_for_copies(frame: FrameType) -> Scope | None:
    """Find what is in force for copies of the context that a frame makes, if that is not set."""
    around = surroundings(frame)
    if around.under is None:
        return None if around.scope is around.variable else around.scope
    # A copy of it: the block that it is of may end before what runs in the context does.
    return replace(around.scope, token=None, under=around.under)


def exit_scope(token: ScopeToken[Scope]) -> None:
    """Bring back what was in force before the block; where it is not the innermost, later."""
    token.end()
    current = scope.get()
    if current.token is token:
        scope.set(token.outer or Scope())
        _drop_left_blocks(scope.get())
        return
    # Blocks of generators were entered since: what is started from now on must not find this one.
    inner = current.token
    while inner is not None and inner.outer is not None:
        if inner.outer.token is token:
            inner.outer = token.outer
            return
        inner = inner.outer.token
