from __future__ import annotations

from typing import Any

from comparison.tool import Tool

IMPORTS = ("sentry_sdk",)

QUEUE = 1_000
"""Envelopes that may wait. The default of 100 loses calls of each workload."""


def set_up(sink: str) -> Tool:
    import openai
    import sentry_sdk
    from sentry_sdk.integrations.asyncio import enable_asyncio_integration

    sentry_sdk.init(
        dsn=f"http://key@{sink.removeprefix('http://')}/1",
        traces_sample_rate=1,
        send_default_pii=True,
        transport_queue_size=QUEUE,
    )

    def async_(**arguments: Any) -> Any:
        # Otherwise all tasks share one scope, and all but the first of 64 calls are lost.
        enable_asyncio_integration()
        return openai.AsyncOpenAI(**arguments)

    return Tool(openai.OpenAI, async_, lambda: sentry_sdk.flush(timeout=60))
