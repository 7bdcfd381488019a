"""Prints traces as trees: spans by name, and below them the calls that were made in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from openpipe_report.cli.console import cut, escape, print_line
from openpipe_report.cli.values import (
    format_cost,
    format_duration,
    format_tokens,
    get_model,
    local_time,
    shorten_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from openpipe_report._reading import ReportSource, Row

MAX_REPORTS = 1_000
"""Most reports of a trace that are read."""

_GUIDES = {True: ("\u251c\u2500 ", "\u2514\u2500 ", "\u2502  "), False: ("|- ", "`- ", "|  ")}
"""Before a report, before the last one, and beside those below one; in Unicode or not."""
_NARROWEST_TEXT = 24
_REMEMBERED = 10_000
_GAP = "  "


class Node(NamedTuple):
    """A report in its tree."""

    row: Row
    is_last: tuple[bool, ...]
    """Whether it is the last one below its parent, and so for each of its ancestors before."""


def make_tree(rows: Sequence[Row]) -> Iterator[Node]:
    """
    Yield the reports of a trace, each before those below it.

    A report whose parent is missing is at the top, and so is one of a circle of parents.
    """
    below: dict[int | None, list[Row]] = {}
    by_span = {row["span_id"]: row for row in reversed(rows) if row["span_id"]}
    for row in rows:
        parent = by_span.get(row["parent_span_id"])
        below.setdefault(None if parent is None else parent["id"], []).append(row)
    seen: set[int] = set()
    # The rows themselves come last: of them only those in circles are still unseen.
    for top in (*below.get(None, ()), *rows):
        stack = [Node(top, ())]
        while stack:
            node = stack.pop()
            if node.row["id"] in seen:
                continue
            seen.add(node.row["id"])
            yield node
            children = below.get(node.row["id"], [])
            last = len(children) - 1
            stack += [
                Node(child, (*node.is_last, index == last))
                for index, child in reversed(list(enumerate(children)))
            ]


class TracePrinter:
    """
    Prints the whole trace of each report, once.

    Of the traces that were printed it remembers the last ten thousand.

    Args:
        source: Where the traces are.
        console: Where to print them.
        with_cost: Whether to print costs.

    """

    def __init__(self, source: ReportSource, console: Console, *, with_cost: bool) -> None:
        self._source = source
        self._console = console
        self._with_cost = with_cost
        self._printed: dict[str, None] = {}

    def print(self, row: Row) -> None:
        """Print the trace of a report, or the report itself if it is in none."""
        trace_id = row["trace_id"]
        if trace_id is None:
            line = f"{local_time(row['at'])}{_GAP}{_describe(row, with_cost=self._with_cost)}"
            _print_text(line, row, self._console)
        elif trace_id not in self._printed:
            self._printed[trace_id] = None
            if len(self._printed) > _REMEMBERED:
                del self._printed[next(iter(self._printed))]
            self._print_trace(self._source.trace(trace_id) or [row])

    def _print_trace(self, rows: Sequence[Row]) -> None:
        console, with_cost = self._console, self._with_cost
        heading = _heading(rows, console, with_cost=with_cost)
        print_line(console, cut(heading, console.width), "bold")
        for node in make_tree(rows):
            _print(node, console, with_cost=with_cost)
        if len(rows) == MAX_REPORTS:
            print_line(console, f"{_GAP}... the first {MAX_REPORTS:,} reports of this trace")


def _describe(row: Row, *, with_cost: bool) -> str:
    """Return a report in one line; controls are not escaped."""
    if row["span_name"] is not None:
        known = [row["span_name"], _known(format_duration(row["duration_ms"]))]
    else:
        known = [
            f"#{row['id']}",
            (row["endpoint"] or "").removeprefix("/"),
            get_model(row),
            "" if row["status"] is None else str(row["status"]),
            _known(format_duration(row["duration_ms"])),
            _known(format_tokens(row)),
        ]
    if with_cost and row["cost"] is not None:
        known.append(format_cost(row["cost"]))
    if row["error"] is not None:
        known.append(f"! {row['error']}")
    return _GAP.join(one for one in known if one)


def _known(shown: str) -> str:
    return "" if shown == "-" else shown


def _heading(rows: Sequence[Row], console: Console, *, with_cost: bool) -> str:
    first = rows[0]
    costs = [row["cost"] for row in rows if row["cost"] is not None]
    failed = sum(row["failed"] for row in rows)
    known: list[Any] = [
        f"trace {shorten_id(escape(first['trace_id'], console.encoding))}",
        f"{local_time(first['at'])} local time",
        f"{len(rows)} report{'s'[: len(rows) != 1]}",
        f"{failed} failed" if failed else "",
        format_cost(sum(costs)) if costs and with_cost else "",
    ]
    return _GAP.join(one for one in known if one)


def _print(node: Node, console: Console, *, with_cost: bool) -> None:
    middle, last, beside = _GUIDES[console.encoding.startswith("utf")]
    guides = [" " * len(beside) if one else beside for one in node.is_last[:-1]]
    if node.is_last:
        guides.append(last if node.is_last[-1] else middle)
    room = max((console.width - _NARROWEST_TEXT) // len(beside), 1)
    line = _GAP + "".join(guides[-room:]) + _describe(node.row, with_cost=with_cost)
    _print_text(line, node.row, console)


def _print_text(line: str, row: Row, console: Console) -> None:
    shown = cut(escape(line, console.encoding), console.width)
    print_line(console, shown, "red" if row["failed"] else "")
