from __future__ import annotations

import os

from comparison.tool import Tool

IMPORTS = ("openpipe",)


def set_up(sink: str) -> Tool:
    os.environ["OPENPIPE_BASE_URL"] = f"{sink}/api/v1"
    os.environ["OPENPIPE_API_KEY"] = "key"
    import openpipe

    return Tool(openpipe.OpenAI, openpipe.AsyncOpenAI)
