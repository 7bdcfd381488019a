"""Prints a report as a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openpipe_report.cli.console import cut, escape, print_line
from openpipe_report.cli.parts import Lines, describe_value, part_lines
from openpipe_report.cli.values import (
    format_cost,
    format_duration,
    format_label,
    format_tokens,
    get_model,
    local_time,
)
from openpipe_report.server.page.conversation.turns import read_conversation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from openpipe_report._reading import Row
    from openpipe_report.server.page.conversation.parts import Conversation, Turn

_INDENT = "  "


def print_conversation(row: Row, console: Console) -> None:
    """Print what is known of a report, then its turns; all of it, whatever it is made of."""
    talk = read_conversation(row["report"], row["endpoint"])
    for line in _about(row, talk):
        for shown in _wrap(escape(line, console.encoding), console):
            print_line(console, shown, "dim")
    for turn in talk.asked:
        _print_turn(turn, console, "bold cyan")
    for turn in talk.answered:
        _print_turn(turn, console, "bold green")
    error = row["report"].get("errorMessage")
    if error is not None:
        print_line(console, "\nerror", "bold red")
        _print_lines([(line, "red") for line in str(error).split("\n")], console)
    elif not talk.answered:
        print_line(console, "\n(no answer)", "dim")


def _about(row: Row, talk: Conversation) -> Iterator[str]:
    known = (
        f"#{row['id']}",
        f"{local_time(row['at'])} local time",
        row["span_name"] or (row["endpoint"] or "").removeprefix("/"),
        get_model(row),
        None if row["status"] is None else str(row["status"]),
        format_duration(row["duration_ms"]),
    )
    yield _INDENT.join(one for one in known if one and one != "-")
    if (tokens := format_tokens(row)) != "-":
        cost = "" if row["cost"] is None else f"{_INDENT}{format_cost(row['cost'])}"
        yield f"tokens: {tokens}{cost}"
    for name in ("completion_id", "trace_id"):
        if row[name] is not None:
            yield f"{name.removesuffix('_id')}: {row[name]}"
    yield from _named("labels", row["metadata"])
    yield from _named("parameters", talk.parameters)
    if talk.tools:
        yield f"tools: {', '.join(map(_tool_name, talk.tools))}"
    if talk.response_format is not None:
        yield f"response format: {describe_value(talk.response_format)}"


def _named(title: str, values: dict[str, Any]) -> Iterator[str]:
    if values:
        shown = [f"{name}={_short(value)}" for name, value in values.items()]
        yield f"{title}: {_INDENT.join(shown)}"


def _short(value: object) -> str:
    return format_label(value) if isinstance(value, str) else describe_value(value)


def _tool_name(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    kind = tool.get("type") if isinstance(tool, dict) else None
    return name if isinstance(name, str) else str(kind or "?")


def _print_turn(turn: Turn, console: Console, style: str) -> None:
    named = [turn.role, turn.name, turn.note and f"({turn.note})"]
    heading = escape(_INDENT.join(one for one in named if one), console.encoding)
    print_line(console, "")
    print_line(console, cut(heading, console.width), style)
    for part in turn.parts:
        _print_lines(part_lines(part), console)


def _print_lines(lines: Lines, console: Console) -> None:
    for line, style in lines:
        for shown in _wrap(escape(line, console.encoding), console):
            print_line(console, _INDENT + shown, style)


def _wrap(line: str, console: Console) -> list[str]:
    """Return the pieces of a line that fit beside the indentation; in a pipe the line itself."""
    width = console.width - len(_INDENT)
    if len(line) * 2 <= width:
        return [line]
    from rich.text import Text  # noqa: PLC0415 - a terminal alone needs it

    indent = line[: len(line) - len(line.lstrip(" "))][: width // 2]
    pieces = Text(line.lstrip(" ")).wrap(console, width - len(indent))
    return [indent + piece.plain.rstrip(" ") for piece in pieces]
