"""Our client with its only sender blocked: what remains is the caller's own part."""

from __future__ import annotations

from functools import partial

from comparison.tool import Tool

IMPORTS = ("openpipe_report",)


def set_up(sink: str) -> Tool:
    del sink
    from added_to_caller import Held

    import openpipe_report

    held = Held()
    return Tool(
        partial(openpipe_report.OpenAI, reporter=held.reporter),
        partial(openpipe_report.AsyncOpenAI, reporter=held.reporter),
        held.let_go,
    )
