from __future__ import annotations

import os

from comparison.tool import Tool

IMPORTS = ("openpipe_report",)


def set_up(sink: str) -> Tool:
    os.environ["OPENPIPE_BASE_URL"] = f"{sink}/api/v1"
    os.environ["OPENPIPE_API_KEY"] = "key"
    import openpipe_report

    return Tool(
        openpipe_report.OpenAI,
        openpipe_report.AsyncOpenAI,
        lambda: openpipe_report.flush(timeout=60),
    )
