from __future__ import annotations

from comparison.tool import Tool

IMPORTS: tuple[str, ...] = ()


def set_up(sink: str) -> Tool:
    del sink
    import openai

    return Tool(openai.OpenAI, openai.AsyncOpenAI)
