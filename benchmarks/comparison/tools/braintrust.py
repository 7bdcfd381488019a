from __future__ import annotations

import os
from typing import Any

from comparison.tool import Tool

IMPORTS = ("braintrust",)


def set_up(sink: str) -> Tool:
    os.environ["BRAINTRUST_APP_URL"] = sink
    os.environ["BRAINTRUST_API_URL"] = sink
    os.environ["BRAINTRUST_API_KEY"] = "key"
    import braintrust
    import openai

    braintrust.init_logger(project="peers")

    def sync(**arguments: Any) -> Any:
        return braintrust.wrap_openai(openai.OpenAI(**arguments))

    def async_(**arguments: Any) -> Any:
        return braintrust.wrap_openai(openai.AsyncOpenAI(**arguments))

    return Tool(sync, async_, braintrust.flush)
