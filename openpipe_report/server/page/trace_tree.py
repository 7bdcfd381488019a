"""The reports of a trace as a tree, with the place of each in time, for a waterfall."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openpipe_report.server.store import StoredReport

MAX_DEPTH = 40
"""Levels of a tree; deeper reports are shown at the last."""

_LEAST_WIDTH = 0.4


@dataclass
class Node:
    """One report of a trace."""

    row: StoredReport
    start: float
    """Begin of the bar, in percent of the trace's duration."""
    width: float
    """Length of the bar, in percent."""
    is_shown: bool
    """Whether it is the report that the page is about."""
    children: list[Node] = field(default_factory=list)


@dataclass
class Tree:
    """A trace."""

    roots: list[Node]
    count: int
    duration_ms: float
    cost: float | None
    tokens: float | None
    errors: int


def make_tree(rows: Sequence[StoredReport], shown: int | None = None) -> Tree:
    """
    Return the reports of a trace as a tree.

    A report whose parent is not among them, or that is its own ancestor, is a root.

    Args:
        rows: The reports, by the time at which they began.
        shown: The id of the report that the page is about.

    """
    begin = min((row.at for row in rows), default=0)
    end = max((row.at + (row.duration_ms or 0) for row in rows), default=0)
    whole = max(end - begin, 1.0)
    nodes = [_make_node(row, begin, whole, shown) for row in rows]
    by_span = {one.row.span_id: one for one in nodes if one.row.span_id}
    roots: list[Node] = []
    for node in nodes:
        parent = by_span.get(node.row.parent_span_id or "")
        if parent is None or _is_below(node, parent, by_span):
            roots.append(node)
        else:
            parent.children.append(node)
    return Tree(
        roots,
        len(rows),
        end - begin,
        _sum(row.cost for row in rows),
        _sum(row.total_tokens for row in rows),
        sum(row.failed for row in rows),
    )


def _make_node(row: StoredReport, begin: float, whole: float, shown: int | None) -> Node:
    start = 100 * (row.at - begin) / whole
    width = 100 * max(row.duration_ms or 0, 0) / whole
    return Node(
        row,
        round(min(start, 100 - _LEAST_WIDTH), 3),
        round(max(width, _LEAST_WIDTH), 3),
        is_shown=row.id == shown,
    )


def _is_below(node: Node, parent: Node, by_span: dict[str, Node]) -> bool:
    """Whether the parent's ancestors have the node among them, or are too many."""
    one: Node | None = parent
    for _ in range(MAX_DEPTH):
        if one is None:
            return False
        if one is node:
            return True
        one = by_span.get(one.row.parent_span_id or "")
    return True


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
