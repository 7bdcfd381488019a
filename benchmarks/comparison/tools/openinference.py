from __future__ import annotations

from comparison.tool import Tool

IMPORTS = (
    "openinference.instrumentation.openai",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)


def set_up(sink: str) -> Tool:
    import openai
    from openinference.instrumentation.openai import OpenAIInstrumentor

    from comparison.otlp import traces_to

    provider = traces_to(sink)
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    return Tool(openai.OpenAI, openai.AsyncOpenAI, provider.force_flush)
