from __future__ import annotations

import os
from typing import Any

from comparison.tool import Tool

IMPORTS = ("langsmith", "langsmith.wrappers")


def set_up(sink: str) -> Tool:
    os.environ["LANGSMITH_TRACING"] = "true"
    os.environ["LANGSMITH_ENDPOINT"] = sink
    os.environ["LANGSMITH_API_KEY"] = "key"
    import openai
    from langsmith import Client
    from langsmith.wrappers import wrap_openai

    client = Client()

    def sync(**arguments: Any) -> Any:
        return wrap_openai(openai.OpenAI(**arguments), tracing_extra={"client": client})

    def async_(**arguments: Any) -> Any:
        return wrap_openai(openai.AsyncOpenAI(**arguments), tracing_extra={"client": client})

    return Tool(sync, async_, client.flush)
