from __future__ import annotations

from functools import partial

from comparison.tool import Tool

IMPORTS = ("posthog", "posthog.ai.openai")


def set_up(sink: str) -> Tool:
    from posthog import Posthog
    from posthog.ai.openai import AsyncOpenAI, OpenAI

    client = Posthog("phc_1", host=sink)
    return Tool(
        partial(OpenAI, posthog_client=client),
        partial(AsyncOpenAI, posthog_client=client),
        client.flush,
    )
