from __future__ import annotations

import os

from comparison.tool import Tool

IMPORTS = ("langfuse.openai",)


def set_up(sink: str) -> Tool:
    os.environ["LANGFUSE_BASE_URL"] = os.environ["LANGFUSE_HOST"] = sink
    os.environ["LANGFUSE_PUBLIC_KEY"] = "pk-lf-1"
    os.environ["LANGFUSE_SECRET_KEY"] = "sk-lf-1"  # noqa: S105 - the sink takes any
    import langfuse
    import langfuse.openai

    return Tool(
        langfuse.openai.OpenAI, langfuse.openai.AsyncOpenAI, lambda: langfuse.get_client().flush()
    )
