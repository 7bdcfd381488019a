from __future__ import annotations

import os

from comparison.tool import Tool

IMPORTS = ("logfire",)


def set_up(sink: str) -> Tool:
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{sink}/v1/traces"
    import logfire
    import openai

    logfire.configure(send_to_logfire=False, service_name="peers", console=False)
    logfire.instrument_openai()
    return Tool(openai.OpenAI, openai.AsyncOpenAI, logfire.force_flush)
